//! A server with a database, the provider on it, and what is asked of it.

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::Provider;
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

pub(crate) const GRANT: &str = "postgresql_grant";
pub(crate) const DEFAULTS: &str = "postgresql_default_privileges";

pub(crate) fn start() -> Server {
    Server::start(&Config::default())
}

/// A server with a database `app`, in which `admin` may do everything that an
/// administrator without superuser can.
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) sandbox: Sandbox,
    pub(crate) restricted: bool,
}

impl Place {
    pub(crate) fn new() -> Self {
        let server = start();
        server.sql("create database app");
        Self {
            server,
            sandbox: Sandbox::new(),
            restricted: false,
        }
    }

    /// As an administrator with CREATEROLE and CREATEDB alone, who made the
    /// roles and owns nothing in the database.
    pub(crate) fn restricted() -> Self {
        let server = start();
        server.sql("create role admin login createrole createdb password 'secret'");
        server.sql("set role admin; create role maker; create role app_owner; create role reader");
        server.sql("create database app owner app_owner");
        Self {
            server,
            sandbox: Sandbox::new(),
            restricted: true,
        }
    }

    pub(crate) fn sql(&self, statements: &str) -> String {
        self.server.sql_in("app", statements)
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

    /// Inputs with a connection, an owner and the database `app`.
    pub(crate) fn inputs(&self, more: Value) -> Object {
        let mut inputs = object(json!({
            "connection": self.connection(), "owner": "tests", "database": "app",
        }));
        inputs.extend(object(more));
        inputs
    }

    pub(crate) fn ask(&self, request: &Value) -> Result<Value, String> {
        let command = self
            .sandbox
            .command(binaries::path("nixops4-resources-postgresql"));
        let mut provider = Provider::spawn(command);
        let line = provider.request(request.to_string());
        let _ended = provider.finish();
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
        assert_eq!(self.plan(kind, inputs), ("none".to_owned(), vec![]));
        outputs
    }

    pub(crate) fn update(
        &self,
        kind: &str,
        (before, outputs): (&Object, &Object),
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
    pub(crate) fn plan(&self, kind: &str, inputs: &Object) -> (String, Vec<String>) {
        let answer = self
            .ask(&messages::plan(kind, inputs, &[], None))
            .expect("a plan");
        paths(&answer)
    }

    /// What `role` has by the catalog on a table, as in an access list.
    pub(crate) fn on_table(&self, table: &str, role: &str) -> String {
        self.sql(&format!(
            "select coalesce(string_agg(privilege_type || case when is_grantable then '*' else '' end
                 || case when grantor = relowner then '' else '/' || grantor::regrole end, ' '
                 order by privilege_type, grantor::regrole::text), '')
             from pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) a
             where oid = '{table}'::regclass
               and a.grantee = {}",
            if role == "public" { "0".to_owned() } else { format!("'{role}'::regrole") }
        ))
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

pub(crate) fn with(inputs: &Object, more: Value) -> Object {
    let mut inputs = inputs.clone();
    inputs.extend(object(more));
    inputs
}

pub(crate) fn table(privileges: &[&str]) -> Value {
    json!({
        "role": "reader", "objectType": "table", "schema": "public", "objects": ["t"],
        "privileges": privileges,
    })
}
