//! How things are reached: the inputs that say where they are.
//!
//! It must not know any server.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The output by which a server is known, whatever its address is.
pub const SERVER_ID: &str = "serverId";

/// The inputs that say where the things of a kind are, and nothing of which one is meant.
/// Kinds of one server share them.
pub trait ReachInputs: DeserializeOwned + 'static {
    /// Names of the inputs. The fields are called so, too.
    const NAMES: &'static [&'static str];
    /// What they lead to.
    const TO: Place;
}

/// What inputs lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A server that has an identifier of its own. The kind's output `serverId` tells it.
    Server,
    /// A server that nothing tells from another one but its address.
    NamelessServer,
    /// A secrets store, of which the one input is the logical name.
    SecretsStore,
    /// This machine: nothing is sent anywhere.
    ThisMachine,
}

/// For things on this machine, which no input has to reach.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Here {}

impl ReachInputs for Here {
    const NAMES: &'static [&'static str] = &[];
    const TO: Place = Place::ThisMachine;
}
