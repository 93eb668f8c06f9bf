//! Names that go wrong where statements are put together without quoting.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use nixops4_resources_tests::messages::{self, object, set};
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use super::{DATABASE, ROLE, SERVERS, Site};

/// Names that go wrong where they are put together without quoting.
fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "App",
        "UPPER",
        "two words",
        " leading",
        "trailing ",
        "tab\there",
        "new\nline",
        "cr\rhere",
        "a\"b",
        "\"",
        "\"\"",
        "a'b",
        "'",
        "''",
        "a\\b",
        "\\",
        "\\\\'",
        "E'x'",
        "$",
        "$$",
        "$1",
        "$a$",
        "%",
        "%s",
        "%I",
        "a%20b",
        "a;b",
        "; DROP ROLE postgres; --",
        "'; DROP ROLE postgres; --",
        "\"; DROP ROLE postgres; --",
        "--",
        "/* x */",
        "a--b",
        "select",
        "user",
        "table",
        "all",
        "current_user",
        "session_user",
        "null",
        "true",
        "default",
        "1",
        "1a",
        "-1",
        "a-b",
        "a.b",
        "a,b",
        "a:b",
        "a=b",
        "a@b",
        "a/b",
        "a&b",
        "a|b",
        "{a}",
        "[a]",
        "(a)",
        "*",
        "?",
        "ü",
        "名前",
        "🐘",
        "é",
        "e\u{301}",
        "\u{202e}rtl",
        "\u{7f}",
        "\u{1}",
        "\u{a0}",
        "template",
        "root",
    ]
    .map(ToOwned::to_owned)
    .into();
    names.push("ü".repeat(31));
    names
}

#[test]
fn odd_names_are_taken_as_they_stand() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    let names = odd_names();
    assert!(names.len() >= 64);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    // All on one process: this is about names.
    let mut provider = Provider::spawn(site.command());
    let mut send =
        |request: &Value| messages::answer(request, &provider.request(request.to_string()));
    for name in &names {
        let inputs = site.inputs(name);
        let create = messages::create(ROLE, &inputs, true);
        let made = send(&create).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let outputs = object(made["outputProperties"].clone());
        assert_eq!(outputs["name"], json!(name));
        let oid = server.sql(&format!(
            "SELECT oid FROM pg_roles WHERE rolname = {}",
            sql(name)
        ));
        assert_eq!(oid, outputs["oid"].to_string(), "{name:?}");
        // Marked, changed, renamed, and a group and owner of others.
        let mut changed = inputs.clone();
        set(&mut changed, "/connectionLimit", json!(3));
        set(&mut changed, "/name", json!("in between"));
        let resource = messages::resource(ROLE, &inputs, Some(&outputs));
        send(&messages::update(&resource, &changed))
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        set(&mut changed, "/name", json!(name));
        send(&messages::update(&resource, &changed))
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let plan = send(&messages::plan(ROLE, &changed, &[], Some(&resource)));
        assert_eq!(plan.expect("a plan")["action"], "none", "{name:?}");
    }
    // Each a member of all the others.
    let mut member = site.inputs("member of all");
    set(&mut member, "/memberOf", json!(names));
    send(&messages::create(ROLE, &member, true)).expect("it is a member");
    let groups = server
        .sql("SELECT count(*) FROM pg_auth_members WHERE member = '\"member of all\"'::regrole");
    assert_eq!(groups, names.len().to_string());
    // Quoted as the server itself would: its own function is the judge.
    let mut drops = String::from("DROP ROLE \"member of all\"");
    for name in &names {
        let quoted = server.sql(&format!("SELECT quote_ident({})", sql(name)));
        write!(drops, ", {quoted}").expect("writing to a string");
    }
    // A database for some: they cost more.
    for name in names.iter().step_by(4) {
        let mut inputs = site.inputs(name);
        set(&mut inputs, "/ownerRole", json!(name));
        let made = send(&messages::create(DATABASE, &inputs, true));
        let made = made.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(made["outputProperties"]["name"], json!(name));
        assert_eq!(made["outputProperties"]["ownerRole"], json!(name));
        let outputs = object(made["outputProperties"].clone());
        set(&mut inputs, "/deletionPolicy", json!("delete"));
        let resource = messages::resource(DATABASE, &inputs, Some(&outputs));
        let plan = send(&messages::plan(DATABASE, &inputs, &[], Some(&resource)));
        assert_eq!(plan.expect("a plan")["action"], "none", "{name:?}");
        send(&messages::destroy(&resource)).unwrap_or_else(|error| panic!("{name:?}: {error}"));
    }
    assert_eq!(
        server.sql("SELECT count(*) FROM pg_database WHERE NOT datistemplate"),
        "1"
    );
    server.sql(&drops);
}

/// A literal that `psql` doesn't read anything into.
fn sql(text: &str) -> String {
    let escaped: String = text.chars().fold(String::new(), |mut all, c| {
        let _ = write!(all, "\\U{:08X}", c as u32);
        all
    });
    format!("E'{escaped}'")
}
