//! What a provider that is fuzzed finds around it: secrets that must not come
//! back, and nobody to reach but who is on this machine and knows of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::port::Port;
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::sandbox::Sandbox;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};
use url::Url;

use crate::support;

/// How much address space a provider may take, in KiB: what would take all there is
/// must not take the machine along.
const SPACE: &str = "2097152";
/// The variable with a secret that references lead to.
const SECRET: &str = "ENDURANCE_SECRET";
/// One that isn't set: a request gets as far as this, and is refused.
const UNSET: &str = "ENDURANCE_UNSET";
/// Whom the server lets in with no password at all.
pub(crate) const REFUSED: &str = "nobody";
/// Strings of names that leave the folder are replaced.
const FOLDERS: [&str; 2] = ["path", "name"];

/// Whom a provider can reach.
enum Reach {
    /// Nobody: a port where nobody listens.
    Nobody(Port),
    /// A server that refuses this user, whatever the password.
    Refusing(Box<Server>),
    /// A server, as its superuser.
    Serving(Box<Server>),
}

/// See the module.
pub(crate) struct World {
    executable: &'static str,
    pub(crate) sandbox: Sandbox,
    reach: Reach,
    fixed: BTreeMap<&'static str, Value>,
    /// Which references the inputs have.
    references: Vec<Value>,
    environment: Vec<(&'static str, String)>,
    pub(crate) canaries: Vec<Canary>,
    /// The files that the secrets stand in.
    planted: Vec<PathBuf>,
}

impl World {
    /// For a provider of what is on this machine alone, or of servers that are down.
    pub(crate) fn lonely(executable: &'static str) -> Self {
        Self::new(executable, Reach::Nobody(Port::reserve()))
    }

    /// With a PostgreSQL server that answers and lets nobody in.
    pub(crate) fn refused(executable: &'static str) -> Self {
        let server = Server::start(&Config {
            hba: vec![format!("host all {REFUSED} 127.0.0.1/32 reject")],
            log_statements: false,
            ..Config::default()
        });
        Self::new(executable, Reach::Refusing(Box::new(server)))
    }

    /// With a PostgreSQL server that does what it is told.
    pub(crate) fn served(executable: &'static str) -> Self {
        let server = Server::start(&Config::default());
        server.sql("CREATE TABLE untouched AS SELECT 1 AS one; CREATE ROLE untouched");
        let mut world = Self::new(executable, Reach::Serving(Box::new(server)));
        // The maintenance database is there already, and nobody's.
        world.fix("adopt", json!(false));
        world
    }

    /// Nothing that was sent was run as SQL or by a shell.
    pub(crate) fn assert_untouched(&self) {
        if let Reach::Serving(server) = &self.reach {
            let there = server.sql(
                "SELECT one, rolsuper, rolcanlogin FROM untouched, pg_roles
                 WHERE rolname IN ('postgres', 'untouched') ORDER BY rolname",
            );
            assert_eq!(there, "1|t|t\n1|f|f");
        }
        assert!(!self.sandbox.work().join("untouched").exists());
    }

    fn new(executable: &'static str, reach: Reach) -> Self {
        let sandbox = Sandbox::new();
        let (identity, text) = support::secrets::identity(&sandbox);
        let key = text
            .lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY-"));
        let [variable, unused, file] = [Canary::new(), Canary::new(), Canary::new()];
        let secret = sandbox.write("secret", file.value());
        let store = sandbox.work().join("secrets.db");
        let mut environment = vec![
            (SECRET, variable.value().to_owned()),
            ("ENDURANCE_UNUSED", unused.value().to_owned()),
            // A pause after a failure isn't what is looked at.
            ("NIXOPS4_RESOURCES_TIMEOUT", "2".to_owned()),
        ];
        environment.extend(support::secrets::environment(&store, &identity));
        let mut references = vec![json!({"env": SECRET}), json!({"file": secret})];
        let mut fixed = BTreeMap::from([
            ("owner", json!("endurance")),
            ("deployment", json!("endurance")),
            ("store", json!("main")),
            ("path", json!("state.sqlite")),
            ("host", json!("127.0.0.1")),
            ("user", json!(REFUSED)),
            ("database", json!("postgres")),
            ("schema", json!("endurance")),
            ("tls", json!({})),
            // What follows a fixed field is not to be waited for.
            ("caFile", Value::Null),
            ("cost", Value::Null),
        ]);
        let mut canaries = vec![variable, unused, file, Canary::with(key.expect("a key"))];
        let port = match &reach {
            Reach::Nobody(port) => {
                // It would be tried for a while: most requests end before that.
                references = vec![json!({"env": UNSET})];
                port.number()
            }
            Reach::Refusing(server) => {
                references.push(json!({"env": UNSET}));
                server.port()
            }
            Reach::Serving(server) => {
                let password = server.superuser_password_file();
                references = vec![json!({"file": password})];
                fixed.insert("user", json!("postgres"));
                let value = std::fs::read_to_string(&password).expect("a password");
                canaries.push(Canary::with(value.trim_end()));
                server.port()
            }
        };
        fixed.insert("port", json!(port));
        for name in ["endpoint", "s3Endpoint"] {
            fixed.insert(name, json!(format!("http://127.0.0.1:{port}")));
        }
        let planted = vec![secret, identity];
        Self {
            executable,
            sandbox,
            reach,
            fixed,
            references,
            environment,
            canaries,
            planted,
        }
    }

