//! The kind `garage_key`.

use nixops4_resources_tests::conformance::{Bad, Drift, Verdict};
use nixops4_resources_tests::garage::admin::Key;
use nixops4_resources_tests::garage::s3::Client;
use serde_json::{Value, json};

use crate::garage::{Site, text, wrong, wrong_at};
use crate::garage_credential::{Credentials, Kind};

nixops4_resources_tests::conformance!(Credentials<Keys>);

pub(crate) struct Keys;

impl Kind for Keys {
    const TYPE: &'static str = "garage_key";
    const ADOPTS: bool = true;

    fn inputs() -> Value {
        json!({})
    }

    fn fields() -> Vec<(&'static str, Value, Verdict)> {
        vec![("/createBuckets", json!(true), Verdict::Changed)]
    }

    fn drifts() -> Vec<Drift<Credentials<Self>>> {
        vec![
            Drift {
                pointer: "/createBuckets",
                make: |at, name| {
                    let change = json!({"allow": {"createBucket": true}});
                    let id = at.newest(name);
                    at.site.admin().post("UpdateKey", &[("id", &id)], &change);
                },
            },
            Drift {
                pointer: "/expiration",
                make: |at, name| {
                    let change = json!({"expiration": "2001-01-01T00:00:00Z"});
                    let id = at.newest(name);
                    at.site.admin().post("UpdateKey", &[("id", &id)], &change);
                },
            },
        ]
    }

    fn bad(_: &Credentials<Self>) -> Vec<Bad> {
        let unknown = "GK0123456789abcdef01234567";
        vec![
            wrong("/createBuckets", json!("yes"), &["expected true or false"]),
            wrong_at(
                "/import",
                json!({"accessKeyId": "GK"}),
                "/import/accessKeyId",
                &["no id of an access key"],
            ),
            wrong_at(
                "/import",
                json!({"accessKeyId": unknown, "secretAccessKey": "text"}),
                "/import/secretAccessKey",
                &["by reference"],
            ),
        ]
    }

    fn all(site: &Site) -> Vec<(String, String)> {
        let keys = site.admin().keys();
        keys.iter()
            .map(|key| (text(&key["id"]), text(&key["name"])))
            .collect()
    }

    fn one(site: &Site, id: &str) -> Value {
        let mut key = site.admin().key(id).expect("a key");
        let fields = key.as_object_mut().expect("a key");
        // What it may do with buckets is its data.
        for field in ["accessKeyId", "secretAccessKey", "created", "buckets"] {
            fields.remove(field);
        }
        key
    }

    fn rename(site: &Site, id: &str, name: &str) {
        let change = json!({ "name": name });
        site.admin().post("UpdateKey", &[("id", id)], &change);
    }

    fn delete(site: &Site, id: &str) {
        site.admin().post("DeleteKey", &[("id", id)], &json!({}));
    }

    fn make(site: &Site, name: &str) {
        let _key = site.admin().make_key(name);
    }

    fn put_data(site: &Site, id: &str) {
        let admin = site.admin();
        admin.permit(site.bucket(), id, "rw");
        let alias = json!({"bucketId": site.bucket(), "accessKeyId": id, "localAlias": "mine"});
        admin.post("AddBucketAlias", &[], &alias);
    }

    fn has_data(site: &Site, id: &str, value: Option<&str>) -> bool {
        let secret = text(&site.admin().key(id).expect("a key")["secretAccessKey"]);
        let key = Key {
            id: id.to_owned(),
            secret: value.map_or(secret, str::to_owned),
        };
        let client = Client::new(&site.cluster().node().s3_url(), "mine", &key);
        client.list().is_ok()
    }

    fn told(site: &Site) -> Vec<String> {
        let admin = site.admin();
        let secret = |(id, _): (String, String)| Some(text(&admin.key(&id)?["secretAccessKey"]));
        Self::all(site).into_iter().filter_map(secret).collect()
    }
}
