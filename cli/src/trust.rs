//! What a record may bring about. Who can append to the state writes what they like, so
//! that a record alone starts no program, sends no secret anywhere, and touches nothing of
//! another deployment: a provider has to be of this suite or named by the expression, a
//! server that gets a secret and an owner have to be named by the expression or have been
//! at the last apply here, and everything else takes the user's word on the command line.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use nixops4_protocol::Object;
use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use crate::eval::named::{CONNECTION, OWNER, canonical};
use crate::executables;
use crate::providers;
use crate::records::Location;
use crate::session::Session;
use crate::shell;
use crate::ui::text;
use crate::whereabouts;

/// The input that says whose state a place keeps.
const DEPLOYMENT: &str = "deployment";

/// What the user allows on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed {
    /// Providers, each with its arguments.
    pub(crate) providers: Vec<Vec<String>>,
    pub(crate) connections: Vec<Value>,
    pub(crate) owners: Vec<String>,
}

/// What one run of the command may do because a record says so.
#[derive(Default)]
pub(crate) struct Trust {
    allowed: Allowed,
    /// The places of states that the user gave.
    places: Mutex<Vec<Location>>,
    /// The providers that they named there.
    said: Mutex<BTreeSet<Vec<String>>>,
    /// What was told to be started.
    told: Mutex<BTreeSet<Vec<String>>>,
    /// Whether it was told that what is remembered is not believed.
    doubted: AtomicBool,
    /// The connections that the expression had at the last apply here.
    connections: OnceLock<BTreeSet<String>>,
    /// Whose things were in it.
    owners: OnceLock<BTreeSet<String>>,
}

/// Why a record is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Distrust {
    /// It would start something.
    #[error(
        "{} was not started, because neither the expression nor the command line names it, and \
         {why}{}",
        quoted(words),
        provider_hint(words)
    )]
    Provider { words: Vec<String>, why: String },
    /// It would send a secret somewhere.
    #[error(
        "what is recorded sends a secret to a server that the expression does not name, nor did \
         at the last apply here: {}; nothing was sent{}",
        text::line(connection),
        connection_hint(connection)
    )]
    Connection { connection: String },
    /// It would touch what is another deployment's.
    #[error(
        "what is recorded is said to be of the deployment {}, which the expression does not \
         name, nor did at the last apply here; its provider was not asked{}",
        text::quoted(owner),
        hint("--allow-owner", owner)
    )]
    Owner { owner: String },
    /// What the expression names could not be built.
    #[error("{0}")]
    Unbuilt(String),
}

/// Something that is started.
enum Start {
    /// As the expression names it, once the store holds this.
    Named(ProviderCommand, Vec<String>),
    Ready(ProviderCommand),
    Allowed(ProviderCommand, Vec<String>),
}

impl Trust {
    /// With what the command line allows.
    pub(crate) fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            ..Self::default()
        }
    }

    /// Takes note of the place of a state that the user gave. If they `typed` it, its
    /// provider is meant to be started; one in a file may be anybody's idea. One of this
    /// suite is found by its name in any case.
    pub(crate) fn said(&self, location: &Location, typed: bool) {
        let by_name =
            location.args.is_empty() && executables::is_provider_name(&location.executable);
        if typed && !by_name {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.insert(words(&location.executable, &location.args));
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.push(location.clone());
    }

    /// Whether the user gave one of these as the place of a state.
    pub(crate) fn is_given(&self, locations: &[Location]) -> bool {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = places.iter();
        places.any(|place| locations.iter().any(|other| place.is_same_place(other)))
    }

    /// Whether the state that the user gave is of the deployment of this name.
    fn is_deployment_given(&self, owner: &Value) -> bool {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places
            .iter()
            .any(|place| place.inputs.get(DEPLOYMENT) == Some(owner))
    }

    fn is_said(&self, words: &[String]) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.contains(words)
    }

    /// Whether nobody was told yet that what is remembered is not believed.
    pub(crate) fn is_first_doubt(&self) -> bool {
        !self.doubted.swap(true, Ordering::Relaxed)
    }

    fn is_first_time(&self, words: Vec<String>) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(words)
    }
}

