//! Plans that are saved and then applied, checks that ask no server, and recorded
//! outputs: with every provider, against a real server.

use std::path::PathBuf;
use std::process::Output;

use nixops4_resources_tests::canary::Canary;
use serde_json::Value;

use super::{Site, in_project, summary, text};

/// The demo, as it is reviewed and looked at.
struct Review {
    site: Site,
    demo: PathBuf,
    plan: PathBuf,
    printed: Vec<Output>,
}

impl Review {
    fn new() -> Self {
        let site = Site::of_the_demo();
        Self {
            plan: site.sandbox.work().join("plan.json"),
            demo: in_project("nixops4/examples/demo/nixops4.nix"),
            printed: Vec::new(),
            site,
        }
    }

    fn run(&mut self, arguments: &[&str]) -> &Output {
        let output = self.site.run(&self.demo, arguments);
        self.printed.push(output);
        self.printed.last().expect("one")
    }

    fn document(&mut self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn save(&mut self) {
        let plan = self.plan.to_string_lossy().into_owned();
        self.document(&["plan", "--out", &plan]);
    }

    fn apply(&mut self) -> Output {
        let plan = self.plan.to_string_lossy().into_owned();
        self.run(&["apply", &plan]).clone()
    }

    /// What an apply says that is refused.
    fn refused(&mut self) -> String {
        let output = self.apply();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        text(&output.stderr)
    }

    fn limit(&self) -> String {
        let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'guestbook'";
        self.site.server.sql(limit)
    }

    fn set_limit(&self, limit: u32) {
        let statement = format!("ALTER ROLE guestbook CONNECTION LIMIT {limit}");
        self.site.server.sql(&statement);
    }
}

#[test]
fn a_saved_plan_is_done_and_no_other() {
    let mut review = Review::new();
    let log = review.site.server.log().len();
    let valid = review.document(&["validate"]);
    assert_eq!(valid["valid"], true, "{valid}");
    let graph = review.document(&["graph"]);
    let edges = graph["members"].to_string();
    assert!(
        edges.contains(r#"{"path":["guestbook","password"],"output":"secret"}"#),
        "{edges}"
    );
    let since = review.site.server.log()[log..].to_owned();
    assert!(!since.contains("statement:"), "somebody asked: {since}");
    assert!(!review.site.state().exists());

    // Most inputs are unknown at first: the administrator's password is an output.
    review.save();
    assert_eq!(
        review.site.databases(),
        "postgres",
        "a plan changes nothing"
    );
    let applied = summary(&review.apply());
    assert_eq!(applied["failed"], Value::Array(Vec::new()), "{applied}");
    assert_eq!(
        review.site.databases(),
        "guestbook\nguestbook_archive\npostgres"
    );
    let again = review.refused();
    assert!(again.contains("nothing is left to be done"), "{again}");

    // Somebody changes what the plan is about, and then takes that back.
    review.set_limit(1);
    review.save();
    review.set_limit(2);
    let moved = review.refused();
    assert!(
        moved.contains("'guestbook.role': /connectionLimit is not what it was"),
        "{moved}"
    );
    assert_eq!(review.limit(), "2");
    review.set_limit(1);
    summary(&review.apply());
    assert_eq!(review.limit(), "20");

    // Somebody else records something, and it is told who.
    review.set_limit(1);
    review.save();
    let mv = ["state", "mv", "guestbook.archive", "guestbook.old"];
    review.document(&mv);
    let moved = review.refused();
    assert!(
        moved.contains("recorded since: 'guestbook.old'; forgotten since: 'guestbook.archive'"),
        "{moved}"
    );
    assert!(
        moved.lines().any(|line| line.trim_start().starts_with('#')),
        "{moved}"
    );
    assert_eq!(review.limit(), "1");

    let recorded = review.document(&["outputs", "guestbook.role.name"]);
    assert_eq!(recorded["outputs"][0]["value"], "guestbook");

    // The secrets are in none of it, at trace level of every process.
    let password = review.site.made_password();
    let superuser = std::fs::read_to_string(review.site.server.superuser_password_file());
    for secret in [
        password,
        superuser.expect("it"),
        review.site.private_key.clone(),
    ] {
        let secret = Canary::with(secret);
        for output in &review.printed {
            secret.assert_absent("stdout", &output.stdout);
            secret.assert_absent("stderr", &output.stderr);
        }
        secret.assert_absent("the plan", std::fs::read(&review.plan).expect("a plan"));
    }
}

#[test]
fn a_mistake_is_found_without_a_server() {
    let mut review = Review::new();
    review.demo = in_project("tests/tests/apply/mistaken.nix");
    let output = review.run(&["validate"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let problems = report["problems"].as_array().expect("problems").iter();
    let told: Vec<String> = problems
        .map(|it| it["message"].as_str().expect("a message").to_owned())
        .collect();
    assert_eq!(
        told,
        [
            "members wait for each other: 'egg' -> 'hen' -> 'egg'",
            "'role' and 'twin' are the same postgresql_role: give one of them another name, or \
             remove it",
        ]
    );
}
