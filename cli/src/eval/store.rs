//! Where Nix keeps its things.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::scratch;

/// The variables that Nix needs to be told, beside the user's own: none where
/// Nix is set up, and a private store in the user's cache where it is not.
pub(super) fn environment() -> io::Result<Vec<(&'static str, OsString)>> {
    let said_by_user = ["NIX_REMOTE", "NIX_STORE_DIR", "NIX_STATE_DIR"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    if said_by_user || is_set_up() {
        return Ok(Vec::new());
    }
    let private = cache()?.join("nixops4-resources/nix");
    let mut environment = Vec::new();
    for (variable, below) in [
        ("NIX_STORE_DIR", "store"),
        ("NIX_STATE_DIR", "var/nix"),
        ("NIX_LOG_DIR", "var/log/nix"),
        ("NIX_CONF_DIR", "etc"),
    ] {
        let path = private.join(below);
        scratch::private_folder(&path)?;
        environment.push((variable, path.canonicalize()?.into_os_string()));
    }
    Ok(environment)
}

/// Whether a daemon serves the store, or this user can write it.
fn is_set_up() -> bool {
    let writable = |path: &str| access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    Path::new("/nix/var/nix/daemon-socket/socket").exists()
        || (writable("/nix/store") && writable("/nix/var/nix"))
}

fn cache() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    std::env::home_dir()
        .filter(|home| !home.as_os_str().is_empty())
        .map(|home| home.join(".cache"))
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "neither XDG_CACHE_HOME nor HOME is set",
            )
        })
}
