//! The kinds `postgresql_grant` and `postgresql_default_privileges`, spoken to
//! over stdio, against a real server of each version.

mod default_privileges;
mod grantors;
mod hostile;
mod objects;
mod privileges;
mod support;
mod together;

#[test]
fn the_same_on_each_other_version() {
    nixops4_resources_tests::postgres::on_each_other_version("the_same_on_each_other_version");
}
