//! A server, an administrator of it, and calls of the provider.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::pool::{Lease, Pool};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::{killed_at, oneshot};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

/// The password of the restricted administrator: no secret.
const PASSWORD: &str = "restricted-administrator";

/// What vouches for marks.
pub(crate) const WITNESSES: &str = "nixops4_resources.database, nixops4_resources.inside";

static SERVERS: Pool<Server> = Pool::new(|| {
    Server::start(&Config {
        settings: vec![("max_prepared_transactions".to_owned(), "10".to_owned())],
        ..Config::default()
    })
});

/// Somebody who manages a server.
pub(crate) struct Place {
    pub(crate) server: Lease<Server>,
    pub(crate) sandbox: Sandbox,
    pub(crate) is_superuser: bool,
    /// The name of the administrator's role.
    pub(crate) user: &'static str,
    connection: Value,
    number: u32,
}

/// Every administrator of the server.
pub(crate) fn everywhere(test: impl Fn(&Place)) {
    for is_superuser in [true, false] {
        test(&Place::new(SERVERS.lease(), is_superuser));
    }
}

impl Place {
    fn new(server: Lease<Server>, is_superuser: bool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let sandbox = Sandbox::new();
        let (user, password) = if is_superuser {
            ("postgres", server.superuser_password_file())
        } else {
            let there = server.sql("SELECT 1 FROM pg_roles WHERE rolname = 'manager'");
            if there.is_empty() {
                server.sql(&format!(
                    "CREATE ROLE manager LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}'"
                ));
            }
            // A test may have taken it away.
            server.sql(&format!("GRANT SET ON PARAMETER {WITNESSES} TO manager"));
            ("manager", sandbox.write("manager", PASSWORD))
        };
        let connection = json!({
            "host": server.host(),
            "port": server.port(),
            "user": user,
            "password": {"file": password},
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            server,
            sandbox,
            is_superuser,
            user,
            connection,
            number,
        }
    }

    /// A name that no other test has, and that has to be quoted.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{name} \"{}\" it's", self.number)
    }

    /// Inputs with what every kind needs.
    pub(crate) fn inputs(&self, more: Value) -> Object {
        let mut inputs = object(json!({"owner": "tests", "connection": self.connection}));
        inputs.extend(object(more));
        inputs
    }

    /// A role and a database that it owns; gives both names.
    pub(crate) fn database(&self) -> (String, String) {
        let (role, database) = (self.name("owner"), self.name("database"));
        self.make("postgresql_role", json!({"name": role}));
        self.make(
            "postgresql_database",
            json!({"name": database, "ownerRole": role}),
        );
        (role, database)
    }

    /// Creates something; it has to work, and a plan then has nothing to do.
    pub(crate) fn make(&self, kind: &'static str, more: Value) -> Thing<'_> {
        let mut thing = self.thing(kind, more);
        thing.create();
        thing
    }

    /// Something that isn't there yet.
    pub(crate) fn thing(&self, kind: &'static str, more: Value) -> Thing<'_> {
        Thing {
            place: self,
            kind,
            inputs: self.inputs(more),
            record: None,
        }
    }

    pub(crate) fn command(&self) -> Command {
        self.sandbox
            .command(binaries::path("nixops4-resources-postgresql"))
    }

    /// Sends a request to a process of its own.
    pub(crate) fn send(&self, request: &Value) -> Result<Value, String> {
        let output = oneshot(self.command(), [request.to_string()]);
        assert!(output.status.success(), "{output:?}");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        messages::answer(request, stdout.trim_end())
    }

    /// Sends a request to a process that kills itself at a failpoint.
    fn kill_at(&self, point: &str, request: &Value) {
        let _ended = killed_at(self.command(), point, 0, request.to_string());
    }

    /// Runs SQL as the superuser in a database.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.server.sql_in(database, sql)
    }
}

/// One resource.
pub(crate) struct Thing<'a> {
    place: &'a Place,
    kind: &'static str,
    inputs: Object,
    record: Option<Value>,
}

