//! Tokens of the admin API.

use std::fmt;

use nixops4_provider_sdk::SecretString;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Nothing, Request, act, get, post};

/// Garage's own identifier of an admin token, with which the token begins: 24
/// hexadecimal digits.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[0-9a-f]{24}$"))]
pub(crate) struct TokenId(String);

impl TryFrom<String> for TokenId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if id.len() == 24 && id.chars().all(is_hex) {
            return Ok(Self(id));
        }
        // It could be a whole token.
        Err("this is no id of an admin token, which has 24 hexadecimal digits".to_owned())
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A token, without its value, which nobody is shown again.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AdminToken {
    /// None if it stands in the server's configuration.
    pub(crate) id: Option<TokenId>,
    pub(crate) name: String,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) expiration: Option<time::OffsetDateTime>,
    #[serde(default)]
    pub(crate) expired: bool,
    #[serde(default)]
    pub(crate) scope: Vec<String>,
}

/// A token that was just made. It has no `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadeToken {
    pub(crate) id: TokenId,
    #[serde(deserialize_with = "secret")]
    pub(crate) secret_token: SecretString,
}

pub(super) fn secret<'de, D: Deserializer<'de>>(value: D) -> Result<SecretString, D::Error> {
    String::deserialize(value).map(SecretString::from)
}

/// What is set on a token; what is `None` stays as it is.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub(crate) expiration: Option<time::OffsetDateTime>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) never_expires: bool,
    /// The endpoints that it may use; `*` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<Vec<String>>,
}

pub(crate) fn token_by_id(id: &TokenId) -> Request<AdminToken> {
    get("GetAdminTokenInfo", vec![("id", id.to_string())])
}

/// All of them, those that have expired and those of the configuration included.
pub(crate) fn list_tokens() -> Request<Vec<AdminToken>> {
    get("ListAdminTokens", vec![])
}

/// Garage chooses the token. Without a scope it may do everything.
pub(crate) fn create_token(change: &TokenChange) -> Request<MadeToken> {
    post("CreateAdminToken", vec![], change)
}

pub(crate) fn update_token(id: &TokenId, change: &TokenChange) -> Request<AdminToken> {
    post("UpdateAdminToken", vec![("id", id.to_string())], change)
}

pub(crate) fn delete_token(id: &TokenId) -> Request<Nothing> {
    act("DeleteAdminToken", vec![("id", id.to_string())])
}
