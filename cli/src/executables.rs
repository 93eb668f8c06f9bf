//! Finds provider executables: beside our own, then through `PATH`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Access, access};

/// What a provider's executable is called.
pub(crate) const PREFIX: &str = "nixops4-resources-";

/// The executable that `name` means: a path as it is, a bare name beside our own
/// executable or else through `PATH`. A name that isn't found stays as it is, so
/// that starting it says so.
pub(crate) fn find(name: &str) -> PathBuf {
    // Every member asks, and all of them mean a few.
    static FOUND: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    if name.contains('/') {
        return PathBuf::from(name);
    }
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = found.get(name) {
        return path.clone();
    }
    let path = directories()
        .into_iter()
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate));
    let Some(path) = path else {
        return PathBuf::from(name);
    };
    found.insert(name.to_owned(), path.clone());
    path
}

/// The provider that a resource type belongs to if nothing else is said.
pub(crate) fn provider_of(kind: &str) -> String {
    let first = kind.split('_').next().unwrap_or(kind);
    format!("{PREFIX}{first}")
}

/// Every provider that a bare name can mean.
pub(crate) fn all() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for directory in directories() {
        let Ok(entries) = directory.read_dir() else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if is_provider_name(&name) && is_executable(&entry.path()) {
                found.entry(name).or_insert_with(|| entry.path());
            }
        }
    }
    found
}

fn is_provider_name(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| !rest.is_empty() && !rest.contains('.'))
}

fn directories() -> Vec<PathBuf> {
    let own = std::env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.into_iter()
        .chain(std::env::split_paths(&path))
        .collect()
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{find, is_provider_name, provider_of};

    #[test]
    fn the_first_part_of_a_type_names_its_provider() {
        for (kind, provider) in [
            ("postgresql_role", "nixops4-resources-postgresql"),
            ("file", "nixops4-resources-file"),
        ] {
            assert_eq!(provider_of(kind), provider);
        }
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(find("./x").to_str(), Some("./x"));
        assert_eq!(find("/no/such").to_str(), Some("/no/such"));
    }

    #[test]
    fn build_leftovers_are_no_providers() {
        assert!(is_provider_name("nixops4-resources-dns"));
        assert!(!is_provider_name("nixops4-resources-dns.d"));
        assert!(!is_provider_name("nixops4-resources-"));
        assert!(!is_provider_name("nixops4-resources"));
    }
}
