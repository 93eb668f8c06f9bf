//! What is inside a database, memberships, and tenants: each as a superuser and as
//! an administrator with CREATEROLE and CREATEDB, against a server of each version.

mod extension;
mod intruder;
mod marks;
mod membership;
mod schema;
mod standing;
mod support;
mod tenant;

#[test]
fn the_same_on_each_other_version() {
    nixops4_resources_tests::postgres::on_each_other_version("the_same_on_each_other_version");
}