impl Session {
    /// The provider that gets what is recorded, if the record may be followed.
    pub(crate) async fn provider_of(
        &self,
        recorded: &RecordedResource,
    ) -> Result<ProviderCommand, Distrust> {
        self.may_be_sent(&recorded.input_properties)?;
        let (executable, args) = recorded_provider(recorded);
        self.provider(&executable, args).await
    }

    /// Whether [`provider_of`](Self::provider_of) gives one.
    pub(crate) fn trusts(&self, recorded: &RecordedResource) -> Result<(), Distrust> {
        self.may_be_sent(&recorded.input_properties)?;
        let (executable, args) = recorded_provider(recorded);
        self.start(&executable, args).map(drop)
    }

    /// Whether the provider of a state may be started.
    pub(crate) fn starts(&self, location: &Location) -> bool {
        self.start(&location.executable, &location.args).is_ok()
    }

    /// The provider that something names which is not the expression as it is now.
    pub(crate) async fn provider(
        &self,
        executable: &str,
        args: &[String],
    ) -> Result<ProviderCommand, Distrust> {
        Ok(match self.start(executable, args)? {
            Start::Ready(command) => command,
            Start::Named(command, paths) => {
                let built = self.evaluator.realise(&paths).await;
                built.map_err(|error| Distrust::Unbuilt(error.to_string()))?;
                command
            }
            Start::Allowed(command, words) => {
                let told = quoted(&words);
                if self.trust.is_first_time(words) {
                    let note = format!("starting {told}, as --allow-provider says");
                    self.ui.said("note", &note);
                }
                command
            }
        })
    }

    fn start(&self, executable: &str, args: &[String]) -> Result<Start, Distrust> {
        let words = words(executable, args);
        let command = || providers::command(executable, args);
        let named = self.evaluator.named();
        if let Some(paths) = named.provider(executable, args) {
            return Ok(Start::Named(command(), paths.to_vec()));
        }
        if self.trust.allowed.providers.contains(&words) {
            return Ok(Start::Allowed(command(), words));
        }
        if self.trust.is_said(&words) {
            return Ok(Start::Ready(command()));
        }
        let distrust = |why: String| Distrust::Provider {
            words: words.clone(),
            why,
        };
        // What made it may be gone, or be somebody else's by now: whatever was recorded
        // of its place, it is only known by its name.
        let name = match Path::new(executable).file_name() {
            Some(name) if Path::new(executable).is_absolute() => name.to_str().unwrap_or_default(),
            _ => executable,
        };
        if !args.is_empty() {
            return Err(distrust(
                "it is not a provider of this suite by its name alone".to_owned(),
            ));
        }
        if executables::is_provider_name(name)
            && let Some((executable, paths)) = named.provider_called(name)
        {
            let command = providers::command(executable, &[]);
            return Ok(Start::Named(command, paths.to_vec()));
        }
        match executables::of_suite(name) {
            Ok(path) => Ok(Start::Ready(ProviderCommand::new(path))),
            Err(why) => Err(distrust(why)),
        }
    }

    /// Whether these inputs, which somebody recorded, may be sent to a provider.
    fn may_be_sent(&self, inputs: &Object) -> Result<(), Distrust> {
        self.is_of_this_deployment(inputs)?;
        let Some(connection) = inputs.get(CONNECTION).filter(|it| !it.is_null()) else {
            return Ok(());
        };
        let key = canonical(connection);
        if !inputs.values().any(has_secret)
            || self.evaluator.named().has_connection(connection)
            || self
                .remembered(&self.trust.connections, CONNECTION)
                .contains(&key)
            || (self.trust.allowed.connections.iter()).any(|allowed| canonical(allowed) == key)
        {
            return Ok(());
        }
        Err(Distrust::Connection { connection: key })
    }

