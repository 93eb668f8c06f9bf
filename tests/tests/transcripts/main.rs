//! What upstream sends and expects, to the letter, over real stdio; and
//! whatever else can come down a pipe.

#[path = "../support"]
mod support {
    pub(crate) mod postgresql;
    pub(crate) mod secrets;
}

mod lines;
mod signals;

use std::process::{Command, Stdio};

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::pool::{Lease, Pool};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::oneshot;
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

const POSTGRESQL: &str = "nixops4-resources-postgresql";
const SECRETS: &str = "nixops4-resources-secrets";
const STATE: &str = "nixops4-resources-state";
const PROVIDERS: [&str; 3] = [POSTGRESQL, SECRETS, STATE];

static SERVERS: Pool<Server> = Pool::new(|| Server::start(&Config::default()));

/// A server, and a place to run providers in.
struct Site {
    server: Lease<Server>,
    sandbox: Sandbox,
}

impl Site {
    fn new() -> Self {
        Self {
            server: SERVERS.lease(),
            sandbox: Sandbox::new(),
        }
    }

    fn command(&self) -> Command {
        self.sandbox.command(binaries::path(POSTGRESQL))
    }

    fn role(&self, name: &str) -> Object {
        object(json!({
            "connection": support::postgresql::connection(&self.server),
            "name": name,
            "owner": "transcripts",
        }))
    }

    fn has_role(&self, name: &str) -> bool {
        let name = support::postgresql::literal(name);
        let count = format!("SELECT count(*) FROM pg_roles WHERE rolname = {name}");
        self.server.sql(&count) == "1"
    }

    fn drop_role(&self, name: &str) {
        self.server.sql(&format!("DROP ROLE \"{name}\""));
    }
}

/// A request that any provider refuses in words, whatever its kinds.
fn harmless() -> String {
    messages::create("no_such_type", &Object::new(), false).to_string()
}

fn assert_refuses_type(line: &str) {
    let refusal = messages::refusal(line);
    assert!(
        refusal.contains("no resource type \"no_such_type\""),
        "{refusal}"
    );
}

