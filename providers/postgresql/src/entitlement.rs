//! What the kinds that declare privileges have in common: steps, facts, outputs.
//!
//! It must not know their inputs; those come as a [`Wish`].

use std::collections::BTreeMap;

use nixops4_provider_sdk::{
    Context, Effect, Error, Object, Observed, Ownership, Result, Step, Value,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::acl::{Demand, Difference, Entry, Mode, Privilege};
use crate::connection::Connection;
use crate::failure;
use crate::granting::{Looked, Recorded, Wish, Work, fulfil, look, settle, superseded};
use crate::holding::Holding;
use crate::name::Name;
use crate::server::{Server, column};
use crate::sql::Ident;

/// What an expression can read of declared privileges.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The role that has them; `public` for everybody.
    role: String,
    /// Host of the server, as the input `connection` has it.
    host: String,
    /// Port of the server.
    port: u16,
    /// The database that was connected to for it.
    database: String,
    /// The privileges, `ALL` spelt out for this server.
    privileges: Vec<Privilege>,
    /// The role's object identifier; 0 for everybody.
    role_oid: i64,
    /// The database's object identifier.
    database_oid: i64,
    /// The cluster's system identifier: what tells this server from another.
    system_identifier: String,
}

/// The outputs by which the role and the database are known again.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedOutputs {
    #[serde(default)]
    role_oid: Option<i64>,
    #[serde(default)]
    database_oid: Option<i64>,
    #[serde(default)]
    system_identifier: Option<String>,
}

impl RecordedOutputs {
    pub(crate) fn of(&self, wish: Wish) -> Recorded {
        Recorded {
            wish,
            role_oid: self.role_oid,
            database_oid: self.database_oid,
            system_identifier: self.system_identifier.clone(),
        }
    }
}

/// What the role has, compared with the wish.
#[derive(Debug)]
pub(crate) struct Facts {
    system_identifier: String,
    database: Name,
    database_oid: i64,
    demand: Demand,
    work: Work,
    /// What was declared before and has to be taken back.
    superseded: Option<(Recorded, Work)>,
    /// The other database in which it was declared before.
    moved_from: Option<Name>,
}

/// One step.
#[derive(Debug)]
pub(crate) enum Change {
    /// Bring the role to the wish.
    Fulfil,
    /// Take back what was declared before.
    TakeBack(Box<Recorded>),
    /// What can't be changed in place: the engine refuses it before this.
    Refused,
}

/// Looks at what is there; `None` where the database, the role or an object isn't
/// there, or the role has nothing there of what it should have.
pub(crate) async fn observe(
    cx: &Context,
    wish: &Wish,
    recorded: Option<Recorded>,
) -> Result<Option<Observed<Facts>>> {
    let known_id = recorded
        .as_ref()
        .and_then(|recorded| recorded.system_identifier.clone());
    let seen = wish
        .reading(cx, known_id.as_deref(), async |server| {
            let (demand, work) = match look(server, wish).await? {
                Looked::Found(demand, work) => (demand, work),
                Looked::Missing(_) => return Ok(None),
            };
            let (database, database_oid) = here(server).await?;
            let moved_from = recorded
                .as_ref()
                .and_then(|recorded| moved(recorded, wish, database_oid));
            let superseded = match recorded {
                Some(recorded) if moved_from.is_none() => superseded(server, &recorded, Some(wish))
                    .await?
                    .map(|work| (recorded, work)),
                _ => None,
            };
            let holds = work
                .items
                .iter()
                .any(|(holding, _)| !holding.entries.is_empty());
            let asks = !demand.privileges.is_empty() && !work.items.is_empty();
            if asks && !holds && superseded.is_none() && moved_from.is_none() {
                return Ok(None);
            }
            let system_identifier = server.id.clone();
            Ok(Some(Facts {
                system_identifier,
                database,
                database_oid,
                demand,
                work,
                superseded,
                moved_from,
            }))
        })
        .await;
    match seen {
        // The database isn't there yet.
        Err(error) if error.pointer() == Some("/database") => Ok(None),
        seen => Ok(seen?.map(|facts| Observed {
            facts,
            ownership: Ownership::Relation,
        })),
    }
}

