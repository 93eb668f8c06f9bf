//! The kind `garage_tenant`.

use nixops4_resources_tests::conformance::{Bad, Drift, Verdict};
use nixops4_resources_tests::garage::admin::Key;
use nixops4_resources_tests::garage::s3::Client;
use serde_json::{Value, json};

use crate::garage::{Site, plain, text, wrong, wrong_at};
use crate::garage_credential::{Credentials, Kind};
use crate::garage_key::Keys;

nixops4_resources_tests::conformance!(Credentials<Tenants>);

pub(crate) struct Tenants;

/// What somebody changes behind our back.
fn update(site: &Site, name: &str, changes: &Value) {
    let bucket = site.bucket_called(name).expect("a bucket");
    site.admin().update_bucket(&text(&bucket["id"]), changes);
}

/// The key's name, which is the bucket's as well.
fn name_of(site: &Site, id: &str) -> String {
    let title = text(&site.admin().key(id).expect("a key")["name"]);
    plain(&title).to_owned()
}

impl Kind for Tenants {
    const TYPE: &'static str = "garage_tenant";
    const ADOPTS: bool = true;
    const RETAINS: bool = true;

    fn inputs() -> Value {
        json!({
            "quotas": {"maxObjects": 1000},
            "website": {},
            "corsRules": [{
                "allowedOrigins": ["https://shop.example"],
                "allowedMethods": ["GET"],
            }],
        })
    }

    fn fields() -> Vec<(&'static str, Value, Verdict)> {
        vec![
            ("/permissions", json!({"write": false}), Verdict::Changed),
            ("/quotas", json!({"maxObjects": 7}), Verdict::Changed),
            ("/website", Value::Null, Verdict::Changed),
            ("/corsRules", json!([]), Verdict::Changed),
            (
                "/lifecycleRules",
                json!([{"abortUploadsAfterDays": 2}]),
                Verdict::Changed,
            ),
            ("/emptyOnDelete", json!(true), Verdict::Ignored),
        ]
    }

    fn drifts() -> Vec<Drift<Credentials<Self>>> {
        let drift = |pointer, make| Drift { pointer, make };
        vec![
            drift("/permissions", |at: &Credentials<Self>, name| {
                let bucket = at.site.bucket_called(name).expect("a bucket");
                let (bucket, key) = (text(&bucket["id"]), at.newest(name));
                at.site.admin().permit(&bucket, &key, "ro");
            }),
            drift("/quotas", |at, name| {
                update(
                    &at.site,
                    name,
                    &json!({"quotas": {"maxSize": 1, "maxObjects": 1}}),
                );
            }),
            drift("/expiration", |at, name| {
                let change = json!({"expiration": "2001-01-01T00:00:00Z"});
                let id = at.newest(name);
                at.site.admin().post("UpdateKey", &[("id", &id)], &change);
            }),
        ]
    }

    fn bad(_: &Credentials<Self>) -> Vec<Bad> {
        vec![
            wrong("/bucket", json!("Media"), &["lower-case"]),
            wrong("/key", json!(""), &["1 to 100"]),
            wrong("/name", json!("retained.media"), &["kept for", "hint: "]),
            wrong("/quotas/maxSize", json!("50 gigabytes"), &["no unit"]),
            wrong_at(
                "/permissions",
                json!({"admin": true}),
                "/permissions/admin",
                &["unknown field"],
            ),
        ]
    }

    fn bad_names() -> Vec<Bad> {
        vec![
            wrong("/name", Value::Null, &["missing field"]),
            wrong("/name", json!(""), &["3 to 63"]),
            wrong("/name", json!("a\nb"), &["lower-case"]),
            wrong("/name", json!("media_files"), &["lower-case"]),
        ]
    }

    fn all(site: &Site) -> Vec<(String, String)> {
        Keys::all(site)
    }

    fn one(site: &Site, id: &str) -> Value {
        let mut key = Keys::one(site, id);
        // Ids of buckets; what it may do is seen with its own.
        key.as_object_mut().expect("a key").remove("buckets");
        key
    }

    fn rename(site: &Site, id: &str, name: &str) {
        Keys::rename(site, id, name);
    }

    fn delete(site: &Site, id: &str) {
        Keys::delete(site, id);
    }

    fn make(site: &Site, name: &str) {
        Keys::make(site, name);
        let _bucket = site.admin().make_bucket(name);
    }

    fn put_data(site: &Site, id: &str) {
        site.put_data(&name_of(site, id));
    }

    fn has_data(site: &Site, id: &str, value: Option<&str>) -> bool {
        let name = name_of(site, id);
        let secret = value.expect("a value").to_owned();
        let key = Key {
            id: id.to_owned(),
            secret,
        };
        // While it is out of service, its own key can't see it.
        let own = Client::new(&site.cluster().node().s3_url(), &name, &key).get("kept");
        own.is_ok_and(|data| data == b"42") || site.has_data(&name)
    }

    fn beside(site: &Site, name: &str) -> Value {
        let Some(mut bucket) = site.look(name) else {
            return Value::Null;
        };
        for key in bucket["keys"].as_array_mut().expect("keys") {
            key["name"] = json!(plain(&text(&key["name"])));
        }
        bucket
    }

    fn vanish_beside(site: &Site, name: &str) {
        if site.bucket_called(name).is_some() {
            site.remove_bucket(name);
        }
    }

    fn told(site: &Site) -> Vec<String> {
        Keys::told(site)
    }
}
