//! Where the memory is unless somebody says otherwise.

use std::path::PathBuf;

/// Our folders among those where the user's programs remember such things.
const OURS: &str = "nixops4-resources/states";
/// Where the user's programs remember such things, below `XDG_STATE_HOME` or in the
/// user's home; `None` if there is neither.
#[must_use]
pub fn of_this_user() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty());
    let home = || {
        std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .map(|home| home.join(".local/state"))
    };
    let directory = named.map(PathBuf::from).or_else(home)?;
    Some(directory.join(OURS))
}