    /// What stands in a field, whatever the schema allows.
    pub(crate) fn fixed(&self, name: &str) -> Option<&Value> {
        self.fixed.get(name)
    }

    /// Changes what stands in a field.
    pub(crate) fn fix(&mut self, name: &'static str, value: Value) {
        self.fixed.insert(name, value);
    }

    /// Changes which references the inputs have: what leads to a secret.
    pub(crate) fn resolve_references(&mut self) {
        self.references = vec![json!({"env": SECRET})];
    }

    pub(crate) fn reference(&self, random: &mut StdRng) -> Value {
        self.references.choose(random).cloned().expect("one")
    }

    /// A secret where only a reference belongs.
    pub(crate) fn misplaced(&self, random: &mut StdRng) -> Value {
        let secret = self.canaries.choose(random).expect("one").value();
        match random.random_range(0..5) {
            0 => json!(secret),
            1 => json!([secret]),
            2 => json!({secret: 1}),
            3 => json!({"file": 1, "value": secret}),
            _ => json!({"env": SECRET, "generation": secret}),
        }
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        match &self.reach {
            Reach::Nobody(_) => None,
            Reach::Refusing(server) | Reach::Serving(server) => Some(server),
        }
    }

    /// The provider, bounded.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.sandbox.command("/bin/sh");
        command
            .args(["-c", "ulimit -v \"$1\" && exec \"$0\""])
            .arg(binaries::path(self.executable))
            .arg(SPACE)
            .envs(self.environment.iter().cloned());
        command
    }

    /// No secret stands in this.
    pub(crate) fn assert_silent(&self, label: &str, bytes: &[u8]) {
        for canary in &self.canaries {
            canary.assert_absent(label, bytes);
        }
    }

    /// No secret stands in a file, but for where it was planted.
    pub(crate) fn assert_nothing_written(&self) {
        let planted: Vec<_> = self.planted.iter().map(PathBuf::as_path).collect();
        for canary in &self.canaries {
            canary.assert_absent_in_dir_except(self.sandbox.path(), &planted);
        }
    }

    /// Keeps a request on this machine and in its folder.
    pub(crate) fn tame(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                self.tame_fields(fields);
                fields.values_mut().for_each(|value| self.tame(value));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.tame(item)),
            _ => {}
        }
    }

    fn tame_fields(&self, fields: &mut Map<String, Value>) {
        let fixed = |name: &str| self.fixed[name].clone();
        if fields.contains_key("host") || fields.contains_key("port") {
            let leads_away = |port: Option<&Value>| match port {
                None | Some(Value::Null) => true,
                Some(port) => port.as_f64().is_some_and(|port| port >= 1.0),
            };
            if leads_away(fields.get("port")) {
                fields.insert("port".to_owned(), fixed("port"));
            }
        }
        for (name, value) in fields {
            let Value::String(text) = value else {
                continue;
            };
            let is_tame = match name.as_str() {
                "host" => text.is_empty() || text.contains('\0') || text.starts_with('/'),
                "endpoint" | "s3Endpoint" => !Url::parse(text).is_ok_and(|url| url.has_host()),
                name if FOLDERS.contains(&name) => {
                    let leaves = text.starts_with('/') && !text.starts_with("/nowhere/");
                    !leaves && !text.starts_with("file:") && text.matches("..").count() < 2
                }
                _ => true,
            };
            if !is_tame {
                *value = self.fixed(name).cloned().unwrap_or_else(|| json!("tame"));
            }
        }
    }
}
