//! What carries our mark on a server and is in no state: left behind by a kill
//! between making and recording, or by a lost state.
//!
//! A server's list says what names a thing, not by which inputs it is reached.
//! Those are found by example: a member of the same kind shows which input holds
//! which part of its name, and the provider itself confirms the guess.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_protocol::Object;
use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::KindDescription;
use nixops4_protocol::message::{
    ListResourcesRequest, ListedResource, ReadResourceRequest, Request, RequestName, Response,
};
use nixops4_protocol::state::{Extension, RecordedResource};
use serde_json::Value;

use super::gc::Live;
use super::target::{self, Target};
use super::{Recorded, provider};
use crate::eval::Member;
use crate::member::MemberPath;
use crate::providers;
use crate::report::Orphan;
use crate::session::Session;

/// How a mark says that its thing was taken out of service.
const RETAINED: &str = " retained-since=";
/// The inputs of an example that reach an orphan, too.
const SHARED: [&str; 2] = ["owner", "connection"];
/// How many guesses are made for one orphan.
const GUESSES: usize = 16;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) targets: Vec<Target>,
    pub(super) retained: Vec<Orphan>,
    pub(super) notes: Vec<String>,
}

/// Where to look: a provider, a kind, and the inputs that say where.
pub(super) type Place = (ProviderCommand, String, String);

/// A member or record that shows where to look, and how such things are named.
pub(super) struct Example {
    provider: ProviderCommand,
    extension: Extension,
    kind: String,
    inputs: Object,
}

/// Searches every place that a member or a record of this deployment is at.
pub(super) async fn find(session: &Session, live: &[Live], recorded: &Recorded) -> Found {
    let mut found = Found::default();
    let mut known = BTreeSet::new();
    for live in live {
        known.insert((live.member.kind.clone(), live.identity.to_string()));
    }
    let mut places = BTreeMap::new();
    for example in examples(live, recorded) {
        let examples: &mut Vec<Example> = places.entry(example.place()).or_default();
        examples.push(example);
    }
    for ((provider, kind, _), examples) in places {
        let Ok(Some(description)) = session.providers.describe(&provider).await else {
            // What it is asked to remove is refused for that reason.
            continue;
        };
        let Some(described) = description.kinds.get(&kind) else {
            continue;
        };
        if !described.offers(RequestName::List) {
            continue;
        }
        for example in &examples {
            if let Ok(identity) = read_identity(session, example, &example.inputs).await {
                known.insert((kind.clone(), identity.to_string()));
            }
        }
        let Some(first) = examples.first() else {
            continue;
        };
        match list(session, first).await {
            Err(reason) => found.notes.push(format!(
                "it could not be searched for {kind} that is in no state: {reason}"
            )),
            Ok(listed) => {
                for thing in listed {
                    let is_wanted = |(of, identity): &(String, String)| {
                        let identity = serde_json::from_str(identity);
                        *of == kind && identity.is_ok_and(|named| is_named(&thing.identity, &named))
                    };
                    if known.iter().any(is_wanted) {
                        continue;
                    }
                    orphan(session, described, &examples, thing, &mut found).await;
                }
            }
        }
    }
    found
}

fn examples<'a>(
    live: &'a [Live],
    recorded: &'a Recorded,
) -> impl Iterator<Item = Example> + use<'a> {
    let members = live
        .iter()
        .map(|live| &live.member)
        .filter(|member| member.is_known())
        .map(Example::from);
    let records = recorded.values().map(|(_, recorded)| Example {
        provider: provider(recorded),
        extension: recorded.extension.clone().unwrap_or_default(),
        kind: recorded.r#type.clone(),
        inputs: recorded.input_properties.clone(),
    });
    members.chain(records)
}

impl Example {
    pub(super) fn place(&self) -> Place {
        (
            self.provider.clone(),
            self.kind.clone(),
            shared(&self.inputs).to_string(),
        )
    }
}

impl From<&Member> for Example {
    fn from(member: &Member) -> Self {
        Self {
            provider: providers::command(&member.executable, &member.args),
            extension: Extension {
                executable: member.executable.clone(),
                args: member.args.clone(),
                ..Extension::default()
            },
            kind: member.kind.clone(),
            inputs: member.inputs.clone(),
        }
    }
}

/// What was taken out of service before, at the place of an example, as far as its
/// provider lists that.
pub(super) async fn retained(session: &Session, example: &Example) -> BTreeSet<String> {
    let description = session.providers.describe(&example.provider).await;
    let offers = description.ok().flatten().is_some_and(|description| {
        let kind = description.kinds.get(&example.kind);
        kind.is_some_and(|kind| kind.offers(RequestName::List))
    });
    if !offers {
        return BTreeSet::new();
    }
    let listed = list(session, example).await.unwrap_or_default().into_iter();
    listed
        .filter(|thing| is_retained(&thing.mark))
        .map(|thing| thing.identity.to_string())
        .collect()
}

/// The part of an example's inputs that says where, and not which one.
fn shared(inputs: &Object) -> Value {
    let shared = SHARED.into_iter().filter_map(|name| {
        let value = inputs.get(name)?;
        Some((name.to_owned(), value.clone()))
    });
    Value::Object(shared.collect())
}

fn is_retained(mark: &str) -> bool {
    mark.contains(RETAINED)
}

/// Who asks for what no member is known to be.
fn nobody(kind: &str) -> MemberPath {
    MemberPath(vec![kind.to_owned()])
}