    fn is_of_this_deployment(&self, inputs: &Object) -> Result<(), Distrust> {
        // Without an owner, none of our providers does anything.
        let Some(owner) = inputs.get(OWNER).filter(|it| !it.is_null()) else {
            return Ok(());
        };
        let is_it = |name: &String| owner.as_str() == Some(name);
        let trust = &self.trust;
        if self.evaluator.named().has_owner(owner)
            || trust.is_deployment_given(owner)
            || self
                .remembered(&trust.owners, OWNER)
                .contains(&canonical(owner))
            || trust.allowed.owners.iter().any(is_it)
        {
            return Ok(());
        }
        let owner = match owner.as_str() {
            Some(owner) => owner.to_owned(),
            None => owner.to_string(),
        };
        Err(Distrust::Owner { owner })
    }

    fn remembered<'a>(
        &self,
        values: &'a OnceLock<BTreeSet<String>>,
        input: &str,
    ) -> &'a BTreeSet<String> {
        values.get_or_init(|| {
            let remembered = whereabouts::remembered_inputs(self, input);
            remembered.iter().map(canonical).collect()
        })
    }
}

/// The provider as it was recorded; that of the type, where none was.
fn recorded_provider(recorded: &RecordedResource) -> (String, &[String]) {
    match &recorded.extension {
        Some(extension) => (extension.executable.clone(), &extension.args),
        None => (executables::provider_of(&recorded.r#type), &[]),
    }
}

fn words(executable: &str, args: &[String]) -> Vec<String> {
    std::iter::once(executable.to_owned())
        .chain(args.iter().cloned())
        .collect()
}

/// Whether a reference to a secret stands in a value.
fn has_secret(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            let is_reference = ["file", "env", "store"]
                .iter()
                .any(|name| fields.get(*name).is_some_and(|value| !value.is_null()));
            is_reference || fields.values().any(has_secret)
        }
        Value::Array(values) => values.iter().any(has_secret),
        _ => false,
    }
}

/// Each word in quotes, and nothing in them that steers a terminal.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
    words.join(" ")
}

fn provider_hint(words: &[String]) -> String {
    let line = shell::joined(words.iter().map(String::as_str));
    hint("--allow-provider", &line)
}

fn connection_hint(connection: &str) -> String {
    hint("--allow-connection", connection)
}

/// What allows it, if that can be printed as it is.
fn hint(option: &str, value: &str) -> String {
    if text::line(value) == value {
        format!(
            "\nhint: if you know it and want that, add {option} {}",
            shell::word(value)
        )
    } else {
        "\nhint: see how that came into the state (`nixops4-resources state history`), and remove \
         it with `nixops4-resources state rm`"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Distrust, has_secret};

    #[test]
    fn references_are_found_wherever_they_stand() {
        for (value, expected) in [
            (json!("db1"), false),
            (json!({ "host": "db", "tls": { "mode": "require" } }), false),
            (json!({ "password": { "file": "/x" } }), true),
            (json!([{ "a": { "store": "main", "name": "x" } }]), true),
            (json!({ "password": { "file": null } }), false),
        ] {
            assert_eq!(has_secret(&value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_refused_is_quoted_and_can_be_allowed_as_it_is() {
        let provider = |words: &[&str]| {
            Distrust::Provider {
                words: words.iter().map(|&word| word.to_owned()).collect(),
                why: "no".to_owned(),
            }
            .to_string()
        };
        let told = provider(&["/tmp/e vil", "--x"]);
        assert!(
            told.starts_with(r#""/tmp/e vil" "--x" was not started, "#),
            "{told}"
        );
        let option = r"--allow-provider ''\''/tmp/e vil'\'' --x'";
        assert!(told.ends_with(option), "{told}");
        let told = provider(&["/x\u{202e}\n", "a"]);
        assert!(told.contains(r#""/x\u202e\n" "a""#), "{told}");
        assert!(!told.contains("--allow"), "{told}");
    }
}
