//! What is inside a database, memberships, and tenants: each against every server
//! that is there, as a superuser and as an administrator with CREATEROLE and CREATEDB.

mod extension;
mod membership;
mod schema;
mod support;
mod tenant;
