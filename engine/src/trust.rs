//! What a record may bring about. Who can append to the state writes what they like, so
//! that a record alone starts no program, sends no secret anywhere, and touches nothing of
//! another deployment: a provider has to be of this suite or named by the expression, a
//! server that gets a secret and an owner have to be named by the expression or have been
//! at the last apply here, and everything else takes the user's word on the command line.

pub(crate) mod distrust;
pub(crate) mod granted;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use nixops4_protocol::Object;
use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use crate::eval::named::{CONNECTION, OWNER, canonical};
use crate::executables;
use crate::memory;
use crate::providers;
use crate::records::Location;
use crate::session::Session;
use distrust::{Distrust, quoted};
use granted::words;

/// Something that is started.
enum Start {
    /// As the expression names it, once the store holds this.
    Named(ProviderCommand, Vec<String>),
    Ready(ProviderCommand),
    Allowed(ProviderCommand, Vec<String>),
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
            let remembered = memory::inputs(self, input);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::has_secret;

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
}
