//! What the kinds of Garage have in common: a cluster of their own for as long as a
//! test runs, what is planted there, and how it is looked at.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Field, Verdict};
use nixops4_resources_tests::garage::admin::{Admin, Key};
use nixops4_resources_tests::garage::s3::Client;
use nixops4_resources_tests::garage::{Cluster, Config};
use nixops4_resources_tests::mark;
use nixops4_resources_tests::pool::{Lease, Pool};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

pub(crate) use nixops4_resources_tests::garage::is_there;

static STAGES: Pool<Stage> = Pool::new(Stage::start);

/// How the name of a key begins that is a mark and does nothing.
const MARK: &str = "nixops4-resources:";

/// A cluster with what is there before any test.
struct Stage {
    cluster: Cluster,
    /// Somebody's keys.
    keys: [Key; 2],
    /// Somebody's bucket.
    bucket: String,
}

/// What the bucket is called that is there before any test.
pub(crate) const BUCKET: &str = "stage";

impl Stage {
    fn start() -> Self {
        let cluster = Cluster::start(&Config::default());
        let admin = cluster.admin();
        Self {
            keys: ["reader", "writer"].map(|name| admin.make_key(name)),
            bucket: admin.make_bucket(BUCKET),
            cluster,
        }
    }
}

/// A cluster, and a place to run the provider in.
pub(crate) struct Site {
    stage: Lease<Stage>,
    pub(crate) sandbox: Sandbox,
    token: Canary,
    token_file: PathBuf,
}

