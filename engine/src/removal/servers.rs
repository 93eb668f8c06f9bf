//! Servers by what they call themselves, and the addresses that they have now.
//!
//! What was recorded at an old address of a server is reached at the new one; the
//! provider makes sure that it is the same server.

use std::collections::BTreeMap;

use nixops4_protocol::Object;
use nixops4_protocol::describe::Contract;
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use crate::eval::named::canonical;
use crate::eval::{Evaluation, Member};
use crate::providers;
use crate::records::Records;
use crate::session::Session;

/// What a provider is called, and what a server of it calls itself.
type Server = (String, String);
/// Inputs that reach the same server, by their text.
type Addresses = BTreeMap<String, Object>;

/// The addresses that the expression has now, by server.
#[derive(Default)]
pub(super) struct Servers(BTreeMap<Server, Addresses>);

impl Servers {
    pub(super) async fn new(session: &Session, evaluation: &Evaluation, records: &Records) -> Self {
        let mut servers = Self::default();
        for member in evaluation.members.values().filter(|it| it.is_known()) {
            if let Some(recorded) = records.of(member) {
                servers.learn(session, member, recorded.outputs()).await;
            }
        }
        servers
    }

    /// Takes note of the server that a member's outputs tell of, if they do.
    pub(super) async fn learn(&mut self, session: &Session, member: &Member, outputs: &Object) {
        // What can't be asked now is told when it has to be.
        let built = session.evaluator.realise(&member.provider_paths).await;
        let command = providers::command(&member.executable, &member.args);
        let (Ok(()), Ok(Some(description))) = (built, session.providers.describe(&command).await)
        else {
            return;
        };
        let Some(kind) = description.kinds.get(&member.kind) else {
            return;
        };
        let contract = kind.contract();
        if let Some(id) = contract.server_id(outputs) {
            let server = (description.name.clone(), id.to_string());
            let address = contract.reaching(&member.inputs);
            let addresses = self.0.entry(server).or_default();
            addresses.insert(written(&address), address);
        }
    }

    /// Inputs, and the same for each other address that the expression has of their
    /// server: what names a thing tells of its address, too.
    pub(super) fn spelled(&self, contract: &Contract, inputs: &Object) -> Vec<Object> {
        let own = written(&contract.reaching(inputs));
        let mut others: BTreeMap<&String, &Object> = BTreeMap::new();
        for addresses in self.0.values().filter(|all| all.contains_key(&own)) {
            others.extend(addresses);
        }
        others.remove(&own);
        let others = others.into_values().filter(|it| fits(contract, it));
        let others = others.map(|other| contract.reached_by(inputs, other));
        std::iter::once(inputs.clone()).chain(others).collect()
    }

    /// What was recorded, reached by an address that its server has now.
    pub(super) async fn reach(
        &self,
        session: &Session,
        resource: &RecordedResource,
    ) -> RecordedResource {
        let mut resource = resource.clone();
        if let Some(inputs) = self.moved(session, &resource).await {
            resource.input_properties = inputs;
        }
        resource
    }

    async fn moved(&self, session: &Session, resource: &RecordedResource) -> Option<Object> {
        if self.0.is_empty() {
            return None;
        }
        // Who may not be asked is told by whoever asks.
        let (_, description) = session.describer_of(resource).await.ok()?;
        let description = description?;
        let contract = description.kinds.get(&resource.r#type)?.contract();
        let id = contract.server_id(&resource.output_properties)?;
        let server = (description.name.clone(), id.to_string());
        let addresses = self.0.get(&server)?;
        let inputs = &resource.input_properties;
        if addresses.contains_key(&written(&contract.reaching(inputs))) {
            return None;
        }
        let address = addresses.values().find(|it| fits(&contract, it))?;
        Some(contract.reached_by(inputs, address))
    }
}

/// Whether a kind is reached by inputs of these names.
fn fits(contract: &Contract, address: &Object) -> bool {
    let names = contract.reach.inputs();
    address.keys().all(|name| names.contains(name))
}

fn written(address: &Object) -> String {
    canonical(&Value::Object(address.clone()))
}
