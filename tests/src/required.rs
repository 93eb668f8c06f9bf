//! What the tests must not do without, because somebody says that it is there.

/// The environment variable that lists, with blanks between, what has to be there:
/// `postgresql-18`, `german`, `pgbouncer`, `bao`, `sops`, `garage`, `rclone`. Without it,
/// what isn't there isn't tested.
pub const REQUIRED: &str = "NIXOPS4_TESTS_REQUIRED";

/// Whether [`REQUIRED`] lists something.
#[must_use]
pub fn is_required(what: &str) -> bool {
    required().iter().any(|required| required == what)
}

pub(crate) fn required() -> Vec<String> {
    let list = std::env::var(REQUIRED).unwrap_or_default();
    list.split_whitespace().map(ToOwned::to_owned).collect()
}
