//! OpenBao's API: requests as they are sent, what comes back, and how it says no.
//!
//! Nothing here reaches a server.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_provider_sdk::Error;
use nixops4_provider_sdk::http::{Answer, Dialect, Nothing, Refusal, Request, Words};
use serde::{Deserialize, Serialize};

/// How OpenBao speaks.
pub(crate) struct OpenBao;

impl Dialect for OpenBao {
    fn called(&self) -> &'static str {
        "OpenBao's API"
    }

    fn usual_place(&self) -> &'static str {
        "it is on port 8200 by default; check the address"
    }

    fn words(&self, answer: &Answer) -> Option<Words> {
        #[derive(Deserialize)]
        struct Refused {
            errors: Vec<String>,
        }
        let Refused { errors } = answer.json().ok()?;
        Some(Words::new(errors.join("; ")))
    }

    fn explain(&self, refusal: &Refusal, error: Error) -> Error {
        match refusal.status.as_u16() {
            403 => error.hint(
                "OpenBao says the same of a token that is not valid and of one whose policies \
                 do not cover this path; `bao token lookup` tells them apart",
            ),
            503 => error.hint("unseal it (`bao operator unseal`), then apply again"),
            _ => error,
        }
    }
}

/// Whether OpenBao itself says that there is no such thing: it says nothing more. Of an
/// address that it does not know it says so.
pub(crate) fn is_absent(refusal: &Refusal) -> bool {
    refusal.status == 404 && refusal.words.message.is_empty()
}

/// What most answers are wrapped in.
#[derive(Deserialize)]
pub(crate) struct Data<T> {
    pub(crate) data: T,
}

/// What a server says of itself to anybody.
#[derive(Deserialize)]
pub(crate) struct Health {
    pub(crate) cluster_id: String,
}

pub(crate) fn health() -> Request<Health> {
    Request::get(["v1", "sys", "health"]).doing("unable to identify the server")
}

/// A policy, as its text.
#[derive(Deserialize)]
pub(crate) struct Policy {
    pub(crate) policy: String,
    /// How often it was written.
    pub(crate) version: i64,
}

/// The version of a policy that is not there.
pub(crate) const NO_VERSION: i64 = -1;

pub(crate) fn policy(name: &str) -> Request<Data<Policy>> {
    Request::get(["v1", "sys", "policies", "acl", name])
        .doing(format!("unable to look for policy {name}"))
}

/// Writes a policy, if it is of this version.
pub(crate) fn write_policy(name: &str, text: &str, version: i64) -> Request {
    #[derive(Serialize)]
    struct Body<'a> {
        policy: &'a str,
        cas: i64,
    }
    let body = Body {
        policy: text,
        cas: version,
    };
    Request::put(["v1", "sys", "policies", "acl", name])
        .json(&body)
        .doing(format!("unable to write policy {name}"))
}

/// What is gone already is no refusal.
pub(crate) fn delete_policy(name: &str) -> Request<Nothing> {
    Request::delete(["v1", "sys", "policies", "acl", name])
        .doing(format!("unable to delete policy {name}"))
}

/// Somebody or something that logs in, whatever the way.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Entity {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) disabled: bool,
    #[serde(default)]
    pub(crate) policies: BTreeSet<String>,
    /// None if there never was any.
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

/// What is changed of an entity; what is `None` stays as it is.
#[derive(Debug, Default, Serialize)]
pub(crate) struct EntityChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policies: Option<BTreeSet<String>>,
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

/// Entities are found `by` their `name` or their `id`.
pub(crate) fn entity(by: &str, value: &str) -> Request<Data<Entity>> {
    Request::get(["v1", "identity", "entity", by, value])
        .doing(format!("unable to look for entity {value}"))
}

/// Changes an entity, or makes one if it is named and not there.
pub(crate) fn write_entity(by: &str, value: &str, change: &EntityChange) -> Request {
    Request::post(["v1", "identity", "entity", by, value])
        .json(change)
        .doing(format!("unable to write entity {value}"))
}

/// What is gone already is no refusal.
pub(crate) fn delete_entity(id: &str) -> Request {
    Request::delete(["v1", "identity", "entity", "id", id])
        .doing(format!("unable to delete entity {id}"))
}