async fn list(session: &Session, example: &Example) -> Result<Vec<ListedResource>, String> {
    let request = Request::List(ListResourcesRequest {
        r#type: example.kind.clone(),
        input_properties: example.inputs.clone(),
    });
    match session
        .providers
        .ask(&example.provider, &nobody(&example.kind), &request)
        .await
    {
        Ok(Response::List(answer)) => Ok(answer.resources),
        Ok(_) => Err("the provider answered something else than it was asked".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn read_identity(
    session: &Session,
    example: &Example,
    inputs: &Object,
) -> Result<Value, String> {
    let request = Request::Read(ReadResourceRequest {
        r#type: example.kind.clone(),
        input_properties: inputs.clone(),
        resource: None,
    });
    match session
        .providers
        .ask(&example.provider, &nobody(&example.kind), &request)
        .await
    {
        Ok(Response::Read(answer)) => Ok(answer.identity),
        Ok(_) => Err("the provider answered something else than it was asked".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn orphan(
    session: &Session,
    described: &KindDescription,
    examples: &[Example],
    thing: ListedResource,
    found: &mut Found,
) {
    let Some(first) = examples.first() else {
        return;
    };
    if is_retained(&thing.mark) {
        found.retained.push(Orphan {
            r#type: first.kind.clone(),
            identity: thing.identity,
            mark: thing.mark,
        });
        return;
    }
    for example in examples {
        let Ok(named) = read_identity(session, example, &example.inputs).await else {
            continue;
        };
        for inputs in guesses(described, &example.inputs, &named, &thing.identity) {
            let named = read_identity(session, example, &inputs).await;
            if !named.is_ok_and(|named| is_named(&thing.identity, &named)) {
                continue;
            }
            let recorded = RecordedResource {
                r#type: example.kind.clone(),
                input_properties: inputs,
                output_properties: Object::new(),
                extension: Some(example.extension.clone()),
                others: Object::new(),
            };
            let path = MemberPath(vec![format!("{} {}", example.kind, thing.identity)]);
            let mut target = target::target(session, path, None, recorded, false).await;
            target.note = Some(match target.note {
                Some(note) => note,
                None => "it carries our mark and is in no state".to_owned(),
            });
            found.targets.push(target);
            return;
        }
    }
    found.notes.push(format!(
        "{} {} carries our mark and is in no state, and nothing shows by which inputs it is \
         reached: declare it, apply, and remove it again",
        first.kind, thing.identity
    ));
}

/// Inputs that may name a thing as `wanted`, made after an example whose own
/// inputs name it as `named`: wherever a part of the name is the value of an
/// input, that input gets the other's part.
fn guesses(
    described: &KindDescription,
    inputs: &Object,
    named: &Value,
    wanted: &Value,
) -> Vec<Object> {
    let required = described.inputs.get("required").and_then(Value::as_array);
    let is_needed = |name: &String| {
        SHARED.contains(&name.as_str())
            || required.is_some_and(|required| required.iter().any(|needed| needed == name))
    };
    let base: Object = inputs
        .iter()
        .filter(|(name, value)| is_needed(name) || names_something(value, named))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut guesses = vec![base];
    let (Some(named), Some(wanted)) = (named.as_object(), wanted.as_object()) else {
        return Vec::new();
    };
    for (part, old) in named {
        let new = wanted.get(part).unwrap_or(&Value::Null);
        // What was made by halves lacks a part.
        if old == new || new.is_null() {
            continue;
        }
        let holders: Vec<&String> = inputs
            .iter()
            .filter(|(name, value)| *value == old && !SHARED.contains(&name.as_str()))
            .map(|(name, _)| name)
            .collect();
        guesses = guesses
            .into_iter()
            .flat_map(|guess| {
                holders.iter().map(move |holder| {
                    let mut guess = guess.clone();
                    guess.insert((*holder).clone(), new.clone());
                    guess
                })
            })
            .take(GUESSES)
            .collect();
    }
    guesses
}

/// Whether `named` names what was found, as far as that has a name: of what was made
/// by halves a part is missing, which is null.
fn is_named(found: &Value, named: &Value) -> bool {
    let (Some(found), Some(named)) = (found.as_object(), named.as_object()) else {
        return found == named;
    };
    found
        .iter()
        .all(|(part, value)| value.is_null() || named.get(part) == Some(value))
}

fn names_something(value: &Value, named: &Value) -> bool {
    named
        .as_object()
        .is_some_and(|parts| parts.values().any(|part| part == value))
}

#[cfg(test)]
mod tests {
    use nixops4_protocol::describe::KindDescription;
    use serde_json::{Value, json};

    use super::guesses;

    #[test]
    fn an_example_shows_where_the_name_stands() {
        let kind: KindDescription = serde_json::from_value(json!({
            "description": "", "state": "optional", "requests": [], "outputs": {},
            "inputs": { "required": ["owner", "name", "connection"] },
        }))
        .unwrap();
        let inputs = json!({ "owner": "o", "name": "app", "password": { "env": "X" },
            "connection": { "host": "h" }, "database": "app" });
        for (named, wanted, expected) in [
            (
                json!({ "server": "h:5432", "role": "app" }),
                json!({ "server": "h:5432", "role": "old" }),
                vec![
                    json!({ "owner": "o", "name": "old", "connection": { "host": "h" },
                        "database": "app" }),
                    json!({ "owner": "o", "name": "app", "connection": { "host": "h" },
                        "database": "old" }),
                ],
            ),
            // On another server there is no example for it.
            (
                json!({ "server": "h:5432", "role": "app" }),
                json!({ "server": "g:5432", "role": "app" }),
                vec![],
            ),
            (json!("app"), json!("old"), vec![]),
        ] {
            let found: Vec<Value> = guesses(&kind, inputs.as_object().unwrap(), &named, &wanted)
                .into_iter()
                .map(Value::Object)
                .collect();
            assert_eq!(found, expected);
        }
    }
}