/// The database that is connected to.
async fn here(server: &mut Server) -> Result<(Name, i64)> {
    let row = sqlx::query(
        "SELECT datname::text, oid::int8 FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(&mut server.connection)
    .await
    .map_err(|error| failure::stating("unable to identify the database", &error))?;
    Ok((Name::of_server(column(&row, 0)?)?, column(&row, 1)?))
}

/// The database in which it was declared before, if that is another one than
/// this, and not only another name of it.
fn moved(recorded: &Recorded, wish: &Wish, database_oid: i64) -> Option<Name> {
    let former = recorded.wish.database.as_ref()?;
    let same = wish.database.as_ref() == Some(former)
        || wish.database.is_some() && recorded.database_oid == Some(database_oid);
    (!same).then(|| former.clone())
}

/// Looks for what was recorded; `None` where nothing of it is left.
pub(crate) async fn observe_recorded(
    cx: &Context,
    recorded: Recorded,
) -> Result<Option<Observed<Facts>>> {
    let known_id = recorded.system_identifier.clone();
    let wish = recorded.wish.clone();
    let seen = wish
        .reading(cx, known_id.as_deref(), async |server| {
            let Some(work) = superseded(server, &recorded, None).await? else {
                return Ok(None);
            };
            let (database, database_oid) = here(server).await?;
            let demand = Demand {
                privileges: wish.privileges.clone(),
                grantable: wish.grantable,
                mode: wish.mode,
            };
            let system_identifier = server.id.clone();
            Ok(Some(Facts {
                system_identifier,
                database,
                database_oid,
                demand,
                work: work.clone(),
                superseded: Some((recorded, work)),
                moved_from: None,
            }))
        })
        .await;
    match seen {
        // With the database went what was granted in it.
        Err(error) if error.pointer() == Some("/database") => Ok(None),
        seen => Ok(seen?.map(|facts| Observed {
            facts,
            ownership: Ownership::Relation,
        })),
    }
}

/// The steps to the wish.
pub(crate) fn steps(wish: &Wish, have: Option<&Facts>) -> Vec<Step<Change>> {
    let Some(have) = have else {
        return vec![Step::create(Change::Fulfil)];
    };
    let mut steps = Vec::new();
    if let Some(former) = &have.moved_from {
        let (before, after) = (Value::known(former), Value::known(&wish.database));
        steps.push(Step::set("/database", before, after, Change::Refused).effect(Effect::Replace).note(
            "privileges stay in the database that they were granted in; declare them for the other \
             one under a new member, and remove this one; or set the input back",
        ));
        return steps;
    }
    if let Some((recorded, work)) = &have.superseded {
        let change = Change::TakeBack(Box::new(recorded.clone()));
        let before = shown(work.items.iter(), |holding, _| {
            words(&holding.entries, &holding.owner)
        });
        let after = shown(work.items.iter(), |holding, left| {
            words(&remaining(holding, left), &holding.owner)
        });
        let path = superseded_by(&recorded.wish, wish);
        steps.push(
            Step::set(path, Value::known(before), Value::known(after), change)
                .note("this was declared before, and isn't any more"),
        );
    }
    let differing = || {
        have.work
            .items
            .iter()
            .filter(|(_, difference)| !difference.is_empty())
    };
    if differing().next().is_some() {
        let before = shown(differing(), |holding, _| {
            words(&holding.entries, &holding.owner)
        });
        let after = shown(differing(), |holding, difference| {
            let mut entries = remaining(holding, difference);
            entries.extend(difference.grant.iter().map(|privilege| Entry {
                grantor: holding.owner.clone(),
                privilege: *privilege,
                grantable: have.demand.grantable,
            }));
            words(&entries, &holding.owner)
        });
        let only_options = differing().all(|(holding, difference)| {
            let has = |one: &Privilege| holding.entries.iter().any(|entry| entry.privilege == *one);
            difference.revoke.is_empty() && difference.grant.iter().all(has)
        });
        let path = if only_options {
            "/grantOption"
        } else {
            "/privileges"
        };
        steps.push(Step::set(
            path,
            Value::known(before),
            Value::known(after),
            Change::Fulfil,
        ));
    }
    steps
}

/// The input because of which something recorded isn't declared any more.
fn superseded_by(former: &Wish, now: &Wish) -> &'static str {
    let (before, after) = (&former.selection, &now.selection);
    if former.role != now.role {
        "/role"
    } else if before.class != after.class {
        "/objectType"
    } else if before.schema != after.schema {
        "/schema"
    } else if before.columns != after.columns {
        "/columns"
    } else if (&before.objects, before.all) != (&after.objects, after.all) {
        "/objects"
    } else if before.creators != after.creators {
        after.creators_at.trim_end_matches("/*")
    } else if former.privileges != now.privileges {
        "/privileges"
    } else if former.mode != now.mode {
        "/mode"
    } else {
        "/grantOption"
    }
}

fn shown<'a>(
    items: impl Iterator<Item = &'a (Holding, Difference)>,
    words: impl Fn(&Holding, &Difference) -> Vec<String>,
) -> BTreeMap<String, Vec<String>> {
    items
        .map(|(holding, left)| (holding.place.to_string(), words(holding, left)))
        .collect()
}

