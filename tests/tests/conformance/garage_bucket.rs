//! The kind `garage_bucket`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::Verdict::{Changed, Ignored};
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::garage::{self, Site, fields, text, wrong, wrong_at};

nixops4_resources_tests::conformance!(Bucket);

struct Bucket {
    site: Site,
}

impl Bucket {
    fn id(&self, name: &str) -> String {
        text(&self.site.bucket_called(name).expect("a bucket")["id"])
    }

    fn update(&self, name: &str, changes: &Value) {
        self.site.admin().update_bucket(&self.id(name), changes);
    }
}

impl Fixture for Bucket {
    const TYPE: &'static str = "garage_bucket";
    const PROVIDER: &'static str = "nixops4-resources-garage";
    const RETAINS: bool = true;
    const RENAMES: bool = true;
    // Made once for an owner: `garage_faults` kills it there.
    const KILLED_ELSEWHERE: &'static [&'static str] = &["bucket:stand-in"];

    fn is_there() -> bool {
        garage::is_there()
    }

    fn new() -> Self {
        Self { site: Site::new() }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.site.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    fn inputs(&self, name: &str) -> Object {
        object(json!({
            "connection": self.site.connection(),
            "name": name,
            "keys": [{"accessKeyId": self.site.key(0).id, "read": true}],
            "quotas": {"maxSize": "50GiB", "maxObjects": 1000},
            "website": {"indexDocument": "index.html"},
            "corsRules": [{
                "allowedOrigins": ["https://shop.example"],
                "allowedMethods": ["GET"],
            }],
            "lifecycleRules": [{"expireAfterDays": 30, "prefix": "tmp/"}],
        }))
    }

    fn fields(&self) -> Vec<Field> {
        fields([
            (
                "/quotas",
                json!({"maxSize": 50_u64 << 30, "maxObjects": 1000}),
                Ignored,
            ),
            ("/quotas", Value::Null, Changed),
            ("/quotas", json!({"maxObjects": 7}), Changed),
            ("/quotas", json!({"maxSize": "1.5 TB"}), Changed),
            ("/website", Value::Null, Changed),
            ("/website", json!({"indexDocument": "start.html"}), Changed),
            ("/corsRules", json!([]), Changed),
            (
                "/corsRules",
                json!([{
                    "id": "all", "allowedOrigins": ["*"], "allowedMethods": ["PUT", "POST"],
                    "allowedHeaders": ["*"], "exposeHeaders": ["etag"], "maxAgeSeconds": 60,
                }]),
                Changed,
            ),
            ("/lifecycleRules", json!([]), Changed),
            (
                "/lifecycleRules",
                json!([
                    {"id": "old", "expireOn": "2100-01-31", "prefix": "a/", "largerThan": "1MiB"},
                    {"abortUploadsAfterDays": 2, "enable": false},
                ]),
                Changed,
            ),
            ("/keys", json!([]), Changed),
        ])
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        let drift = |pointer, make| Drift { pointer, make };
        vec![
            drift("/quotas", |at: &Self, name| {
                at.update(name, &json!({"quotas": {"maxSize": 1, "maxObjects": 1000}}));
            }),
            drift("/quotas", |at, name| {
                let size = 50_u64 << 30;
                at.update(
                    name,
                    &json!({"quotas": {"maxSize": size, "maxObjects": null}}),
                );
            }),
            drift("/website", |at, name| {
                at.update(name, &json!({"websiteAccess": {"enabled": false}}));
            }),
            drift("/corsRules", |at, name| {
                at.update(name, &json!({"corsRules": []}));
            }),
            drift("/lifecycleRules", |at, name| {
                at.update(name, &json!({"lifecycleRules": []}));
            }),
            // A permission too many, and one too few.
            drift("/keys", |at, name| {
                let (bucket, key) = (at.id(name), &at.site.key(1).id);
                at.site.admin().permit(&bucket, key, "rwo");
            }),
            drift("/keys/0", |at, name| {
                let (bucket, key) = (at.id(name), &at.site.key(0).id);
                at.site.admin().permit(&bucket, key, "");
            }),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        let key = self.site.key(0).id.clone();
        let mut all = garage::bad_connections();
        all.extend([
            wrong("/name", Value::Null, &["missing field"]),
            wrong("/name", json!("ab"), &["3 to 63"]),
            wrong("/name", json!("x".repeat(64)), &["3 to 63"]),
            wrong("/name", json!("Media"), &["lower-case"]),
            wrong("/name", json!("media_files"), &["lower-case"]),
            wrong("/name", json!("a\u{0}bc"), &["lower-case"]),
            wrong("/name", json!("-media"), &["begins and ends"]),
            wrong("/name", json!("10.0.0.1"), &["IP address"]),
            wrong("/name", json!("xn--abc"), &["punycode"]),
            wrong("/name", json!("abc-s3alias"), &["-s3alias"]),
            wrong("/name", json!("retained.media"), &["kept for", "hint: "]),
            wrong(
                "/quotas/maxSize",
                json!("50 gigabytes"),
                &["no unit", "GiB"],
            ),
            wrong("/quotas/maxSize", json!(-1), &["negative"]),
            wrong("/quotas/maxObjects", json!(1.5), &["whole number"]),
            wrong("/quotas/nonsense", json!(1), &["unknown field"]),
            wrong("/website/indexDocument", json!(""), &["can't be empty"]),
            wrong_at(
                "/corsRules",
                json!([{"allowedOrigins": [], "allowedMethods": ["GET"]}]),
                "/corsRules/0/allowedOrigins",
                &["allows nothing"],
            ),
            wrong_at(
                "/corsRules",
                json!([{"allowedOrigins": ["*"], "allowedMethods": ["FETCH"]}]),
                "/corsRules/0/allowedMethods/0",
                &["FETCH", "no method of S3"],
            ),
            wrong_at(
                "/lifecycleRules",
                json!([{"prefix": "a/"}]),
                "/lifecycleRules/0",
                &["says nothing to do"],
            ),
            wrong_at(
                "/lifecycleRules",
                json!([{"expireAfterDays": 0}]),
                "/lifecycleRules/0/expireAfterDays",
                &["1 to"],
            ),
            wrong_at(
                "/lifecycleRules",
                json!([{"expireOn": "tomorrow"}]),
                "/lifecycleRules/0/expireOn",
                &["tomorrow", "2027-01-31"],
            ),
            wrong_at(
                "/keys",
                json!([{"accessKeyId": key, "read": true}, {"accessKeyId": key}]),
                "/keys/1/accessKeyId",
                &["listed twice"],
            ),
            wrong_at(
                "/keys",
                json!([{"accessKeyId": "GK", "read": true}]),
                "/keys/0/accessKeyId",
                &["no id of an access key"],
            ),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        self.site.look(name)
    }

    fn version(&self, _name: &str) -> String {
        self.site.changes()
    }

    fn everything(&self) -> BTreeSet<String> {
        self.site.everything()
    }

    fn is_in_service(&self, name: &str) -> bool {
        let bucket = self.site.bucket_called(name).expect("a bucket");
        let keys = bucket["keys"].as_array().expect("keys");
        keys.iter().any(|key| key["permissions"]["read"] == true)
    }

    fn put_data(&self, name: &str) {
        self.site.put_data(name);
    }

    fn has_data(&self, name: &str) -> bool {
        self.site.has_data(name)
    }

    fn vanish(&self, name: &str) {
        self.site.remove_bucket(name);
    }

    fn make_unmarked(&self, name: &str) -> bool {
        let _id = self.site.admin().make_bucket(name);
        true
    }

    fn unmark(&self, name: &str) {
        self.site.unmark(name);
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/connection/token"]
    }

    fn secrets(&self) -> Vec<Canary> {
        vec![self.site.secret()]
    }

    fn planted(&self) -> Vec<PathBuf> {
        vec![self.site.planted()]
    }

    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        self.site.writings()
    }
}
