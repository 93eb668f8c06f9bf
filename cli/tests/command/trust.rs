//! What somebody who can append to the state brings about: nothing but what the
//! expression names, and providers of this suite by their names.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Deployment, Ran, provider, ran};

const MEMBERS: &str = r#"{ inherit state; a = thing "a" { content = 1; }; }"#;

fn applied() -> Deployment {
    let deployment = Deployment::new(MEMBERS);
    deployment.run(&["apply"]).expect(0);
    deployment
}

/// Appends a record to the state, as somebody does who can write there.
fn forge(deployment: &Deployment, name: &str, record: &Value) {
    let patch = json!([{ "op": "add", "path": format!("/resources/{name}"), "value": record }]);
    let mut state = fs::read_to_string(deployment.path("state")).unwrap();
    state += &patch.to_string();
    state.push('\n');
    fs::write(deployment.path("state"), state).unwrap();
}

fn record(deployment: &Deployment, kind: &str, provider: Option<(&str, &[&str])>) -> Value {
    let mut record = json!({
        "type": kind, "output_properties": {},
        "input_properties": { "directory": deployment.path("things"), "name": "evil" },
    });
    if let Some((executable, args)) = provider {
        record["nixops4-resources"] = json!({ "executable": executable, "args": args });
    }
    record
}

/// A program that tells when it is started.
fn evil(deployment: &Deployment, name: &str) -> String {
    let path = deployment.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let script = format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\n", pwned(deployment));
    fs::write(&path, script).unwrap();
    mode(&path, 0o755);
    path.to_str().unwrap().to_owned()
}