/// Privileges as a plan shows them; whoever is no owner is named as the grantor.
fn words(entries: &[Entry], owner: &Name) -> Vec<String> {
    let mut words: Vec<_> = entries
        .iter()
        .map(|entry| {
            let option = if entry.grantable {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            let grantor = if entry.grantor == *owner {
                String::new()
            } else {
                format!(" GRANTED BY {}", Ident(&entry.grantor))
            };
            format!("{}{option}{grantor}", entry.privilege.keyword())
        })
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// What is left of the entries when the revoking is done.
fn remaining(holding: &Holding, difference: &Difference) -> Vec<Entry> {
    let is_in = |all: &crate::acl::ByGrantor, entry: &Entry| {
        all.get(&entry.grantor)
            .is_some_and(|all| all.contains(&entry.privilege))
    };
    let kept = holding
        .entries
        .iter()
        .filter(|entry| !is_in(&difference.revoke, entry));
    kept.map(|entry| Entry {
        grantable: entry.grantable && !is_in(&difference.revoke_option, entry),
        ..entry.clone()
    })
    .collect()
}

/// Does one step. `whose` names the privileges.
pub(crate) async fn apply(cx: &Context, wish: &Wish, whose: &str, change: Change) -> Result<()> {
    match change {
        Change::Fulfil => fulfil(cx, wish, &format!("unable to set {whose}")).await,
        Change::TakeBack(recorded) => {
            let doing = format!("unable to take back what was declared before of {whose}");
            settle(cx, wish, &doing, async |server| {
                superseded(server, &recorded, Some(wish)).await
            })
            .await
        }
        Change::Refused => Err(Error::new(format!("{whose} can't be changed in place"))),
    }
}

/// Takes back what was recorded.
pub(crate) async fn delete(cx: &Context, recorded: &Recorded, whose: &str) -> Result<()> {
    let doing = format!("unable to revoke {whose}");
    settle(cx, &recorded.wish, &doing, async |server| {
        superseded(server, recorded, None).await
    })
    .await
}

/// Why nothing can be retained here.
pub(crate) fn retained(whose: &str) -> Error {
    Error::input(
        "/deletionPolicy",
        format!("{whose} can't be retained: a privilege has no data, and is either held or not"),
    )
    .hint(
        "set deletionPolicy = \"delete\" and apply, then destroy; or only forget it in the \
             state, and the role keeps its privileges",
    )
}

/// The outputs of what is there.
pub(crate) fn outputs(wish: &Wish, facts: &Facts) -> Outputs {
    Outputs {
        role: wish.role.as_str().to_owned(),
        host: wish.connection.host.clone(),
        port: wish.connection.port,
        database: facts.database.as_str().to_owned(),
        privileges: facts.demand.privileges.iter().copied().collect(),
        role_oid: facts.work.grantee.oid,
        database_oid: facts.database_oid,
        system_identifier: facts.system_identifier.clone(),
    }
}

/// The outputs that are certain beforehand.
pub(crate) fn predict(wish: &Wish) -> Object {
    let at = &wish.connection;
    let database = wish.database.as_ref().unwrap_or(&at.database);
    let mut outputs = Object::new();
    outputs.insert("role".to_owned(), wish.role.as_str().into());
    outputs.insert("host".to_owned(), at.host.as_str().into());
    outputs.insert("port".to_owned(), at.port.into());
    outputs.insert("database".to_owned(), database.as_str().into());
    outputs
}

/// Whose privileges, for errors: on `what` in which database of which server.
pub(crate) fn describe(
    at: &Connection,
    database: Option<&Name>,
    role: &Name,
    what: &str,
) -> String {
    let whom = if role.as_str() == "public" {
        "everybody (PUBLIC)".to_owned()
    } else {
        format!("role {:?}", role.as_str())
    };
    match database {
        Some(name) => format!(
            "privileges of {whom} on {what} in database {:?} on {at}",
            name.as_str()
        ),
        None => format!("privileges of {whom} on {what} on {at}"),
    }
}

/// Refuses privileges that such objects never have, and options that PUBLIC can't.
pub(crate) fn validate(wish: &Wish) -> Result<()> {
    let known = wish.selection.privileged_class().privileges();
    if let Some(strange) = wish
        .privileges
        .iter()
        .find(|one| **one != Privilege::All && !known.contains(one))
    {
        let words: Vec<_> = known.iter().map(|one| one.keyword()).collect();
        let what = if wish.selection.columns.is_empty() {
            "such objects have"
        } else {
            "columns have"
        };
        return Err(Error::input(
            "/privileges",
            format!(
                "there is no privilege {} here; {what} {}",
                strange.keyword(),
                words.join(", ")
            ),
        )
        .hint("ALL stands for each of them"));
    }
    if wish.privileges.is_empty() && wish.mode == Mode::Additive {
        return Err(Error::input("/privileges", "there is nothing to add").hint(
            "name privileges, or set mode = \"authoritative\" to revoke all that the role has",
        ));
    }
    if wish.grantable && wish.role.as_str() == "public" {
        return Err(
            Error::input("/grantOption", "PUBLIC can't have the grant option")
                .hint("give it to roles, each with a resource of its own"),
        );
    }
    Ok(())
}

/// The position of the first name that stands twice in a list.
pub(crate) fn repeated<T: PartialEq>(names: &[T]) -> Option<usize> {
    (1..names.len()).find(|position| names[..*position].contains(&names[*position]))
}
