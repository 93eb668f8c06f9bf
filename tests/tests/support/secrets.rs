//! What several of the tests need of a store for secrets.

use std::path::{Path, PathBuf};

use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_secrets_store::Identities;

/// Makes an age identity, and gives its file and what is in it.
pub(crate) fn identity(sandbox: &Sandbox) -> (PathBuf, String) {
    let file = sandbox.work().join("identity.age");
    Identities::generate(&file).expect("an identity");
    let text = std::fs::read_to_string(&file).expect("a file that was just written");
    (file, text)
}

/// The environment in which the store `main` is this file.
pub(crate) fn environment(store: &Path, identity: &Path) -> [(&'static str, String); 2] {
    [
        (
            "NIXOPS4_SECRETS_STORES",
            format!("main=sqlite:{}", store.display()),
        ),
        ("NIXOPS4_SECRETS_IDENTITY", identity.display().to_string()),
    ]
}
