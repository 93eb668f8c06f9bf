//! Finds provider executables: beside our own, then through `PATH`. Where nobody but a
//! record asks for one, it has to be of this suite, where nobody else can have put it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nixops4_secrets_store::trust;
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

/// The executable of this suite that is called `name`, if nobody but this user and root
/// can have put it there; why there is none, if there is none.
pub(crate) fn of_suite(name: &str) -> Result<PathBuf, String> {
    // Every record asks, and all of them mean a few.
    static SOUGHT: Mutex<BTreeMap<String, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    let mut sought = SOUGHT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = sought.get(name) {
        return path.clone();
    }
    let path = seek(name);
    sought.insert(name.to_owned(), path.clone());
    path
}

fn seek(name: &str) -> Result<PathBuf, String> {
    if !is_provider_name(name) {
        return Err(format!(
            "it is none of this suite, whose providers are called {PREFIX}NAME"
        ));
    }
    let own = own_directory();
    let mut others = Vec::new();
    for directory in directories() {
        let candidate = directory.join(name);
        if !is_executable(&candidate) {
            continue;
        }
        // Whoever can write where we are can write us.
        if Some(&directory) == own.as_ref() {
            return Ok(candidate);
        }
        match trust::check(&candidate) {
            Ok(None) => return Ok(candidate),
            Ok(Some(callers)) => {
                others.push(format!("{} is {}'s", callers.path.display(), callers.owner));
            }
            Err(untrusted) => others.push(untrusted.to_string()),
        }
    }
    Err(if others.is_empty() {
        format!("{name} is neither beside this command nor in PATH")
    } else {
        format!(
            "{name} is only where others can have put it: {}",
            others.join("; ")
        )
    })
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

/// Whether a name is one of this suite's, and nothing else: no path, and no leftover
/// of a build.
pub(crate) fn is_provider_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_plain))
}

fn own_directory() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    own.parent().map(Path::to_owned)
}

/// What is relative in `PATH` is left out: whoever can write where the command is run
/// would choose what is started.
fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).filter(|directory| directory.is_absolute());
    own_directory().into_iter().chain(path).collect()
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{find, is_provider_name, of_suite, provider_of};

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

    #[test]
    fn a_record_reaches_nothing_but_providers_of_this_suite_by_their_names() {
        for name in [
            "sh",
            "/bin/sh",
            "nixops4-resources",
            "nixops4-resources-",
            "nixops4-resources-../../tmp/evil",
            "./nixops4-resources-secrets",
            "nixops4-resources-x/y",
            "nixops4-resources-é",
        ] {
            let error = of_suite(name).unwrap_err();
            assert!(error.contains("none of this suite"), "{name}: {error}");
        }
        let error = of_suite("nixops4-resources-nobodys").unwrap_err();
        assert!(error.contains("neither beside"), "{error}");
    }
}
