//! Every kind against its real server. A kind is added by a module with its
//! fixture.

#[path = "../support"]
mod support {
    pub(crate) mod secrets;
}

mod garage;
mod garage_admin_token;
mod garage_bucket;
mod garage_credential;
mod garage_key;
mod garage_permission;
mod garage_tenant;
#[macro_use]
mod postgresql;
mod postgresql_database;
mod postgresql_default_privileges;
mod postgresql_extension;
mod postgresql_grant;
mod postgresql_membership;
mod postgresql_role;
mod postgresql_schema;
mod postgresql_tenant;
mod secrets;
mod secrets_derived;
mod secrets_keys;
mod secrets_password;
mod secrets_tls;
mod secrets_token;
mod secrets_value;