fn pwned(deployment: &Deployment) -> String {
    deployment.path("pwned").to_str().unwrap().to_owned()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything that goes by what is recorded.
const COMMANDS: [&[&str]; 9] = [
    &["drift"],
    &["plan"],
    &["gc", "--yes"],
    &["gc", "--yes", "--orphans"],
    &["destroy", "--yes"],
    &["destroy", "--yes", "evil"],
    &["state", "list"],
    &["state", "show", "evil"],
    &["apply"],
];

fn run(deployment: &Deployment, arguments: &[&str], path: Option<&str>) -> Ran {
    let mut command = deployment.command(arguments);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    ran(&mut command)
}

#[test]
fn a_record_starts_nothing_of_its_own() {
    let deployment = applied();
    let evil_path = evil(&deployment, "bin/evil");
    let like_ours = evil(&deployment, "bin/nixops4-resources-evil");
    let here = evil(&deployment, "nixops4-resources-here");
    let open = deployment.path("open");
    evil(&deployment, "open/nixops4-resources-open");
    mode(&open, 0o777);
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:.::bin:{path}", open.display());
    let before = fs::read(deployment.path("state")).unwrap();
    for (kind, provider) in [
        ("scratch_thing", Some((evil_path.as_str(), &[][..]))),
        ("scratch_thing", Some((evil_path.as_str(), &["--pwn"][..]))),
        // As if it were of this suite, and not where that is.
        ("evil_thing", Some((like_ours.as_str(), &[][..]))),
        ("evil_thing", Some((like_ours.as_str(), &["--pwn"][..]))),
        ("here_thing", Some((here.as_str(), &[][..]))),
        ("here_thing", Some(("./nixops4-resources-here", &[][..]))),
        ("evil_thing", Some(("bin/nixops4-resources-evil", &[][..]))),
        (
            "evil_thing",
            Some(("nixops4-resources-x/../bin/evil", &[][..])),
        ),
        ("here_thing", Some(("nixops4-resources-here", &[][..]))),
        ("open_thing", Some(("nixops4-resources-open", &[][..]))),
        ("evil_thing", Some(("nixops4-resources-evil", &[][..]))),
        ("scratch_thing", Some(("sh", &["-c", "echo x >pwned"][..]))),
        // Without a provider its type names one.
        ("here_thing", None),
        ("open_thing", None),
        ("../../bin/evil_thing", None),
    ] {
        fs::write(deployment.path("state"), &before).unwrap();
        let record = record(&deployment, kind, provider);
        forge(&deployment, "evil", &record);
        for arguments in COMMANDS {
            let told = run(&deployment, arguments, Some(&path));
            let pwned = fs::read_to_string(pwned(&deployment));
            assert!(pwned.is_err(), "{record} {arguments:?}: {pwned:?}");
            if arguments[0] == "drift" {
                told.expect(1)
                    .says("evil  could not be looked at: \"")
                    .says("was not started, because neither the expression nor");
            }
        }
        // What is ours is as it was.
        deployment.run(&["state", "rm", "--yes", "evil"]).expect(0);
        deployment.run(&["apply"]).expect(0);
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).status();
    assert!(copied.unwrap().success());
}

#[test]
fn the_users_word_starts_exactly_what_it_says() {
    let deployment = applied();
    let evil = evil(&deployment, "with space/evil");
    let forged = record(
        &deployment,
        "scratch_thing",
        Some((&evil, &["a b", "--pwn"])),
    );
    forge(&deployment, "evil", &forged);
    let told = deployment.run(&["gc", "--yes"]).expect(1);
    let (_, hint) = told.stdout.split_once("--allow-provider ").unwrap();
    let (hint, _) = hint.split_once('\n').unwrap();
    // As it is printed, a shell takes it.
    let run = |option: &str| {
        let program = env!("CARGO_BIN_EXE_nixops4-resources");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{program} drift --allow-provider {option}")])
            .current_dir(deployment.path(""))
            .env("NO_COLOR", "1")
            .env("XDG_STATE_HOME", deployment.path("home"));
        ran(&mut shell)
    };
    for other in [
        format!("'{evil}'"),
        format!("\"'{evil}' 'a b'\""),
        format!("\"'{evil}' a b --pwn\""),
    ] {
        run(&other).expect(1).never_says("starting");
    }
    assert!(fs::read(pwned(&deployment)).is_err());
    run(hint).says(&format!(
        r#"note: starting "{evil}" "a b" "--pwn", as --allow-provider says"#
    ));
    let started = fs::read_to_string(pwned(&deployment)).unwrap();
    assert!(started.contains("a b --pwn"), "{started}");
    run("\"'\"").expect(64).says("as a shell reads them");
}

#[test]
fn what_is_of_this_suite_is_found_by_its_name_whatever_path_was_recorded() {
    let deployment = applied();
    // A provider of this suite, where only this user can put one.
    let ours = deployment.path("ours");
    fs::create_dir(&ours).unwrap();
    symlink(provider(), ours.join("nixops4-resources-scratch")).unwrap();
    let path = format!("{}:{}", ours.display(), std::env::var("PATH").unwrap());
    let evil = evil(&deployment, "store/bin/nixops4-resources-scratch");
    for recorded in [
        Some(evil.as_str()),
        Some("/nix/store/0-gone/bin/nixops4-resources-scratch"),
        Some("nixops4-resources-scratch"),
        None,
    ] {
        deployment.tamper("evil", &json!({ "serial": "serial-evil" }));
        let provider = recorded.map(|executable| (executable, &[][..]));
        forge(
            &deployment,
            "evil",
            &record(&deployment, "scratch_thing", provider),
        );
        run(&deployment, &["drift"], Some(&path))
            .expect(0)
            .says("2 as recorded");
        run(&deployment, &["gc", "--yes"], Some(&path))
            .expect(0)
            .says("1 destroyed");
        assert!(deployment.thing("evil").is_none());
    }
    assert!(fs::read(pwned(&deployment)).is_err());
    // Another user's folder is none of ours.
    mode(&ours, 0o777);
    forge(
        &deployment,
        "evil",
        &record(&deployment, "scratch_thing", None),
    );
    run(&deployment, &["gc", "--yes"], Some(&path))
        .expect(1)
        .says("nixops4-resources-scratch is only where others can have put it")
        .says("can be written by everybody");
}

#[test]
fn what_is_remembered_is_the_users_own_and_starts_nothing() {
    let deployment = Deployment::new(MEMBERS);
    let mut apply = Command::new("sh");
    apply
        .args(["-c", r#"umask 0; exec "$@""#, "sh"])
        .arg(env!("CARGO_BIN_EXE_nixops4-resources"))
        .arg("apply")
        .current_dir(deployment.path(""))
        .env("XDG_STATE_HOME", deployment.path("home"));
    ran(&mut apply).expect(0);
    let states = deployment.path("home/nixops4-resources/states");
    let file = fs::read_dir(&states)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let bits = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(bits(&file), 0o600);
    assert_eq!(bits(&states), 0o700);
    assert_eq!(bits(states.parent().unwrap()), 0o700);
    // XDG's own folder is the user's.
    mode(&deployment.path("home"), 0o755);

    let evil = evil(&deployment, "bin/nixops4-resources-evil");
    let remembered = fs::read_to_string(&file).unwrap();
    let honest: Value = serde_json::from_str(&remembered).unwrap();
    let mut forged = honest.clone();
    forged["states"][0]["executable"] = json!(evil);
    forged["states"][0]["args"] = json!(["--pwn"]);
    for command in ["drift", "plan", "apply", "gc"] {
        fs::write(&file, forged.to_string()).unwrap();
        deployment.run(&[command]).expect(0);
        assert!(fs::read(pwned(&deployment)).is_err(), "{command}");
    }
    // One whose member is gone, too.
    forged["states"][0]["label"] = json!(["gone"]);
    forged["states"][0]["inputs"] = json!({ "file": "/somewhere" });
    fs::write(&file, forged.to_string()).unwrap();
    deployment
        .run(&["plan"])
        .expect(0)
        .says("'gone' left the expression")
        .says("was not started");
    assert!(fs::read(pwned(&deployment)).is_err());

    // Whoever could have written it is not believed.
    fs::write(&file, honest.to_string()).unwrap();
    for (path, open, closed) in [(&file, 0o666, 0o600), (&states, 0o777, 0o700)] {
        mode(path, open);
        deployment
            .run(&["drift"])
            .expect(0)
            .says("is not believed: ")
            .never_says("as remembered");
        mode(path, closed);
    }
    deployment.run(&["drift"]).expect(0).never_says("believed");
}

#[test]
fn a_place_of_a_state_in_a_file_starts_nothing_and_one_that_is_typed_does() {
    let deployment = applied();
    let location = json!({ "type": "scratch_state", "executable": provider(), "args": [],
        "inputs": { "file": deployment.path("state") } });
    let file = deployment.path("location.json");
    fs::write(&file, location.to_string()).unwrap();
    let at = format!("@{}", file.display());
    let list = |location: &str| deployment.run(&["state", "list", "--state", location]);
    list(&location.to_string())
        .expect(0)
        .says("1 resource recorded");
    list(&at)
        .expect(1)
        .says("--allow-provider")
        .says("was not started");
    let allow = provider().to_str().unwrap().to_owned();
    deployment
        .run(&["state", "list", "--state", &at, "--allow-provider", &allow])
        .expect(0)
        .says("1 resource recorded");
}

#[test]
fn a_record_sends_no_secret_to_a_server_of_its_own() {
    let connection = r#"connection = { host = "db1"; password.file = "/run/keys/db"; };"#;
    let members = |more: &str| {
        format!(r#"{{ inherit state; a = thing "a" {{ content = 1; {connection} }}; {more} }}"#)
    };
    let deployment = Deployment::new(&members(""));
    deployment.run(&["apply"]).expect(0);
    let requests = deployment.path("requests");
    let run = |arguments: &[&str]| {
        let mut command = deployment.command(arguments);
        command.env("SCRATCH_REQUESTS", &requests);
        ran(&mut command)
    };
    let executable = provider().to_str().unwrap().to_owned();
    let mut forged = record(&deployment, "scratch_thing", Some((&executable, &[])));
    let evil = json!({ "host": "evil.example.org", "password": { "file": "/run/keys/db" } });
    forged["input_properties"]["connection"] = evil.clone();
    forge(&deployment, "evil", &forged);
    for arguments in COMMANDS {
        run(arguments);
        let sent = fs::read_to_string(&requests).unwrap_or_default();
        assert!(!sent.contains("evil.example.org"), "{arguments:?}: {sent}");
    }
    let told = run(&["drift"])
        .expect(1)
        .says("sends a secret to a server that the expression does not name")
        .says("evil.example.org");
    let (_, hint) = told.stdout.split_once("--allow-connection ").unwrap();
    let hint = hint.lines().next().unwrap().trim_matches('\'');
    assert_eq!(serde_json::from_str::<Value>(hint).unwrap(), evil);
    run(&["drift", "--allow-connection", hint]);
    let sent = fs::read_to_string(&requests).unwrap();
    assert!(sent.contains("evil.example.org"), "{sent}");
    run(&["drift", "--allow-connection", "{"]).expect(64);
    deployment.run(&["state", "rm", "--yes", "evil"]).expect(0);

    // What left the expression goes where the expression had it go, on this machine.
    deployment.run(&["apply"]).expect(0);
    deployment.write("{ inherit state; }");
    let home = deployment.path("home");
    let kept = deployment.path("kept");
    copy(&home, &kept);
    fs::remove_dir_all(&home).unwrap();
    run(&["gc", "--yes"]).expect(1).says("--allow-connection");
    assert!(deployment.thing("a").is_some());
    fs::remove_dir_all(&home).unwrap();
    fs::rename(&kept, &home).unwrap();
    run(&["plan"]).expect(0);
    run(&["gc", "--yes"]).expect(0).says("1 destroyed");
    assert!(deployment.thing("a").is_none());
}

#[test]
fn a_record_touches_nothing_of_another_deployment() {
    let deployment = applied();
    let executable = provider().to_str().unwrap().to_owned();
    let mut forged = record(&deployment, "scratch_thing", Some((&executable, &[])));
    forged["input_properties"]["owner"] = json!("another");
    deployment.tamper("evil", &json!({ "serial": "serial-evil" }));
    forge(&deployment, "evil", &forged);
    for arguments in COMMANDS {
        deployment.run(arguments);
        assert!(deployment.thing("evil").is_some(), "{arguments:?}");
    }
    deployment
        .run(&["gc", "--yes"])
        .expect(1)
        .says(r#"is said to be of the deployment "another""#)
        .says("--allow-owner another");
    deployment
        .run(&["gc", "--yes", "--allow-owner", "another"])
        .expect(0)
        .says("1 destroyed");
    assert!(deployment.thing("evil").is_none());
}
