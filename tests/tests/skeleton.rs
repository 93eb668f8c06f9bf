//! What `make new-provider` writes is a provider as it is: made in a copy of this
//! project, built, checked, and thrown away.
//!
//! The copy is always at the same place and shares the target folder, so that cargo
//! builds what has changed since the last time and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nixops4_resources_tests::{binaries, lifeline};

/// A name that no provider has.
const NAME: &str = "skeleton";

/// A copy of the files that git knows or would add, with their times.
fn copy(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let list = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let listed = run(Command::new("git").args(list).current_dir(&from));
    let files = String::from_utf8(listed.stdout).expect("UTF-8");
    for file in files.split_terminator('\0') {
        let (from, to) = (from.join(file), to.join(file));
        // Git lists what was removed and not committed.
        if !from.exists() {
            continue;
        }
        fs::create_dir_all(to.parent().expect("a file in a folder")).expect("a folder");
        fs::copy(&from, &to).unwrap_or_else(|error| panic!("cannot copy {file}: {error}"));
        let modified = fs::metadata(&from).and_then(|metadata| metadata.modified());
        fs::File::options()
            .write(true)
            .open(&to)
            .and_then(|copy| copy.set_modified(modified?))
            .unwrap_or_else(|error| panic!("cannot set the time of {file}: {error}"));
    }
}

/// Runs a command to its end; panics with what it said if it fails.
fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A command in the copy, which builds with the features and the target folder of this
/// process.
fn within(copy: &Path, mut command: Command) -> Command {
    command
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", binaries::target_folder())
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove(binaries::BIN);
    command
}

fn script(copy: &Path, name: &str) -> Command {
    let mut command = within(copy, Command::new("scripts/new-provider.sh"));
    command.arg(name);
    command
}

fn cargo(copy: &Path, arguments: &[&str]) -> Command {
    let mut command = within(copy, binaries::cargo());
    command.args(arguments);
    command
}

#[test]
fn a_new_provider_passes_as_it_is() {
    let place: PathBuf = binaries::target_folder().join("new-provider");
    // An earlier run may have been killed.
    let _nothing_there = fs::remove_dir_all(&place);
    lifeline::remove_at_end(&place);
    copy(&place);

    run(&mut script(&place, NAME));
    for file in [
        "providers/skeleton/src/note.rs",
        "schemas/skeleton.json",
        "docs/reference/skeleton.md",
        "docs/guides/skeleton.md",
        "nixops4/providers/skeleton.nix",
    ] {
        let text = fs::read_to_string(place.join(file)).expect("it was written");
        assert!(text.contains(NAME) || file.ends_with("note.rs"), "{file}");
        assert!(
            !text.contains("example"),
            "{file} still speaks of an example"
        );
    }
    run(&mut cargo(&place, &["fmt", "--all", "--check"]));

    let bin = lifeline::folder("skeleton-");
    let name = format!("nixops4-resources-{NAME}");
    let wanted = ["build", "--workspace", "--quiet", "--bin", &name];
    run(&mut cargo(&place, &wanted));
    let built = binaries::profile_folder().join(&name);
    fs::rename(&built, bin.path().join(&name)).expect("an executable that was built");
    let fixture = format!("{NAME}_conformance");
    let test = ["test", "--workspace", "--quiet", "--test", &fixture];
    let output = run(cargo(&place, &test).env(binaries::BIN, bin.path()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("test result: ok. "), "{said}");
    assert!(!said.contains(" 0 passed"), "{said}");

    // There it is now, and no other may have its name.
    let again = script(&place, NAME).output().expect("it runs");
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(
        said.contains("there is providers/skeleton already"),
        "{said}"
    );
}

#[test]
fn a_name_that_cant_be_a_provider_is_refused() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in [
        "",
        "two words",
        "two_words",
        "Upper",
        "1st",
        "../x",
        "secrets",
    ] {
        let output = script(&project, name).output().expect("it runs");
        assert!(!output.status.success(), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("new-provider: "), "{name}: {said}");
    }
}
