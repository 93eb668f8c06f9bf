//! What holds for every kind, for those of PostgreSQL: a module with its fixture for
//! each.

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
