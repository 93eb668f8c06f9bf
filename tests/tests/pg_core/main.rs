//! The kinds `postgresql_role` and `postgresql_database`, spoken to over stdio,
//! and how the provider connects, against a real server: Debian's, or the one
//! whose installation folder `TEST_POSTGRESQL_INSTALLATION` names.

mod connecting;
mod database;
mod hostile;
mod load;
mod pooled;
mod removal;
mod role;
mod support;
