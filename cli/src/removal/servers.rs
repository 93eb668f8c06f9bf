//! Servers by what they call themselves, and the addresses that they have now.
//!
//! What was recorded at an old address of a server is reached at the new one; the
//! provider makes sure that it is the same server.

use std::collections::BTreeMap;

use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use crate::eval::Evaluation;
use crate::records::Records;

/// The input that says where a server is, by which its resources are reached.
const CONNECTION: &str = "connection";
/// The output by which a server is known, whatever its address.
const SERVER: &str = "systemIdentifier";

/// The connections that the expression has now, by server.
#[derive(Default)]
pub(super) struct Servers(BTreeMap<String, BTreeMap<String, Value>>);

impl Servers {
    pub(super) fn new(evaluation: &Evaluation, records: &Records) -> Self {
        let mut servers = Self::default();
        for member in evaluation.members.values().filter(|it| it.is_known()) {
            let recorded = records.of(member);
            let server = recorded.and_then(|recorded| recorded.output_properties.get(SERVER));
            if let (Some(server), Some(connection)) = (server, member.inputs.get(CONNECTION)) {
                let connections = servers.0.entry(server.to_string()).or_default();
                connections.insert(connection.to_string(), connection.clone());
            }
        }
        servers
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
