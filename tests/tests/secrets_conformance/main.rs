//! What holds for every kind, for those of secrets: a module with its fixture for each.

#[path = "../support"]
mod support {
    pub(crate) mod secrets;
}

mod secrets;
mod secrets_derived;
mod secrets_keys;
mod secrets_password;
mod secrets_tls;
mod secrets_token;
mod secrets_value;
