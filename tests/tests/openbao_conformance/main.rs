//! What holds for every kind, for the two kinds of the worked example, which manages things of OpenBao.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::path::PathBuf;

use nixops4_resources_tests::bao::Bao;
use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::cases::{
    bad_http_connections, fields, text, wrong, wrong_at,
};
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Site, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::pool::{Lease, Pool};
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_resources_tests::{judges, mark};
use serde_json::{Value, json};

static SERVERS: Pool<Bao> = Pool::new(|| Bao::start().expect("is_there was asked before"));

/// A server, and a place to run the provider in.
struct Things<K> {
    server: Lease<Bao>,
    sandbox: Sandbox,
    token_file: PathBuf,
    kind: PhantomData<K>,
}

/// What is particular to one kind.
trait Kind: Sized + 'static {
    const TYPE: &'static str;
    const RETAINS: bool;
    const RENAMES: bool;
    /// Where such things are, below `v1/`.
    const PATH: &'static str;
    fn inputs() -> Value;
    fn fields() -> Vec<Field>;
    fn drifts() -> Vec<Drift<Things<Self>>>;
    fn bad() -> Vec<Bad>;
    /// What somebody writes who makes one by hand.
    fn by_hand() -> Value;
    /// The same thing without its mark.
    fn without_mark(thing: &Value) -> Value;
    fn is_in_service(thing: &Value) -> bool;
    /// What there is to see, without ids and times.
    fn look(thing: Value) -> Value;
    fn version(thing: &Value) -> String;
}

impl<K: Kind> Things<K> {
    fn path(name: &str) -> String {
        format!("{}/{name}", K::PATH)
    }

    fn get(&self, name: &str) -> Option<Value> {
        let mut found = self.server.get(&Self::path(name))?;
        Some(found["data"].take())
    }

    fn write(&self, name: &str, body: &Value) {
        self.server.post(&Self::path(name), body);
    }
}

impl<K: Kind> Site for Things<K> {
    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/connection/token"]
    }

    fn secrets(&self) -> Vec<Canary> {
        vec![Canary::with(self.server.root_token())]
    }

    fn planted(&self) -> Vec<PathBuf> {
        vec![self.token_file.clone()]
    }

    /// In development mode the server itself writes its root token into its log.
    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }
}

impl<K: Kind> Fixture for Things<K> {
    const TYPE: &'static str = K::TYPE;
    const PROVIDER: &'static str = "nixops4-resources-openbao";
    const RETAINS: bool = K::RETAINS;
    const RENAMES: bool = K::RENAMES;

    type Site = Self;

    fn is_there() -> bool {
        judges::find("bao").is_some()
    }

    fn new() -> Self {
        let server = SERVERS.lease();
        let sandbox = Sandbox::new();
        let token_file = sandbox.write("keys/token", server.root_token());
        Self {
            server,
            sandbox,
            token_file,
            kind: PhantomData,
        }
    }

    fn site(&self) -> &Self {
        self
    }

    fn inputs(&self, name: &str) -> Object {
        let mut inputs = object(K::inputs());
        let connection = json!({
            "endpoint": self.server.address(),
            "token": {"file": self.token_file},
        });
        inputs.insert("connection".to_owned(), connection);
        inputs.insert("name".to_owned(), json!(name));
        inputs
    }

    fn fields(&self) -> Vec<Field> {
        K::fields()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        K::drifts()
    }

