//! What a deployment goes through: drift, removal, renaming, what was left
//! behind, what was there before, and the end.

use std::path::Path;
use std::process::Output;

use nixops4_resources_tests::postgres::Config;
use serde_json::{Value, json};

use super::{Site, counts, in_project, summary, text};

struct Year {
    site: Site,
    step: &'static str,
}

impl Year {
    fn run(&self, arguments: &[&str]) -> Output {
        let file = in_project("tests/tests/apply/year.nix");
        let steps = [("STEP", self.step), ("FAILPOINTS", "")];
        self.site.run_with(&file, arguments, &steps)
    }

    fn sql(&self, statement: &str) -> String {
        self.site.server.sql(statement)
    }
}

/// The lines of JSON that a command that succeeded printed.
fn events(output: &Output) -> Vec<Value> {
    summary(output);
    let stdout = text(&output.stdout);
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// What was destroyed or retired, in order.
fn finished(events: &[Value]) -> Vec<(String, String)> {
    events
        .iter()
        .filter(|event| event["event"] == "finished")
        .map(|event| {
            let path: Vec<&str> = event["path"]
                .as_array()
                .expect("a path")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let operation = event["operation"].as_str().expect("an operation");
            (path.join("."), operation.to_owned())
        })
        .collect()
}

fn position(done: &[(String, String)], name: &str) -> usize {
    done.iter()
        .position(|(path, _)| path == name)
        .unwrap_or_else(|| panic!("{name} is not in {done:?}"))
}

#[test]
fn a_deployment_is_looked_after_to_its_end() {
    let mut year = Year {
        site: Site::new(&Config::default()),
        step: "1",
    };
    summary(&year.run(&["apply"]));

    // Drift, without the expression.
    let drift = year.run(&["drift"]);
    assert_eq!(drift.status.code(), Some(0), "{}", text(&drift.stdout));
    year.sql("ALTER ROLE shop CONNECTION LIMIT 3");
    let drift = year.run(&["drift"]);
    assert_eq!(drift.status.code(), Some(2), "{}", text(&drift.stderr));
    let report: Value = serde_json::from_slice(&drift.stdout).expect("JSON");
    assert_eq!(report["findings"][0]["path"], json!(["role"]));
    assert_eq!(
        report["findings"][0]["changes"][0]["path"],
        "/connectionLimit"
    );
    assert_eq!(report["unchanged"], 4, "{report}");
    assert_eq!(summary(&year.run(&["apply"]))["updated"], 1);

    // What left the expression goes, what uses others first.
    year.step = "2";
    let refused = year.run(&["gc"]);
    assert_eq!(refused.status.code(), Some(1), "nobody said yes");
    assert!(year.site.databases().contains("shop_archive"));
    let collected = events(&year.run(&["gc", "--yes"]));
    assert_eq!(
        finished(&collected),
        [
            ("archive".to_owned(), "destroy".to_owned()),
            ("clerk".to_owned(), "destroy".to_owned())
        ]
    );
    assert_eq!(year.site.databases(), "postgres\nshop");
    assert_eq!(
        year.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'clerk'"),
        "0"
    );

    // A member with another name is the same database.
    year.step = "3";
    let nothing = year.run(&["gc", "--yes"]);
    let shown = text(&nothing.stdout);
    assert!(nothing.status.success(), "{shown}");
    assert!(
        shown.contains("nixops4-resources state mv database shop"),
        "{shown}"
    );
    assert_eq!(year.site.databases(), "postgres\nshop");
    let moved = year.run(&["state", "mv", "database", "shop"]);
    assert!(moved.status.success(), "{}", text(&moved.stderr));
    let after = counts(&year.run(&["plan"]));
    assert_eq!(after.keys().collect::<Vec<_>>(), ["unchanged"]);

    // What a crash left behind carries our mark, and is in no state.
    let lost = json!({ "owner": "year", "name": "lost", "login": false,
        "connection": { "host": year.site.server.host(), "port": year.site.server.port(),
            "user": "postgres",
            "password": { "file": year.site.server.superuser_password_file() } } });
    let made = year.run(&[
        "call",
        "create",
        "postgresql_role",
        "--inputs",
        &lost.to_string(),
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let orphans = events(&year.run(&["gc", "--orphans", "--yes"]));
    assert_eq!(finished(&orphans).len(), 1, "{orphans:?}");
    let roles =
        "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_'";
    assert_eq!(year.sql(roles), "postgres shop");

    // What was there before comes into the state as it is.
    year.sql("CREATE ROLE legacy NOLOGIN CONNECTION LIMIT 1");
    year.step = "4";
    let imported = year.run(&["import", "legacy"]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    assert!(text(&imported.stdout).contains("/connectionLimit"));
    let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'legacy'";
    assert_eq!(year.sql(limit), "1");
    let applied = summary(&year.run(&["apply"]));
    assert_eq!(
        (&applied["created"], &applied["updated"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(year.sql(limit), "7");

    // The end: data stays, out of service; secrets go last.
    let destroyed = events(&year.run(&["destroy", "--yes"]));
    let done = finished(&destroyed);
    assert!(
        position(&done, "shop") < position(&done, "role"),
        "{done:?}"
    );
    assert_eq!(position(&done, "password"), done.len() - 1, "{done:?}");
    assert_eq!(done[position(&done, "shop")].1, "retain");
    assert_eq!(year.site.databases(), "postgres\nshop");
    let connects = "SELECT datallowconn FROM pg_database WHERE datname = 'shop'";
    assert_eq!(year.sql(connects), "f");
    let again = year.run(&["destroy", "--yes"]);
    assert!(again.status.success(), "{}", text(&again.stderr));

    // Declared again, it comes back with its data.
    year.step = "3";
    summary(&year.run(&["apply"]));
    assert_eq!(year.sql(connects), "t");
    without_expression(&mut year);
}

/// The expression is gone, and the state is enough.
fn without_expression(year: &mut Year) {
    let place = format!("sqlite:{}#year", year.site.state().display());
    let gone = Path::new("/nonexistent/nixops4.nix");
    let run = |arguments: &[&str]| year.site.run_with(gone, arguments, &[]);
    let lost = run(&["destroy", "--yes"]);
    assert_eq!(lost.status.code(), Some(1));
    assert!(text(&lost.stderr).contains("--from-state"));
    summary(&run(&["destroy", "--yes", "--from-state", &place]));
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname = 'shop' AND rolcanlogin";
    assert_eq!(year.sql(roles), "0");
}