impl Thing<'_> {
    /// Sets an input.
    pub(crate) fn set(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Self {
        messages::set(&mut self.inputs, pointer, value.into());
        self
    }

    /// Forgets what was recorded.
    pub(crate) fn forget(&mut self) -> &mut Self {
        self.record = None;
        self
    }

    fn request(&self) -> Value {
        match &self.record {
            None => messages::create(self.kind, &self.inputs, false),
            Some(record) => messages::update(record, &self.inputs),
        }
    }

    /// Creates or updates; gives the outputs.
    pub(crate) fn try_create(&mut self) -> Result<Object, String> {
        let answer = self.place.send(&self.request())?;
        let outputs = object(answer["outputProperties"].clone());
        self.record = Some(messages::resource(self.kind, &self.inputs, Some(&outputs)));
        Ok(outputs)
    }

    /// The same; it has to work, and a plan then has nothing to do.
    pub(crate) fn create(&mut self) -> Object {
        let outputs = self
            .try_create()
            .unwrap_or_else(|error| panic!("{}: {error}", self.kind));
        assert_eq!(
            self.plan(),
            ("none".to_owned(), Vec::new()),
            "{}",
            self.kind
        );
        outputs
    }

    /// What fails; with every part of the message.
    pub(crate) fn refused(&mut self, parts: &[&str]) {
        match self.try_create() {
            Ok(outputs) => panic!("{} was not refused: {outputs:?}", self.kind),
            Err(error) => assert_parts(&error, parts),
        }
    }

    pub(crate) fn kill_at(&self, point: &str) {
        self.place.kill_at(point, &self.request());
    }

    /// The action of a plan, and the paths of its changes.
    pub(crate) fn plan(&self) -> (String, Vec<String>) {
        let request = messages::plan(self.kind, &self.inputs, &[], self.record.as_ref());
        let plan = self
            .place
            .send(&request)
            .unwrap_or_else(|error| panic!("{} can't be planned: {error}", self.kind));
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let changes = plan["changes"].as_array().expect("changes");
        let paths = changes.iter().map(|change| text(&change["path"]));
        (text(&plan["action"]), paths.collect())
    }

    /// Panics if a plan isn't this, in whatever order.
    pub(crate) fn plans(&self, action: &str, paths: &[&str]) {
        let mut expected: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        let (planned, mut changes) = self.plan();
        expected.sort();
        changes.sort();
        assert_eq!((&*planned, changes), (action, expected), "{}", self.kind);
    }

    fn destruction(&self, policy: &str) -> Value {
        let mut record = self.record.clone().expect("it was created");
        record["inputProperties"]["deletionPolicy"] = json!(policy);
        messages::destroy(&record)
    }

    pub(crate) fn try_destroy(&self, policy: &str) -> Result<(), String> {
        self.place.send(&self.destruction(policy)).map(drop)
    }

    /// Destroys it, twice.
    pub(crate) fn destroy(&self, policy: &str) {
        for _ in 0..2 {
            self.try_destroy(policy)
                .unwrap_or_else(|error| panic!("{}: {error}", self.kind));
        }
    }

    pub(crate) fn kill_destroying_at(&self, point: &str, policy: &str) {
        self.place.kill_at(point, &self.destruction(policy));
    }

    /// Lists what carries the mark; gives the identities of what is in its database, if
    /// it is in one: others use the server, too.
    pub(crate) fn list(&self) -> Vec<Value> {
        let (mut all, _) = self.list_everywhere();
        if let Some(database) = self.inputs.get("database") {
            all.retain(|identity| identity["database"] == *database);
        }
        all
    }

    /// The identities in all databases, and what could not be looked into.
    pub(crate) fn list_everywhere(&self) -> (Vec<Value>, Vec<Value>) {
        let request = json!({"nixops4-resources/listResourcesRequest": {
            "type": self.kind, "inputProperties": self.inputs,
        }});
        let answer = self.place.send(&request).expect("it lists");
        let all = answer["resources"].as_array().expect("a list");
        let all = all.iter().map(|one| one["identity"].clone()).collect();
        let unseen = answer["unseen"].as_array().cloned();
        (all, unseen.unwrap_or_default())
    }
}

/// Panics if a message lacks one of these.
pub(crate) fn assert_parts(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(message.contains("hint: "), "there is no hint in: {message}");
}

/// An identifier in SQL.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal in SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