impl Site {
    pub(crate) fn new() -> Self {
        let stage = STAGES.lease();
        let sandbox = Sandbox::new();
        let token = Canary::with(stage.cluster.admin_token());
        let token_file = sandbox.write("keys/garage-admin", token.value());
        Self {
            stage,
            sandbox,
            token,
            token_file,
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.stage.cluster
    }

    pub(crate) fn admin(&self) -> Admin {
        self.cluster().admin()
    }

    /// A key that is there before any test.
    pub(crate) fn key(&self, index: usize) -> &Key {
        &self.stage.keys[index]
    }

    /// The bucket that is there before any test.
    pub(crate) fn bucket(&self) -> &str {
        &self.stage.bucket
    }

    pub(crate) fn connection(&self) -> Value {
        json!({
            "endpoint": self.cluster().node().admin_url(),
            "token": {"file": self.token_file},
            "s3Endpoint": self.cluster().node().s3_url(),
        })
    }

    /// The admin token.
    pub(crate) fn secret(&self) -> Canary {
        Canary::with(self.token.value())
    }

    pub(crate) fn planted(&self) -> PathBuf {
        self.token_file.clone()
    }

    pub(crate) fn writings(&self) -> Vec<(String, Vec<u8>)> {
        let log = self.cluster().log().into_bytes();
        vec![("the cluster's log".to_owned(), log)]
    }

    /// How often something was changed: asked for, and not refused.
    pub(crate) fn changes(&self) -> String {
        let log = self.cluster().log();
        let asked = log.lines().filter(|line| line.contains(" POST /v2/"));
        let (refused, all): (Vec<_>, Vec<_>) = asked.partition(|line| line.contains(" error "));
        // Each that is refused is there twice.
        (all.len() - refused.len()).to_string()
    }

    /// Takes every mark off a bucket.
    pub(crate) fn unmark(&self, name: &str) {
        let bucket = self.bucket_called(name).expect("a bucket");
        for key in bucket["keys"].as_array().expect("keys") {
            if !text(&key["name"]).starts_with(MARK) {
                continue;
            }
            for alias in key["bucketLocalAliases"].as_array().expect("aliases") {
                let alias = json!({
                    "bucketId": bucket["id"],
                    "accessKeyId": key["accessKeyId"],
                    "localAlias": alias,
                });
                self.admin().post("RemoveBucketAlias", &[], &alias);
            }
        }
    }

    /// Every bucket, key and token, by its name; without the keys that are marks.
    /// Of keys that follow one another there is one.
    pub(crate) fn everything(&self) -> BTreeSet<String> {
        let admin = self.admin();
        let (keys, tokens) = (admin.keys(), admin.tokens());
        let mut all: Vec<_> = keys
            .iter()
            .chain(&tokens)
            .map(|named| text(&named["name"]))
            .filter(|name| !name.starts_with(MARK))
            .map(|name| {
                let older = name
                    .split([' ', ']'])
                    .find(|word| word.starts_with("generation="));
                assert!(!name.contains(" making="), "it is not finished: {name}");
                (
                    plain(&name).to_owned(),
                    older.unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let buckets = admin.buckets();
        all.extend(
            buckets
                .iter()
                .map(|bucket| (name_of(bucket), "a bucket".to_owned())),
        );
        let names: BTreeSet<_> = all.iter().cloned().collect();
        assert_eq!(names.len(), all.len(), "two of one name: {all:?}");
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// A bucket by its global alias, or by one that only its owner has.
    pub(crate) fn bucket_called(&self, name: &str) -> Option<Value> {
        let admin = self.admin();
        let listed = admin.buckets();
        let found = listed.iter().find(|bucket| {
            let locals = bucket["localAliases"].as_array().expect("aliases");
            bucket["globalAliases"] == json!([name])
                || locals.iter().any(|local| local["alias"] == name)
        })?;
        admin.bucket(&text(&found["id"]))
    }

    /// A bucket as it looks, without ids, times and what is in it.
    pub(crate) fn look(&self, name: &str) -> Option<Value> {
        let mut bucket = self.bucket_called(name)?;
        let fields = bucket.as_object_mut().expect("a bucket");
        fields.retain(|field, _| {
            !["id", "created", "objects", "bytes"].contains(&&**field)
                && !field.starts_with("unfinished")
        });
        for key in fields["keys"].as_array_mut().expect("keys") {
            let fields = key.as_object_mut().expect("a key");
            fields.remove("accessKeyId");
            fields["name"] = json!(mark::without_details(&text(&fields["name"])));
            for alias in fields["bucketLocalAliases"]
                .as_array_mut()
                .expect("aliases")
            {
                if text(alias).starts_with("retained.") {
                    *alias = json!("retained");
                }
            }
        }
        for list in ["keys", "globalAliases"] {
            let list = fields[list].as_array_mut().expect("a list");
            list.sort_by_key(Value::to_string);
        }
        Some(bucket)
    }

    /// Does something as a key that may do everything in a bucket for this moment.
    pub(crate) fn as_anybody<T>(&self, name: &str, act: impl FnOnce(&Client) -> T) -> T {
        let bucket = self.bucket_called(name).expect("a bucket");
        let id = text(&bucket["id"]);
        let admin = self.admin();
        let key = admin.make_key("for-a-moment");
        admin.permit(&id, &key.id, "rwo");
        let done = act(&Client::new(&self.cluster().node().s3_url(), &id, &key));
        admin.post("DeleteKey", &[("id", &key.id)], &json!({}));
        done
    }

    /// Puts something into a bucket.
    pub(crate) fn put_data(&self, name: &str) {
        self.as_anybody(name, |client| client.put("kept", b"42"))
            .expect("it is permitted");
    }

    /// Whether it is still there.
    pub(crate) fn has_data(&self, name: &str) -> bool {
        let data = self.as_anybody(name, |client| client.get("kept"));
        data.as_deref() == Ok(b"42")
    }

    /// Removes a bucket and all that is in it.
    pub(crate) fn remove_bucket(&self, name: &str) {
        self.as_anybody(name, |client| {
            for object in client.list().expect("it is permitted") {
                client.delete(&object).expect("it is permitted");
            }
        });
        let bucket = self.bucket_called(name).expect("a bucket");
        let id = text(&bucket["id"]);
        self.admin()
            .post("DeleteBucket", &[("id", &id)], &json!({}));
    }
}

/// A string as one.
pub(crate) fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.to_owned()
}

/// The name of a key or token without the mark behind it.
pub(crate) fn plain(name: &str) -> &str {
    match name.split_once(" [nixops4-resources:") {
        Some((plain, _)) => plain,
        None => name,
    }
}

/// What a bucket of a list is called: for everybody, or else by its owner.
fn name_of(bucket: &Value) -> String {
    let global = bucket["globalAliases"].as_array().expect("aliases");
    let local = bucket["localAliases"].as_array().expect("aliases");
    let own = local
        .iter()
        .map(|local| &local["alias"])
        .find(|alias| !text(alias).starts_with("retained."));
    let name = global.first().or(own);
    name.map_or_else(|| "nameless".to_owned(), text)
}

/// What can be changed, from a table.
pub(crate) fn fields<const N: usize>(table: [(&'static str, Value, Verdict); N]) -> Vec<Field> {
    let field = |(pointer, value, verdict)| Field {
        pointer,
        value,
        verdict,
    };
    table.map(field).into()
}

/// Inputs that are wrong at one place.
pub(crate) fn wrong(pointer: &'static str, value: Value, words: &[&'static str]) -> Bad {
    Bad {
        patch: vec![(pointer, value)],
        pointer,
        words: words.to_vec(),
    }
}

/// Inputs that are wrong somewhere else than where they are patched.
pub(crate) fn wrong_at(
    place: &'static str,
    value: Value,
    pointer: &'static str,
    words: &[&'static str],
) -> Bad {
    Bad {
        patch: vec![(place, value)],
        pointer,
        words: words.to_vec(),
    }
}

/// What can be wrong with a connection.
pub(crate) fn bad_connections() -> Vec<Bad> {
    let endpoint = "/connection/endpoint";
    vec![
        wrong("/connection", Value::Null, &["missing field"]),
        wrong(endpoint, Value::Null, &["missing field"]),
        wrong(endpoint, json!("127.0.0.1:3903"), &["http"]),
        wrong(endpoint, json!("ftp://127.0.0.1"), &["http"]),
        wrong(endpoint, json!("http://127.0.0.1:1"), &["hint: "]),
        wrong("/connection/nonsense", json!(1), &["unknown field"]),
        wrong("/connection/token", Value::Null, &["missing field"]),
        wrong(
            "/connection/token",
            json!({}),
            &["has either `file`, or `env`"],
        ),
        wrong_at(
            "/connection/token",
            json!({"file": "/nonexistent"}),
            "/connection/token/file",
            &[
                "unable to read the secret",
                "No such file",
                "hint: give the path",
            ],
        ),
        wrong_at(
            "/connection/token",
            json!({"env": "UNSET"}),
            "/connection/token/env",
            &["UNSET is not set", "hint: set it"],
        ),
    ]
}
