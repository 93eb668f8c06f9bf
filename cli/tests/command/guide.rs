//! The guide's transcripts are what the command prints: those in the guide are
//! compared, or with `UPDATE_GUIDE=1` written.
//!
//! Each stands between `<!-- transcript: NAME -->` and the end of its code block.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::Deployment;

const WEB: &str = r#"{
  inherit state;
  volume = thing "volume" { content = "empty"; size = 20; deletionPolicy = "retain"; };
  web.members = {
    config = thing "web.conf" { content = { port = 8080; }; };
    site = thing "site" { content = o.volume.serial; };
  };
}"#;

struct Guide {
    deployment: Deployment,
    transcripts: BTreeMap<&'static str, String>,
}

impl Guide {
    /// Runs it, one thing after another, so that it prints the same each time.
    fn show(&mut self, name: &'static str, code: i32, arguments: &[&str]) {
        let one_by_one = [arguments, &["--parallel", "1"]].concat();
        let ran = self.deployment.run(&one_by_one).expect(code);
        let directory = self.deployment.path("").to_string_lossy().into_owned();
        let output = format!("{}{}", ran.stdout, ran.stderr).replace(&directory, "/srv/web/");
        let output = steady(&output);
        let text = format!("$ nixops4-resources {}\n{output}", arguments.join(" "));
        self.transcripts.insert(name, text);
    }
}

/// Times as they could be.
fn steady(output: &str) -> String {
    let steady = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let is_time = |index: usize| {
            words[index].parse::<f64>().is_ok()
                && words
                    .get(index + 1)
                    .is_some_and(|unit| matches!(*unit, "s" | "s:"))
        };
        let words: Vec<&str> = (0..words.len())
            .map(|index| if is_time(index) { "0.1" } else { words[index] })
            .collect();
        words.join(" ") + "\n"
    };
    output.lines().map(steady).collect()
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/lifecycle.md")
}

/// The guide with these transcripts in it.
fn filled(guide: &str, transcripts: &BTreeMap<&str, String>) -> String {
    let mut filled = String::new();
    let mut rest = guide;
    let mut used = Vec::new();
    while let Some((before, after)) = rest.split_once("<!-- transcript: ") {
        let (name, after) = after.split_once(" -->\n").expect("the mark ends");
        let (_, after) = after.split_once("```console\n").expect("a code block");
        let (_, after) = after.split_once("```\n").expect("it ends");
        let text = transcripts.get(name).unwrap_or_else(|| panic!("{name}"));
        used.push(name);
        filled.push_str(before);
        let _ = write!(
            filled,
            "<!-- transcript: {name} -->\n```console\n{text}```\n"
        );
        rest = after;
    }
    assert_eq!(used.len(), transcripts.len(), "{used:?}");
    filled + rest
}

#[test]
fn the_guide_shows_what_is_printed() {
    let mut guide = Guide {
        deployment: Deployment::of_suite(WEB),
        transcripts: BTreeMap::new(),
    };
    guide.show("first plan", 0, &["plan"]);
    guide.show("first apply", 0, &["apply"]);
    guide.show("nothing to do", 0, &["apply"]);

    guide
        .deployment
        .write(&WEB.replace("8080", "8443").replace("20", "40"));
    guide.show("a change", 0, &["plan"]);
    guide.deployment.run(&["apply"]).expect(0);

    guide.deployment.tamper(
        "web.conf",
        &json!({ "content": { "port": 80 }, "serial": "serial-web.conf" }),
    );
    guide.show("drift", 2, &["drift"]);
    guide.deployment.run(&["apply"]).expect(0);

    guide.deployment.tamper(
        "old",
        &json!({ "content": "as found", "serial": "serial-old" }),
    );
    let with_old = WEB.replace("8080", "8443").replace("20", "40").replace(
        "inherit state;",
        "inherit state; old = thing \"old\" { content = \"as wanted\"; };",
    );
    guide.deployment.write(&with_old);
    guide.show("import", 0, &["import", "old"]);
    guide.deployment.run(&["apply"]).expect(0);

    guide
        .deployment
        .write(&WEB.replace("8080", "8443").replace("20", "40"));
    guide.show("gc", 0, &["gc", "--yes"]);

    let renamed = WEB.replace("site = thing", "page = thing");
    guide
        .deployment
        .write(&renamed.replace("8080", "8443").replace("20", "40"));
    guide.show("another name", 0, &["gc"]);
    guide.show("renamed", 0, &["state", "mv", "web.site", "web.page"]);
    guide.show("after renaming", 0, &["plan"]);
    guide.show("destroy", 0, &["destroy", "--yes"]);

    let committed = std::fs::read_to_string(path()).expect("the guide");
    let fresh = filled(&committed, &guide.transcripts);
    if std::env::var_os("UPDATE_GUIDE").is_some() {
        std::fs::write(path(), &fresh).expect("the guide");
        return;
    }
    assert!(
        committed == fresh,
        "the transcripts in docs/guides/lifecycle.md are not what is printed now; run `make \
         generate` and read what changed:\n{fresh}"
    );
}

#[test]
fn a_narrow_terminal_gets_all_of_it() {
    let deployment = Deployment::new(WEB);
    let narrow = |arguments: &str| {
        // `script` gives it a terminal of that width.
        let command = format!(
            "stty cols 24; {} {arguments}",
            env!("CARGO_BIN_EXE_nixops4-resources")
        );
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .current_dir(deployment.path(""))
            .env("XDG_STATE_HOME", deployment.path("home"))
            .env("NO_COLOR", "1")
            .output()
            .expect("script");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let plan = narrow("plan");
    assert!(
        plan.contains("+ volume") && plan.contains("web.site"),
        "{plan}"
    );
    assert!(!plan.contains('\u{1b}'), "{plan:?}");
    assert!(narrow("apply").contains("created"));
    assert!(narrow("drift").contains("No drift"));
    let asked = narrow("destroy </dev/null");
    assert!(asked.contains("nobody to ask"), "{asked}");
    assert!(narrow("destroy --yes").contains("destroyed"));
}
