//! What an attack on the suite does, in small: requests by chance, secrets
//! planted everywhere, and providers that mean harm. Kills are in
//! `tests/apply/model.rs` and `cli/tests/command/model.rs`.
//!
//! `NIXOPS4_TESTS_ENDURANCE=MINUTES` makes each test go on for that long with new
//! seeds, `NIXOPS4_TESTS_SEED` repeats one round. Each tells what it did.

#[path = "../support"]
mod support {
    pub(crate) mod secrets;
}

mod canaries;
mod fuzz;
mod hostile;
