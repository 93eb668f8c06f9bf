//! The kinds `postgresql_role` and `postgresql_database`, spoken to over stdio,
//! and how the provider connects, against a real server of each version.

mod connecting;
mod database;
mod german;
mod hostile;
mod load;
mod pooled;
mod removal;
mod role;
mod stuck;
mod support;

#[test]
fn the_same_on_each_other_version() {
    nixops4_resources_tests::postgres::on_each_other_version("the_same_on_each_other_version");
}

#[test]
fn the_same_in_german() {
    nixops4_resources_tests::postgres::in_german(&["hostile::what_no_server_takes"]);
}
