//! Keys, permissions and admin tokens of Garage: what is particular to them, beside
//! what the conformance suite asks of every kind.

#[path = "../support"]
mod support {
    pub(crate) mod secrets;
}

mod answers;
mod existing;
mod lost;
mod orphan;
mod permission;
mod rotation;
mod site;
mod together;
mod token;
mod tokens;
