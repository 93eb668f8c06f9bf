//! Where the memory is unless somebody says otherwise, and how a file is written there.

use std::collections::hash_map::DefaultHasher;
use std::fs::Permissions;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// How many folders of ours stand in one another there.
const OUR_FOLDERS: usize = 2;

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

/// Whole or not at all, and for the user alone.
pub(crate) fn write(file: &Path, json: &[u8]) -> std::io::Result<()> {
    let directory = file.parent().unwrap_or(file);
    let mut folders = std::fs::DirBuilder::new();
    folders.recursive(true).mode(0o700).create(directory)?;
    // An earlier version made them as the umask said.
    for folder in directory.ancestors().take(OUR_FOLDERS) {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let mut scratch = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    scratch
        .as_file()
        .set_permissions(Permissions::from_mode(0o600))?;
    std::io::Write::write_all(&mut scratch, json)?;
    scratch.persist(file)?;
    Ok(())
}

/// The file of a deployment in a folder.
pub(crate) fn file_of(folder: &Path, deployment: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    deployment.hash(&mut hasher);
    folder.join(format!("{:016x}.json", hasher.finish()))
}
