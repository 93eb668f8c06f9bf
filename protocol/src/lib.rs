//! The NixOps4 resource provider protocol.
//!
//! One JSON value a line over a provider's stdin and stdout. [`message`] has the
//! messages of upstream's v0 to the letter and this suite's extensions,
//! [`describe`] what a provider says about itself, [`codec`] the lines,
//! [`client`] a provider process as its caller sees it, and [`state`] the
//! document that state providers keep.
//!
//! This crate knows nothing of any resource kind, of Nix, or of a terminal.

pub mod client;
pub mod codec;
pub mod describe;
pub mod message;
mod parse;
pub mod state;

pub use parse::ParseError;

/// A JSON object, as properties travel in this protocol.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// The JSON Schema of every message, requests and responses.
#[must_use]
pub fn schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let mut generator = settings.into_generator();
    let request = generator.subschema_for::<message::Request>();
    let response = generator.subschema_for::<message::Response>();
    let definitions = generator.take_definitions(true);
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "NixOps4 resource provider protocol, v0 and the extensions of nixops4-resources",
        "description": "One of these objects a line. A response follows each request.",
        "oneOf": [request, response],
        "$defs": definitions,
    })
}
