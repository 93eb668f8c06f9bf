//! What a record may bring about. Who can append to the state writes what they like, so
//! that a record alone starts no program, sends no secret anywhere, and touches nothing of
//! another deployment: a provider has to be of this suite or named by the expression, a
//! server that gets a secret and a deployment have to be named by the expression or have
//! been at the last apply here, and everything else takes the user's word on the command line.

pub(crate) mod distrust;
pub(crate) mod granted;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use nixops4_protocol::Object;
use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::{Contract, Description, KindDescription, Reach};
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use crate::eval::named::canonical;
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
        let (provider, description) = self.describer_of(recorded).await?;
        let kind = description
            .as_ref()
            .and_then(|description| description.kinds.get(&recorded.r#type));
        let inputs = &recorded.input_properties;
        let contract = kind.map_or_else(
            || Cow::Owned(Contract::unknown(inputs)),
            KindDescription::contract,
        );
        self.is_of_this_deployment(&contract, inputs).await?;
        self.may_be_sent(&contract, inputs)?;
        Ok(provider)
    }

    /// The provider of what is recorded, and what it says of itself. Nothing is asked of
    /// it, and it is told nothing of the record.
    pub(crate) async fn describer_of(
        &self,
        recorded: &RecordedResource,
    ) -> Result<(ProviderCommand, Option<Arc<Description>>), Distrust> {
        let (executable, args) = recorded_provider(recorded);
        let provider = self.provider(&executable, args).await?;
        let described = self.providers.describe(&provider).await;
        let description = described.map_err(|error| Distrust::Unknown(error.to_string()))?;
        Ok((provider, description))
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
                built.map_err(|error| Distrust::Unknown(error.to_string()))?;
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

    /// Whether what these inputs refer to, which somebody recorded, may be sent where
    /// they say.
    fn may_be_sent(&self, contract: &Contract, inputs: &Object) -> Result<(), Distrust> {
        let Reach::Server { inputs: names, .. } = &contract.reach else {
            return Ok(());
        };
        let address = contract.reaching(inputs);
        if address.is_empty()
            || !inputs.values().any(has_secret)
            || self.evaluator.named().says(names, &address)
        {
            return Ok(());
        }
        // Most kinds have one input for all of it, and it alone is what people know.
        let shown = match (names.as_slice(), address.values().next()) {
            ([_], Some(alone)) => canonical(alone),
            _ => canonical(&Value::Object(address.clone())),
        };
        let is_allowed = |allowed: &Value| canonical(allowed) == shown;
        if self.is_remembered(address) || self.trust.allowed.connections.iter().any(is_allowed) {
            return Ok(());
        }
        Err(Distrust::Connection { connection: shown })
    }

    async fn is_of_this_deployment(
        &self,
        contract: &Contract,
        inputs: &Object,
    ) -> Result<(), Distrust> {
        // Without a deployment, none of our providers does anything.
        let (Some(name), Some(deployment)) =
            (&contract.deployment_input, contract.deployment(inputs))
        else {
            return Ok(());
        };
        let said = Object::from_iter([(name.clone(), deployment.clone())]);
        let is_it = |name: &String| deployment.as_str() == Some(name);
        if self
            .evaluator
            .named()
            .says(std::slice::from_ref(name), &said)
            || self.trust.allowed.deployments.iter().any(is_it)
            || self.is_remembered(said)
            || self.is_given(deployment).await
        {
            return Ok(());
        }
        let deployment = match deployment.as_str() {
            Some(deployment) => deployment.to_owned(),
            None => deployment.to_string(),
        };
        Err(Distrust::Deployment { deployment })
    }

    /// Whether a state that the user gave is of this deployment.
    async fn is_given(&self, deployment: &Value) -> bool {
        for place in self.trust.given() {
            let provider = self.provider(&place.executable, &place.args).await;
            let Ok(provider) = provider else { continue };
            let description = self.providers.describe(&provider).await;
            let Ok(Some(description)) = description else {
                continue;
            };
            let kind = description.kinds.get(&place.kind);
            if kind
                .is_some_and(|kind| kind.contract().deployment(&place.inputs) == Some(deployment))
            {
                return true;
            }
        }
        false
    }

    fn is_remembered(&self, said: Object) -> bool {
        let remembered = self.trust.remembered.get_or_init(|| {
            let remembered = memory::inputs(self);
            remembered.into_iter().map(said_as_text).collect()
        });
        remembered.contains(&said_as_text(said))
    }
}

fn said_as_text(said: Object) -> String {
    canonical(&Value::Object(said))
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
