//! Every kind against its real server. A kind is added by a module with its
//! fixture.

#[path = "../support"]
mod support {
    pub(crate) mod postgresql;
    pub(crate) mod secrets;
}

mod postgresql;
mod postgresql_database;
mod postgresql_role;
mod secrets;
mod secrets_derived;
mod secrets_keys;
mod secrets_password;
mod secrets_tls;
mod secrets_token;
mod secrets_value;
