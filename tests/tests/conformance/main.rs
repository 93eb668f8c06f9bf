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
mod secrets_password;
