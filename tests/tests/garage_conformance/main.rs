//! What holds for every kind, for those of Garage: a module with its fixture for each.

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