#[test]
fn as_upstream_sends_it() {
    let site = Site::new();
    // serde_json writes the fields in this order, and every unset option as null.
    let connection = json!({
        "host": site.server.host(),
        "port": site.server.port(),
        "user": "postgres",
        "password": {
            "env": null,
            "file": site.server.superuser_password_file(),
            "generation": null,
            "id": null,
            "name": null,
            "store": null,
        },
        "database": "postgres",
        "tls": null,
    });
    let inputs = format!(
        r#"{{"adopt":false,"bypassRls":false,"connection":{connection},"connectionLimit":-1,"createDatabase":false,"createRole":false,"deletionPolicy":null,"inheritPrivileges":true,"login":true,"memberOf":null,"name":"upstream","owner":"transcripts","password":null,"replication":false,"superuser":false}}"#
    );
    let create = format!(
        r#"{{"createResourceRequest":{{"type":"postgresql_role","inputProperties":{inputs},"isStateful":true}}}}"#
    );
    let created = oneshot(site.command(), [&create]);
    assert!(created.status.success());
    let oid = site
        .server
        .sql("SELECT oid FROM pg_roles WHERE rolname = 'upstream'");
    let id = site
        .server
        .sql("SELECT system_identifier FROM pg_control_system()");
    let outputs = json!({
        "name": "upstream",
        "host": site.server.host(),
        "port": site.server.port(),
        "oid": oid.parse::<i64>().expect("a number"),
        "systemIdentifier": id,
        "passwordVerified": null,
    });
    // One line, which ends with a newline, and nothing else.
    let answer = String::from_utf8(created.stdout).expect("UTF-8");
    let (line, rest) = answer.split_once('\n').expect("a line");
    assert_eq!(rest, "");
    let expected = json!({"createResourceResponse": {"outputProperties": outputs}});
    assert_eq!(serde_json::from_str::<Value>(line).expect("JSON"), expected);
    assert_eq!(
        String::from_utf8_lossy(&created.stderr),
        "",
        "nothing to say"
    );

    let update = format!(
        r#"{{"updateResourceRequest":{{"resource":{{"type":"postgresql_role","inputProperties":{inputs},"outputProperties":{outputs}}},"inputProperties":{}}}}}"#,
        inputs.replace(r#""connectionLimit":-1"#, r#""connectionLimit":4"#)
    );
    let updated = oneshot(site.command(), [update]);
    let expected = json!({"updateResourceResponse": {"outputProperties": outputs}});
    let line: Value = serde_json::from_slice(&updated.stdout).expect("one JSON value");
    assert_eq!(line, expected);

    let destroy = format!(
        r#"{{"destroyResourceRequest":{{"resource":{{"type":"postgresql_role","inputProperties":{inputs},"outputProperties":{outputs}}}}}}}"#
    );
    let destroyed = oneshot(site.command(), [destroy]);
    let line = String::from_utf8_lossy(&destroyed.stdout);
    assert_eq!(line, "{\"destroyResourceResponse\":{}}\n");
    assert!(!site.has_role("upstream"));

    let refused = create.replace(r#""login":true"#, r#""login":true,"logln":true"#);
    let refused = oneshot(site.command(), [refused]);
    assert!(refused.status.success(), "an error is an answer");
    let line: Value = serde_json::from_slice(&refused.stdout).expect("one JSON value");
    let message = line["errorResponse"]["message"]
        .as_str()
        .expect("a message");
    assert!(
        message.starts_with("/logln: unknown field \"logln\"\nhint: did you mean \"login\"?"),
        "{message}"
    );
    assert_eq!(line, json!({"errorResponse": {"message": message}}));
    assert!(!site.has_role("upstream"));
}

#[test]
fn requests_that_are_not_offered() {
    let site = Site::new();
    let role = messages::resource("postgresql_role", &site.role("x"), None);
    let inputs = object(json!({"deployment": "transcripts", "path": "state.sqlite"}));
    let state = messages::resource("state_sqlite", &inputs, None);
    let list = |kind: &str, inputs: &Object| json!({"nixops4-resources/listResourcesRequest": {"type": kind, "inputProperties": inputs}});
    for (provider, request) in [
        (POSTGRESQL, list("postgresql_membership", &site.role("x"))),
        (POSTGRESQL, messages::read_state(&role)),
        (
            POSTGRESQL,
            messages::state_event(&role, "create", &json!([])),
        ),
        (STATE, messages::update(&state, &inputs)),
        (STATE, messages::destroy(&state)),
        (STATE, messages::plan("state_sqlite", &inputs, &[], None)),
        (STATE, list("state_sqlite", &inputs)),
    ] {
        let command = site.sandbox.command(binaries::path(provider));
        let output = oneshot(command, [request.to_string(), harmless()]);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<_> = stdout.lines().collect();
        let refusal = messages::refusal(lines[0]);
        assert!(refusal.contains("don't answer this request"), "{refusal}");
        assert!(refusal.contains("`describe`"), "{refusal}");
        assert_refuses_type(lines[1]);
    }
    // What is offered is what `describe` says.
    let refusal = oneshot(site.command(), [harmless()]);
    let refusal = messages::refusal(String::from_utf8_lossy(&refusal.stdout).trim_end());
    assert!(
        refusal.contains("hint: it has postgresql_database, postgresql_default_privileges, "),
        "{refusal}"
    );
}

#[test]
fn a_provider_says_what_it_is() {
    let sandbox = Sandbox::new();
    for name in PROVIDERS {
        let run = |argument: &str| {
            let mut command = sandbox.command(binaries::path(name));
            command
                .arg(argument)
                .stdin(Stdio::null())
                .output()
                .expect("it runs")
        };
        let described = run("describe");
        assert!(described.status.success());
        let description: Value = serde_json::from_slice(&described.stdout).expect("JSON");
        assert_eq!(description["executable"], name);
        assert_eq!(description["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(described.stderr, b"");
        for (kind, details) in description["kinds"].as_object().expect("kinds") {
            let short = description["name"].as_str().expect("a name");
            assert!(kind.starts_with(&format!("{short}_")), "{kind}");
            for which in ["inputs", "outputs"] {
                let schema = &details[which];
                for (field, of) in schema["properties"].as_object().into_iter().flatten() {
                    assert!(of["description"].is_string(), "{kind}.{field} says nothing");
                }
            }
        }
        let version = run("--version").stdout;
        let expected = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&version), expected);
        let help = run("--help");
        assert!(help.status.success());
        assert!(String::from_utf8_lossy(&help.stdout).contains("usage: "));
        let lost = run("no-such-argument");
        assert_eq!(lost.status.code(), Some(64));
        assert_eq!(lost.stdout, b"");
        assert!(String::from_utf8_lossy(&lost.stderr).contains("usage: "));
    }
}

#[test]
fn a_wrong_setting_is_answered() {
    let sandbox = Sandbox::new();
    for timeout in ["0", "soon", "-1"] {
        let mut command = sandbox.command(binaries::path(SECRETS));
        command.env("NIXOPS4_RESOURCES_TIMEOUT", timeout);
        // A client that gets no answer says only that; and one whose provider
        // reads nothing panics.
        let output = oneshot(command, [harmless()]);
        let refusal = messages::refusal(String::from_utf8_lossy(&output.stdout).trim_end());
        assert!(refusal.contains("NIXOPS4_RESOURCES_TIMEOUT"), "{refusal}");
    }
}

#[test]
fn a_secret_is_passed_on_by_reference() {
    let site = Site::new();
    let (identity, _) = support::secrets::identity(&site.sandbox);
    let store = site.sandbox.work().join("secrets.db");
    let environment = support::secrets::environment(&store, &identity);
    let run = |provider, request: &Value| {
        let mut command = site.sandbox.command(binaries::path(provider));
        command.envs(environment.clone());
        let output = oneshot(command, [request.to_string()]);
        messages::answer(request, String::from_utf8_lossy(&output.stdout).trim_end())
    };
    let password = object(json!({"name": "app/db", "owner": "transcripts"}));
    let made = run(
        SECRETS,
        &messages::create("secrets_password", &password, true),
    );
    let made = made.expect("it is made");
    let secret = &made["outputProperties"]["secret"];
    let mut role = site.role("by-reference");
    role.insert("password".to_owned(), secret.clone());
    let create = messages::create("postgresql_role", &role, true);
    run(POSTGRESQL, &create).expect("the reference is resolved");
    // Another value than the recorded one is never used silently.
    for (pointer, value, words) in [
        (
            "/password/id",
            json!("00000000-0000-4000-8000-000000000000"),
            "value",
        ),
        ("/password/generation", json!(2), "generation"),
        ("/password/name", json!("app/other"), "app/other"),
        ("/password/store", json!("other"), "\"other\""),
    ] {
        let mut wrong = role.clone();
        messages::set(&mut wrong, pointer, value);
        let error = run(
            POSTGRESQL,
            &messages::create("postgresql_role", &wrong, true),
        );
        let error = error.expect_err("there is no such value");
        assert!(error.starts_with("/password/"), "{error}");
        assert!(error.contains(words), "{error}");
    }
    site.drop_role("by-reference");
}
