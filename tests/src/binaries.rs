//! The executables of this workspace, as fresh as the sources.
//!
//! They are built together with this crate, so they carry failpoints. Another
//! `cargo build` may replace them at any time by ones that don't; so tests run
//! hard links that belong to this process alone.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;

use crate::lifeline;

static BINARIES: LazyLock<HashMap<String, PathBuf>> = LazyLock::new(build);

/// The executable `name`. The first call in a process builds them all, which is
/// quick when they are fresh; panics with what cargo says if that fails.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let Some(path) = BINARIES.get(name) else {
        let mut names: Vec<_> = BINARIES.keys().map(String::as_str).collect();
        names.sort_unstable();
        panic!(
            "the workspace has no executable {name}; it has {}",
            names.join(", ")
        )
    };
    path.clone()
}

/// The folder that holds them all, and nothing else: for a `PATH`.
#[must_use]
pub fn folder() -> PathBuf {
    let any = BINARIES.values().next().expect("the workspace has none");
    any.parent().expect("a file in a folder").to_owned()
}

/// Cargo, as somebody calls it who runs no test: what `cargo test` sets for the test
/// process alone would make build scripts run again, and with them everything be
/// built again.
#[must_use]
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut cargo = Command::new(cargo);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        let names = ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) || names.contains(&&*text) {
            cargo.env_remove(&name);
        }
    }
    cargo
}

fn build() -> HashMap<String, PathBuf> {
    let layout = Layout::of_this_process();
    // One process builds; the others then find everything fresh.
    let lock = layout.profile_folder.join(".nixops4-resources-tests.lock");
    let lock = File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .unwrap_or_else(|error| panic!("cannot lock {}: {error}", lock.display()));

    let mut cargo = layout.cargo();
    let Output {
        status,
        stdout,
        stderr,
    } = cargo
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", cargo.get_program().display()));
    assert!(
        status.success(),
        "cannot build the workspace's executables: cargo ended with {status}\n{}",
        String::from_utf8_lossy(&stderr)
    );

    let links = layout
        .profile_folder
        .join(format!(".nixops4-resources-tests-{}", std::process::id()));
    lifeline::remove_at_end(&links);
    fs::create_dir(&links)
        .unwrap_or_else(|error| panic!("cannot create {}: {error}", links.display()));
    let binaries = executables(&stdout)
        .into_iter()
        .map(|executable| {
            let name = executable.file_name().expect("an executable's path");
            let link = links.join(name);
            fs::hard_link(&executable, &link)
                .or_else(|_no_links_here| fs::copy(&executable, &link).map(drop))
                .unwrap_or_else(|error| panic!("cannot link {}: {error}", executable.display()));
            (name.to_string_lossy().into_owned(), link)
        })
        .collect();
    drop(lock);
    binaries
}

/// The paths that cargo's messages name, one JSON value a line.
fn executables(messages: &[u8]) -> Vec<PathBuf> {
    messages
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .filter_map(|line| {
            let message: Value = serde_json::from_slice(line).expect("cargo writes JSON");
            Some(message["executable"].as_str()?.into())
        })
        .collect()
}

/// Where this process's executable stands:
/// `TARGET_FOLDER/[TRIPLE/]PROFILE/deps/NAME`.
#[derive(Debug, PartialEq)]
struct Layout {
    target_folder: PathBuf,
    triple: Option<String>,
    profile_folder: PathBuf,
}

impl Layout {
    fn of_this_process() -> Self {
        let executable = std::env::current_exe().expect("cannot tell our own path");
        Self::of(&executable, &|folder| {
            folder.join(".rustc_info.json").is_file()
        })
    }

    /// `is_target_folder` knows cargo's target folder from one below it.
    fn of(executable: &Path, is_target_folder: &dyn Fn(&Path) -> bool) -> Self {
        let profile_folder = executable
            .ancestors()
            .skip(1)
            .find(|folder| !folder.ends_with("deps") && !folder.ends_with("examples"))
            .expect("an executable in a folder");
        let above = profile_folder.parent().expect("a folder in a folder");
        let (target_folder, triple) = if is_target_folder(above) {
            (above, None)
        } else {
            let triple = above.file_name().map(|name| name.to_string_lossy().into());
            (above.parent().unwrap_or(above), triple)
        };
        assert!(
            is_target_folder(target_folder),
            "{} does not stand in a target folder of cargo's",
            executable.display()
        );
        Self {
            target_folder: target_folder.to_owned(),
            triple,
            profile_folder: profile_folder.to_owned(),
        }
    }

    fn profile(&self) -> String {
        let name = self.profile_folder.file_name().expect("a folder's name");
        match name.to_str().expect("a profile's name") {
            "debug" => "dev".to_owned(),
            name => name.to_owned(),
        }
    }

    fn cargo(&self) -> Command {
        let mut cargo = cargo();
        cargo
            .args(["build", "--workspace", "--bins"])
            .arg("--message-format=json-render-diagnostics")
            .args(["--profile", &self.profile()])
            .arg("--target-dir")
            .arg(&self.target_folder)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        if let Some(triple) = &self.triple {
            cargo.args(["--target", triple]);
        }
        cargo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_read_off_the_path() {
        let is_target_folder = |folder: &Path| folder == Path::new("/t");
        for (executable, triple, profile) in [
            ("/t/debug/deps/x-1", None, "dev"),
            ("/t/release/deps/x-1", None, "release"),
            ("/t/bench/x", None, "bench"),
            ("/t/debug/examples/x", None, "dev"),
            (
                "/t/x86_64-unknown-linux-musl/debug/deps/x-1",
                Some("x86_64-unknown-linux-musl"),
                "dev",
            ),
        ] {
            let layout = Layout::of(Path::new(executable), &is_target_folder);
            assert_eq!(layout.target_folder, Path::new("/t"), "{executable}");
            assert_eq!(layout.triple.as_deref(), triple, "{executable}");
            assert_eq!(layout.profile(), profile, "{executable}");
        }
    }

    #[test]
    fn only_executables_are_taken_from_cargos_messages() {
        let messages = br#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/t/debug/x"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executables(messages), [PathBuf::from("/t/debug/x")]);
    }
}