    fn bad(&self) -> Vec<Bad> {
        let mut all = bad_http_connections();
        all.extend(K::bad());
        all.extend([
            wrong("/name", Value::Null, &["missing field"]),
            wrong("/name", json!("a/b"), &["1 to 128"]),
            wrong("/name", json!("x".repeat(129)), &["1 to 128"]),
            wrong_at(
                "/connection/tls",
                json!({"fingerprint": "00:11"}),
                "/connection/tls/fingerprint",
                &["64 hexadecimal digits"],
            ),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        Some(K::look(self.get(name)?))
    }

    fn version(&self, name: &str) -> String {
        K::version(&self.get(name).expect("it is there"))
    }

    fn everything(&self) -> BTreeSet<String> {
        let path = format!("{}?list=true", K::PATH);
        let found = self.server.get(&path);
        let keys = found.map(|mut found| found["data"]["keys"].take());
        let keys = keys.iter().filter_map(Value::as_array).flatten();
        keys.map(text).collect()
    }

    fn is_in_service(&self, name: &str) -> bool {
        K::is_in_service(&self.get(name).expect("it is there"))
    }

    fn put_data(&self, _: &str) {
        // There is none beside what is declared.
    }

    fn has_data(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn vanish(&self, name: &str) {
        self.server.delete(&Self::path(name));
    }

    fn make_unmarked(&self, name: &str) -> bool {
        self.write(name, &K::by_hand());
        true
    }

    fn unmark(&self, name: &str) {
        let thing = self.get(name).expect("it is there");
        self.write(name, &K::without_mark(&thing));
    }
}

const RULES: &str = "path \"secret/data/*\" {\n  capabilities = [\"read\"]\n}\n";
const OTHER_RULES: &str = "path \"secret/*\" {\n  capabilities = [\"list\"]\n}\n";

struct Policy;

impl Kind for Policy {
    const TYPE: &'static str = "openbao_policy";
    const RETAINS: bool = false;
    const RENAMES: bool = false;
    const PATH: &'static str = "sys/policies/acl";

    fn inputs() -> Value {
        json!({ "rules": RULES })
    }

    fn fields() -> Vec<Field> {
        fields([("/rules", json!(OTHER_RULES), Verdict::Changed)])
    }

    fn drifts() -> Vec<Drift<Things<Self>>> {
        vec![Drift {
            pointer: "/rules",
            make: |at, name| {
                let policy = text(&at.get(name).expect("it is there")["policy"]);
                let policy = policy.replace("read", "sudo");
                at.write(name, &json!({ "policy": policy }));
            },
        }]
    }

    fn bad() -> Vec<Bad> {
        vec![
            wrong("/name", json!("App"), &["small letters"]),
            wrong("/rules", json!("path {"), &["failed to parse policy"]),
            wrong("/rules", json!(7), &["expected a text"]),
        ]
    }

    fn by_hand() -> Value {
        json!({ "policy": RULES })
    }

    fn without_mark(_: &Value) -> Value {
        Self::by_hand()
    }

    fn is_in_service(policy: &Value) -> bool {
        text(&policy["policy"]).contains("path")
    }

    fn look(policy: Value) -> Value {
        json!(mark::without_details(&text(&policy["policy"])))
    }

    fn version(policy: &Value) -> String {
        policy["version"].to_string()
    }
}

struct Entity;

impl Kind for Entity {
    const TYPE: &'static str = "openbao_entity";
    const RETAINS: bool = true;
    const RENAMES: bool = true;
    const PATH: &'static str = "identity/entity/name";

    fn inputs() -> Value {
        json!({"policies": ["app"]})
    }

    fn fields() -> Vec<Field> {
        fields([
            ("/policies", json!(["app", "backup"]), Verdict::Changed),
            ("/disabled", json!(true), Verdict::Changed),
        ])
    }

    fn drifts() -> Vec<Drift<Things<Self>>> {
        vec![
            Drift {
                pointer: "/policies",
                make: |at, name| at.write(name, &json!({"policies": ["other"]})),
            },
            Drift {
                pointer: "/disabled",
                make: |at, name| at.write(name, &json!({"disabled": true})),
            },
        ]
    }

    fn bad() -> Vec<Bad> {
        vec![
            wrong("/policies", json!(["App"]), &["small letters"]),
            wrong("/disabled", json!("no"), &["expected true or false"]),
        ]
    }

    fn by_hand() -> Value {
        json!({"policies": ["app"], "metadata": {"owner": "Ann"}})
    }

    fn without_mark(_: &Value) -> Value {
        Self::by_hand()
    }

    fn is_in_service(entity: &Value) -> bool {
        entity["disabled"] == false
    }

    fn look(mut entity: Value) -> Value {
        let metadata = &mut entity["metadata"];
        if metadata["managed"].is_string() {
            metadata["managed"] = json!(mark::without_details(&text(&metadata["managed"])));
        }
        let fields = ["name", "policies", "disabled", "metadata"].map(|field| entity[field].take());
        json!(fields)
    }

    fn version(entity: &Value) -> String {
        text(&entity["last_update_time"])
    }
}

mod policy {
    nixops4_resources_tests::conformance!(super::Things<super::Policy>);
}

mod entity {
    nixops4_resources_tests::conformance!(super::Things<super::Entity>);
}
