//! A server, an administrator of it, and requests to the provider.

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::Provider;
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

pub(crate) const ROLE: &str = "postgresql_role";
pub(crate) const DATABASE: &str = "postgresql_database";

/// The configuration of a server of the version that is tested.
pub(crate) fn config() -> Config {
    Config::default()
}

/// A server, and as whom it is administered.
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) sandbox: Sandbox,
    pub(crate) restricted: bool,
    /// More environment variables of the provider.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::on(Server::start(&config()), false)
    }

    /// As an administrator with CREATEROLE and CREATEDB alone.
    pub(crate) fn restricted() -> Self {
        Self::on(Server::start(&config()), true)
    }

    pub(crate) fn on(server: Server, restricted: bool) -> Self {
        if restricted {
            server.sql(
                "create role admin login createrole createdb password 'secret';
                 grant set on parameter nixops4_resources.database, nixops4_resources.inside to admin",
            );
        }
        Self {
            server,
            sandbox: Sandbox::new(),
            restricted,
            environment: Vec::new(),
        }
    }

    /// What has to hold for both administrators.
    pub(crate) fn both(test: impl Fn(&Self)) {
        for place in [Self::new(), Self::restricted()] {
            test(&place);
            place.nothing_borrowed();
        }
    }

    /// The administrator has given back every membership; from PostgreSQL 16 on it
    /// may administer what it has made.
    pub(crate) fn nothing_borrowed(&self) {
        let options = if self.server.version() >= 16 {
            "not admin_option or inherit_option or set_option"
        } else {
            "true"
        };
        let left = self.server.sql(&format!(
            "select roleid::regrole from pg_auth_members where member = to_regrole('admin') and ({options})"
        ));
        assert_eq!(left, "");
    }

    pub(crate) fn sql(&self, statements: &str) -> String {
        self.server.sql(statements)
    }

    pub(crate) fn connection(&self) -> Value {
        let (user, file) = if self.restricted {
            ("admin", self.sandbox.write("admin-password", "secret"))
        } else {
            ("postgres", self.server.superuser_password_file())
        };
        json!({
            "host": self.server.host(), "port": self.server.port(), "user": user,
            "password": {"file": file},
        })
    }

    /// Inputs with a connection and an owner.
    pub(crate) fn inputs(&self, more: Value) -> Object {
        let mut inputs = object(json!({"connection": self.connection(), "owner": "tests"}));
        inputs.extend(object(more));
        inputs
    }

    /// A file with a secret, as a reference to it.
    pub(crate) fn secret(&self, name: &str, value: &str) -> Value {
        json!({"file": self.sandbox.write(name, value)})
    }

    pub(crate) fn spawn(&self) -> Provider {
        let mut command = self
            .sandbox
            .command(binaries::path("nixops4-resources-postgresql"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Provider::spawn(command)
    }

    pub(crate) fn ask(&self, request: &Value) -> Result<Value, String> {
        let mut provider = self.spawn();
        provider.send(request.to_string());
        let line = provider.receive(std::time::Duration::from_mins(5));
        let ended = provider.finish();
        let line = line.unwrap_or_else(|silence| {
            panic!("{silence:?}: {}", String::from_utf8_lossy(&ended.stderr))
        });
        messages::answer(request, &line)
    }

    pub(crate) fn create(&self, kind: &str, inputs: &Object) -> Result<Object, String> {
        let answer = self.ask(&messages::create(kind, inputs, true))?;
        Ok(object(answer["outputProperties"].clone()))
    }

    /// Creates, and expects that a second plan finds nothing to do.
    pub(crate) fn ensure(&self, kind: &str, inputs: &Object) -> Object {
        let outputs = self
            .create(kind, inputs)
            .unwrap_or_else(|error| panic!("{error}"));
        let resource = messages::resource(kind, inputs, Some(&outputs));
        assert_eq!(
            self.plan(kind, inputs, Some(&resource)),
            ("none".to_owned(), vec![]),
            "{inputs:?}"
        );
        outputs
    }

    /// Makes a change, and expects that it is planned, and that nothing is left.
    pub(crate) fn change(
        &self,
        kind: &str,
        before: &Object,
        outputs: &Object,
        more: Value,
        paths: &[&str],
    ) -> (Object, Object) {
        let mut inputs = before.clone();
        inputs.extend(object(more));
        let resource = messages::resource(kind, before, Some(outputs));
        let (action, planned) = self.plan(kind, &inputs, Some(&resource));
        assert_eq!(
            (action.as_str(), planned),
            (
                "update",
                paths.iter().map(|path| (*path).to_owned()).collect()
            )
        );
        let outputs = self
            .update(kind, before, outputs, &inputs)
            .unwrap_or_else(|error| panic!("{error}"));
        let resource = messages::resource(kind, &inputs, Some(&outputs));
        assert_eq!(
            self.plan(kind, &inputs, Some(&resource)),
            ("none".to_owned(), vec![])
        );
        (inputs, outputs)
    }

    pub(crate) fn update(
        &self,
        kind: &str,
        before: &Object,
        outputs: &Object,
        inputs: &Object,
    ) -> Result<Object, String> {
        let resource = messages::resource(kind, before, Some(outputs));
        let answer = self.ask(&messages::update(&resource, inputs))?;
        Ok(object(answer["outputProperties"].clone()))
    }

    pub(crate) fn destroy(
        &self,
        kind: &str,
        inputs: &Object,
        outputs: &Object,
    ) -> Result<Value, String> {
        self.ask(&messages::destroy(&messages::resource(
            kind,
            inputs,
            Some(outputs),
        )))
    }

    /// The action, and the paths of the changes.
    pub(crate) fn plan(
        &self,
        kind: &str,
        inputs: &Object,
        resource: Option<&Value>,
    ) -> (String, Vec<String>) {
        let answer = self
            .ask(&messages::plan(kind, inputs, &[], resource))
            .unwrap_or_else(|error| panic!("{error}"));
        paths(&answer)
    }

    /// Drift: the plan names these, and applying mends them.
    pub(crate) fn mends(
        &self,
        kind: &str,
        inputs: &Object,
        outputs: &Object,
        drift: &str,
        expected: &[&str],
    ) {
        self.sql(drift);
        let resource = messages::resource(kind, inputs, Some(outputs));
        let (action, planned) = self.plan(kind, inputs, Some(&resource));
        assert_eq!(
            (action.as_str(), planned),
            (
                "update",
                expected.iter().map(|path| (*path).to_owned()).collect()
            ),
            "{drift}"
        );
        self.ensure(kind, inputs);
    }

    /// The error of creating, which has to name this input.
    pub(crate) fn refused(&self, kind: &str, inputs: &Object, pointer: &str) -> String {
        let error = self.create(kind, inputs).expect_err("it is refused");
        assert!(
            error.starts_with(&format!("{pointer}: ")),
            "{pointer} is not blamed: {error}"
        );
        error
    }
}

pub(crate) fn paths(plan: &Value) -> (String, Vec<String>) {
    let changes = plan["changes"].as_array().expect("changes");
    let paths = changes
        .iter()
        .map(|change| change["path"].as_str().expect("a path").to_owned());
    (
        plan["action"].as_str().expect("an action").to_owned(),
        paths.collect(),
    )
}
