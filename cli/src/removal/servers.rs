//! Servers by what they call themselves, and the addresses that they have now.
//!
//! What was recorded at an old address of a server is reached at the new one; the
//! provider makes sure that it is the same server.

use std::collections::BTreeMap;

use nixops4_protocol::Object;
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use crate::eval::named::CONNECTION;
use crate::eval::{Evaluation, Member};
use crate::records::Records;

/// The output by which a server is known, whatever its address.
const SERVER: &str = "systemIdentifier";

/// The connections that the expression has now, by server.
#[derive(Default)]
pub(super) struct Servers(BTreeMap<String, BTreeMap<String, Value>>);

impl Servers {
    pub(super) fn new(evaluation: &Evaluation, records: &Records) -> Self {
        let mut servers = Self::default();
        for member in evaluation.members.values().filter(|it| it.is_known()) {
            if let Some(recorded) = records.of(member) {
                servers.learn(member, &recorded.output_properties);
            }
        }
        servers
    }

    /// Takes note of the server that a member's outputs tell of, if they do.
    pub(super) fn learn(&mut self, member: &Member, outputs: &Object) {
        let server = outputs.get(SERVER).filter(|server| !server.is_null());
        if let (Some(server), Some(connection)) = (server, member.inputs.get(CONNECTION)) {
            let connections = self.0.entry(server.to_string()).or_default();
            connections.insert(connection.to_string(), connection.clone());
        }
    }

    /// Inputs, and the same for each other address that the expression has of their
    /// server: what names a thing tells of its address, too.
    pub(super) fn spelled(&self, inputs: &Object) -> Vec<Object> {
        let mut spelled = vec![inputs.clone()];
        let Some(written) = inputs.get(CONNECTION).map(ToString::to_string) else {
            return spelled;
        };
        let mut others: BTreeMap<&String, &Value> = BTreeMap::new();
        for connections in self.0.values() {
            if connections.contains_key(&written) {
                others.extend(connections);
            }
        }
        others.remove(&written);
        for other in others.into_values() {
            let mut inputs = inputs.clone();
            inputs.insert(CONNECTION.to_owned(), other.clone());
            spelled.push(inputs);
        }
        spelled
    }

    /// What was recorded, reached by an address that its server has now.
    pub(super) fn reach(&self, resource: &RecordedResource) -> RecordedResource {
        let mut resource = resource.clone();
        let server = resource.output_properties.get(SERVER);
        let connections = server.and_then(|server| self.0.get(&server.to_string()));
        let recorded_at = resource.input_properties.get(CONNECTION);
        if let (Some(connections), Some(recorded_at)) = (connections, recorded_at)
            && !connections.contains_key(&recorded_at.to_string())
            && let Some(connection) = connections.values().next()
        {
            let connection = connection.clone();
            resource
                .input_properties
                .insert(CONNECTION.to_owned(), connection);
        }
        resource
    }
}
