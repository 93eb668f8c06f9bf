//! What shells complete, and how quickly.

use std::process::Command;

use crate::support::{Deployment, Ran, ran};

/// What a shell is answered for the last word of a line.
fn answered(deployment: &Deployment, shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = deployment.command(&["--", "nixops4-resources"]);
    command
        .args(words)
        .env("_NIXOPS4_RESOURCES_COMPLETE", shell)
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n");
    let told = ran(&mut command).stdout;
    told.lines().map(str::to_owned).collect()
}

const WEB: &str = r#"{ inherit state; db = thing "db" { }; web.members.site = thing "site" { };
  "x\"y $(reboot)" = thing "x" { }; }"#;

#[test]
fn members_and_outputs_are_completed_as_remembered_and_nobody_is_asked() {
    let deployment = Deployment::new(WEB);
    let plan = ["plan", "--target", "w"];
    // Nothing was planned here yet: nothing is offered, and nothing is said.
    assert_eq!(answered(&deployment, "zsh", &plan), [""; 0]);
    deployment.run(&["plan"]).expect(0);
    assert_eq!(answered(&deployment, "zsh", &plan), ["web", "web.site"]);
    let outputs = ["outputs", "db."];
    assert_eq!(answered(&deployment, "fish", &outputs), [""; 0]);
    deployment.run(&["apply"]).expect(0);
    let expected = ["db.content", "db.path", "db.serial"];
    assert_eq!(answered(&deployment, "fish", &outputs), expected);
    // A deployment that can't be evaluated, and a state that is gone, change nothing.
    std::fs::remove_file(deployment.path("state")).unwrap();
    deployment.write("{ a = abort \"no\"; }");
    assert_eq!(answered(&deployment, "bash", &plan), ["web", "web.site"]);
    for words in [
        &["destroy", "d"][..],
        &["state", "mv", "d"],
        &["gc", "d"],
        &["import", "d"],
        &["apply", "--target", "d"],
        &["drift", "d"],
    ] {
        assert_eq!(answered(&deployment, "bash", words), ["db"], "{words:?}");
    }
    // Another deployment has other members.
    std::fs::write(deployment.path("other.nix"), "{ }").unwrap();
    let other = ["--file", "other.nix", "plan", "--target", "w"];
    assert_eq!(answered(&deployment, "bash", &other), [""; 0]);
    // Commands and options, too.
    assert_eq!(answered(&deployment, "bash", &["vali"]), ["validate"]);
    let formats = ["graph", "--format", "m"];
    assert_eq!(
        answered(&deployment, "fish", &formats)[0]
            .split('\t')
            .next(),
        Some("mermaid")
    );
}

#[test]
fn a_member_of_any_name_is_one_word_in_bash() {
    let deployment = Deployment::new(WEB);
    deployment.run(&["plan"]).expect(0);
    let script = r#"
        source <("$0" completion bash)
        COMP_WORDS=(nixops4-resources plan --target "")
        COMP_CWORD=3 COMP_TYPE=9
        _clap_complete_nixops4_resources nixops4-resources "" --target
        for word in "${COMPREPLY[@]}"; do eval "set -- $word"; echo "$#: $1"; done"#;
    let program = env!("CARGO_BIN_EXE_nixops4-resources");
    let mut bash = Command::new("bash");
    bash.args(["-c", script, program])
        .current_dir(deployment.path(""))
        .env("XDG_STATE_HOME", deployment.path("home"));
    let Ran { stdout, stderr, .. } = ran(&mut bash).expect(0);
    let expected = [
        "1: db",
        "1: state",
        "1: web",
        "1: web.site",
        "1: \"x\\\"y $(reboot)\"",
    ];
    let mut words: Vec<&str> = stdout.lines().take(5).collect();
    words.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(words, expected, "{stdout}\n{stderr}");
}

#[test]
fn manual_pages_are_printed_and_written() {
    let deployment = Deployment::new("{ }");
    deployment
        .run(&["man", "state", "mv"])
        .expect(0)
        .says(".TH nixops4-resources-state-mv 1");
    deployment
        .run(&["man"])
        .expect(0)
        .says("NIXOPS4_RESOURCES_LOG")
        .says("verbose");
    deployment.run(&["man", "--into", "man1"]).expect(0);
    for page in ["", "-apply", "-state-mv", "-outputs"] {
        let file = deployment.path(&format!("man1/nixops4-resources{page}.1"));
        assert!(file.is_file(), "{}", file.display());
    }
    deployment
        .run(&["man", "nonsense"])
        .expect(64)
        .says("there is no command 'nonsense' here; there are plan");
    deployment
        .run(&["man", "--into", "nixops4.nix"])
        .expect(1)
        .says("cannot write manual pages into nixops4.nix");
}

#[test]
fn help_says_how_much_is_said() {
    let deployment = Deployment::new("{ }");
    deployment
        .run(&["--help"])
        .expect(0)
        .says("NIXOPS4_RESOURCES_LOG ")
        .says("--verbose  ")
        .says("off, error, warn, info, debug or trace");
}
