//! Files of states: whom they are open to, and whose are not used.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nixops4_resources_tests::lifeline;
use nixops4_resources_tests::messages::set;
use nixops4_resources_tests::provider::{killed_at, oneshot};
use serde_json::json;

use super::{FILE, Site, add};

/// Somebody who is neither this user nor root.
const MALLORY: u32 = 61_234;

/// The same command, by somebody whose files everybody may write.
fn careless(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 000; exec \"$0\""]);
    shell.arg(command.get_program());
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn files_in(folder: &Path) -> Vec<(String, u32)> {
    let entries = folder.read_dir().expect("a folder").map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, entry.metadata().expect("it").mode() & 0o7777)
    });
    let mut found: Vec<_> = entries.collect();
    found.sort();
    found
}

/// SQLite keeps the last writes in files beside the database until somebody moves them.
fn copy_with_what_is_beside(file: &Path, to: &Path) {
    let name = file.file_name().expect("a file").to_string_lossy();
    for (beside, _) in files_in(file.parent().expect("a folder")) {
        if beside.starts_with(&*name) {
            fs::copy(file.with_file_name(&beside), to.join(&beside)).expect("a copy");
        }
    }
}

#[test]
fn what_is_made_is_for_its_user_alone() {
    let site = Site::new();
    let create = site.create_request().to_string();
    let made = oneshot(careless(&site.command()), [&create]);
    assert!(made.status.success());
    let event = site.event(&add("/resources/a", json!({}))).to_string();
    // Killed, so that what SQLite has beside it stays.
    let _ended = killed_at(careless(&site.command()), "state:inserted", 0, event);
    let private = |name: &str| (name.to_owned(), 0o600);
    assert_eq!(
        files_in(&site.sandbox.work()),
        ["state.sqlite", "state.sqlite-shm", "state.sqlite-wal"].map(private)
    );

    let site = Site::file();
    let create = site.create_request().to_string();
    let made = oneshot(careless(&site.command()), [&create]);
    assert!(made.status.success());
    let file = site.sandbox.work().join("state.json");
    let whole = fs::read(&file).expect("a state");
    fs::write(&file, [&whole[..], b"{\"index\":0,\"me"].concat()).expect("it is ours");
    let event = site.event(&add("/resources/a", json!({}))).to_string();
    let mended = oneshot(careless(&site.command()), [event]);
    assert!(mended.status.success());
    assert_eq!(site.read()["resources"], json!({"a": {}}));
    assert_eq!(
        files_in(&site.sandbox.work()),
        ["state.json", "state.json.torn"].map(private)
    );
}

#[test]
fn what_others_may_have_written_is_not_used() {
    let is_root = rustix::process::geteuid().is_root();
    for mut site in [Site::new(), Site::file()] {
        let name = if site.kind == "state_file" {
            "state.json"
        } else {
            FILE
        };
        let pointer = if site.kind == "state_file" {
            "/name"
        } else {
            "/path"
        };
        site.create();
        let file = site.sandbox.work().join(name);
        let refused = |site: &Site, word: &str| {
            for request in [
                site.create_request(),
                site.read_request(),
                site.event(&add("/resources/a", json!({}))),
            ] {
                let error = site.send(&request).expect_err("it is not ours alone");
                assert!(error.starts_with(&format!("{pointer}: ")), "{error}");
                assert!(error.contains(word), "{word}: {error}");
                assert!(error.contains("\nhint: "), "{error}");
            }
        };
        // The file, and its folder.
        set_mode(&file, 0o666);
        refused(&site, "can be written by everybody");
        set_mode(&file, 0o644);
        site.read();
        set_mode(&site.sandbox.work(), 0o777);
        refused(&site, "can be written by everybody");
        // Nobody takes another's file away there; but they may make one first.
        set_mode(&site.sandbox.work(), 0o1777);
        site.read();
        if is_root {
            let beside = if name == FILE { "-journal" } else { ".torn" };
            let beside = site.sandbox.work().join(format!("{name}{beside}"));
            fs::write(&beside, "").expect("a file");
            chown(&beside, Some(MALLORY), None).expect("root may");
            refused(&site, "belongs to");
            fs::remove_file(&beside).expect("it is there");
            chown(&file, Some(MALLORY), None).expect("root may");
            refused(&site, "belongs to");
            chown(&file, Some(0), None).expect("root may");
        }
        set_mode(&site.sandbox.work(), 0o755);
        site.read();
        // A link that leads to what others may write.
        let elsewhere: PathBuf = site.sandbox.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder");
        copy_with_what_is_beside(&file, &elsewhere);
        symlink(elsewhere.join(name), site.sandbox.work().join("link")).expect("a link");
        set(&mut site.inputs, pointer, json!("link"));
        site.read();
        set_mode(&elsewhere, 0o777);
        refused(&site, "can be written by everybody");
    }
}

#[test]
fn a_password_that_others_may_have_written_is_not_used() {
    let mut site = Site::postgresql();
    let folder = lifeline::folder("password-");
    set_mode(folder.path(), 0o755);
    let file = folder.path().join("password");
    fs::write(&file, "quite secret").expect("it is ours");
    set_mode(&file, 0o644);
    set(
        &mut site.inputs,
        "/connection/password",
        json!({"file": file}),
    );
    site.create();
    let refused = |site: &Site, word: &str| {
        let error = site.send(&site.read_request()).expect_err("it is not ours");
        assert!(error.starts_with("/connection/password/file: "), "{error}");
        assert!(
            error.contains(word) && error.contains("\nhint: "),
            "{error}"
        );
        assert!(!error.contains("quite secret"), "{error}");
    };
    set_mode(&file, 0o646);
    refused(&site, "can be written by everybody");
    set_mode(&file, 0o600);
    site.read();
    if rustix::process::geteuid().is_root() {
        chown(&file, Some(MALLORY), None).expect("root may");
        refused(&site, "belongs to");
        // As a service manager keeps them: root's, for a group to read.
        chown(&file, Some(0), Some(61_234)).expect("root may");
        set_mode(&file, 0o440);
        set_mode(folder.path(), 0o750);
        site.read();
    }
}
