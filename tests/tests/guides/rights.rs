//! The table of `docs/guides/postgresql.md` that says what an administrator may
//! do who is no superuser.

use nixops4_resources_tests::postgres::{Config, Server, versions};
use serde_json::{Value, json};

use crate::document::Document;
use crate::workshop::Workshop;

const DEPLOYER: &str = "a password of the deployer";

struct Site {
    server: Server,
    workshop: Workshop,
}

impl Site {
    fn new(version: u32) -> Self {
        let server = Server::start(&Config {
            version: Some(version),
            ..Config::default()
        });
        let blocks = Document::read("docs/guides/postgresql.md").blocks();
        let making = blocks.iter().find(|block| block.language == "sql");
        server.sql(&making.expect("how to make one").body);
        server.sql(&format!("ALTER ROLE deployer PASSWORD '{DEPLOYER}'"));
        server.sql("CREATE ROLE before; CREATE ROLE someone SUPERUSER");
        let workshop = Workshop::new(&[("127.0.0.1", &server)]);
        workshop.key("deployer", DEPLOYER);
        Self { server, workshop }
    }

    /// Declares something; an error is what the command says.
    fn declare(&self, kind: &str, more: &Value) -> Result<(), String> {
        let mut inputs = json!({
            "owner": "tests",
            "connection": {
                "host": self.server.host(),
                "port": self.server.port(),
                "user": "deployer",
                "password": {"file": self.workshop.work().join("keys/deployer")},
            },
        });
        let more = more.as_object().expect("inputs").clone();
        inputs.as_object_mut().expect("inputs").extend(more);
        let mut call = self.workshop.command("nixops4-resources");
        call.args(["call", "create", &format!("postgresql_{kind}"), "--inputs"]);
        let output = call.arg(inputs.to_string()).output().unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn may(&self, kind: &str, more: &Value) {
        self.declare(kind, more)
            .unwrap_or_else(|error| panic!("{kind} {more}: {error}"));
    }

    fn may_not(&self, kind: &str, more: &Value) {
        let error = self.declare(kind, more).unwrap_err();
        assert!(error.contains("/connection/user"), "{kind} {more}: {error}");
    }

    fn may_if(&self, may: bool, kind: &str, more: &Value) {
        if may {
            self.may(kind, more);
        } else {
            self.may_not(kind, more);
        }
    }
}

#[test]
fn they_are_as_the_table_says() {
    for version in versions() {
        let site = Site::new(version);
        let manages_all = version < 16;
        site.may_not("role", &json!({"name": "a", "superuser": true}));
        for attribute in ["replication", "bypassRls"] {
            let role = json!({"name": attribute, attribute: true});
            site.may_not("role", &role);
            let to_have = attribute.to_uppercase();
            site.server.sql(&format!("ALTER ROLE deployer {to_have}"));
            site.may_if(!manages_all, "role", &role);
        }
        let before = json!({"name": "before", "adopt": true, "connectionLimit": 3});
        site.may_if(manages_all, "role", &before);

        site.may("tenant", &json!({"name": "app", "extensions": ["pg_trgm"]}));
        let untrusted = json!({"database": "app", "name": "pg_stat_statements"});
        site.may_not("extension", &untrusted);
        let schema = |owner: &str| json!({"database": "app", "name": owner, "ownerRole": owner});
        site.may("schema", &schema("app"));
        site.may_if(manages_all, "schema", &schema("before"));
        site.may_not("schema", &schema("someone"));
        let danger = json!({"role": "app", "group": "pg_execute_server_program"});
        site.may_if(manages_all, "membership", &danger);

        site.server
            .sql("GRANT before TO deployer WITH ADMIN OPTION");
        site.may("role", &before);
        site.may("schema", &schema("before"));
    }
}
