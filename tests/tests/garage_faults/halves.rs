//! Garage does what is asked of it in several writes, and one that fails leaves those
//! before it done.
//!
//! Of two nodes one is enough to read and both are needed to write. So without the
//! second one the first write of a request stays, on the node that is asked, and the
//! request fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nixops4_resources_tests::garage::{Config, is_there};
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::proxy::Fault;
use serde_json::{Value, json};

use super::site::{BUCKET, Site};

const PERMISSION: &str = "garage_permission";

/// What the keys are called that stand for the owner.
const STAND_IN: &str = "nixops4-resources: owner=faults type=garage_bucket";

fn two() -> Site {
    Site::start(&Config {
        nodes: 2,
        rpc_timeout: Duration::from_secs(2),
    })
}

impl Site {
    /// Has something done by half.
    fn by_half(&self, endpoint: &str, query: &[(&str, &str)], body: &Value) {
        let second = &self.cluster.nodes()[1];
        second.kill();
        let refusal = self.admin().try_post(endpoint, query, body);
        assert!(refusal.is_err(), "{endpoint} was done as a whole");
        second.start_again();
        self.cluster.wait_until_healthy();
    }

    /// The key that stands for the owner: there is one.
    fn stand_in(&self) -> String {
        let keys = self.admin().keys_called(STAND_IN);
        assert_eq!(keys.len(), 1, "{keys:?}");
        text(&keys[0]["id"])
    }

    /// A bucket without a name that the key alone knows by this one.
    fn begun(&self, name: &str) -> String {
        let key = self.stand_in();
        let id = text(&self.admin().post("CreateBucket", &[], &json!({}))["id"]);
        let alias = json!({"bucketId": id, "accessKeyId": key, "localAlias": name});
        self.by_half("AddBucketAlias", &[], &alias);
        let of_key = self.of_key(&key);
        let on = of_key.iter().find(|on| on["id"] == id).expect("it has it");
        assert_eq!(on["localAliases"], json!([]), "it was done as a whole");
        id
    }

    /// What a key says of its buckets.
    fn of_key(&self, key: &str) -> Vec<Value> {
        let key = self.admin().key(key).expect("a key");
        key["buckets"].as_array().expect("an array").clone()
    }

    /// Takes from the key what it may do, and only the bucket hears of it.
    fn deny_by_half(&self, bucket: &str) {
        let flags = json!({"read": true, "write": true, "owner": true});
        let body = json!({"bucketId": bucket, "accessKeyId": self.key.id, "permissions": flags});
        self.by_half("DenyBucketKey", &[], &body);
        assert_eq!(self.admin().permissions(bucket, &self.key.id), "");
        assert!(!self.of_key(&self.key.id).is_empty());
    }

    fn ids(&self) -> BTreeSet<String> {
        let buckets = self.admin().buckets();
        buckets.iter().map(|bucket| text(&bucket["id"])).collect()
    }

    fn destroy(&self, record: &Value, policy: &str) -> Result<Value, String> {
        let mut record = record.clone();
        record["inputProperties"]["deletionPolicy"] = json!(policy);
        self.send(&messages::destroy(&record))
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn id(record: &Value) -> String {
    text(&record["outputProperties"]["id"])
}

fn with(inputs: &Object, more: &Value) -> Object {
    let mut inputs = inputs.clone();
    inputs.extend(object(more.clone()));
    inputs
}

/// The key knows the bucket's name, and the bucket doesn't.
#[test]
fn what_was_begun_is_finished() {
    if !is_there() {
        return;
    }
    let site = two();
    let gone = site.made(&site.bucket("gone"));
    site.destroy(&gone, "delete").expect("it is destroyed");
    let begun = site.begun("media");
    // A name that was given once fits any bucket, and is not given to this one.
    let again = site.made(&site.bucket("gone"));
    assert_ne!(id(&again), begun);
    site.destroy(&again, "delete").expect("it is destroyed");
    for key in site.admin().keys_called(STAND_IN) {
        let has = site.of_key(&text(&key["id"]));
        assert!(has.len() <= 1, "{has:?}");
    }
    let recorded = site.made(&site.bucket("media"));
    assert_eq!(id(&recorded), begun);
    site.assert_whole("media");
    assert_eq!(site.ids(), BTreeSet::from([begun]));
}

#[test]
fn what_was_begun_takes_no_other_key() {
    if !is_there() {
        return;
    }
    let site = two();
    site.made(&site.bucket("other"));
    let begun = site.begun("media");
    let recorded = site.made(&site.bucket("media"));
    assert_eq!(id(&recorded), begun);
    site.stand_in();
    site.assert_whole_beside("media", &["other"]);
}

/// All names are gone, and the bucket isn't: nobody can have marked it.
#[test]
fn what_was_deleted_by_half_is_still_ours() {
    if !is_there() {
        return;
    }
    let site = two();
    let inputs = with(
        &site.bucket("media"),
        &json!({"globalAliases": [], "keys": []}),
    );
    for policy in ["delete", "retain", "none"] {
        let recorded = site.made(&inputs);
        let bucket = id(&recorded);
        site.by_half("DeleteBucket", &[("id", &bucket)], &json!({}));
        let found = site.admin().bucket(&bucket).expect("it is there");
        let mut keys = found["keys"].as_array().expect("keys").iter();
        assert!(
            keys.all(|key| key["bucketLocalAliases"] == json!([])),
            "{found}"
        );
        if policy == "none" {
            // Who changes their mind has it back.
            let again = site.update(&recorded, &inputs).expect("it is ours");
            let outputs = object(again["outputProperties"].clone());
            let recorded = messages::resource(BUCKET, &inputs, Some(&outputs));
            assert_eq!(id(&recorded), bucket);
            site.destroy(&recorded, "delete").expect("it is marked");
        } else {
            site.destroy(&recorded, policy).expect("it is ours");
        }
        assert_eq!(site.ids(), BTreeSet::new());
    }
}

/// The names for everybody are taken first, so that the mark is there until the end.
#[test]
fn destroying_goes_on_from_anywhere() {
    if !is_there() {
        return;
    }
    let site = two();
    let inputs = with(
        &site.bucket("media"),
        &json!({"globalAliases": ["media", "pictures"]}),
    );
    let recorded = site.made(&inputs);
    let _ = site.changes();
    site.destroy(&recorded, "delete").expect("it is destroyed");
    for change in site.changes() {
        let recorded = site.made(&inputs);
        let second = Arc::clone(&site.cluster.nodes()[1]);
        let dying = Arc::clone(&second);
        let die = Box::new(move || dying.kill());
        site.proxy.fail(&change, 1, Fault::Before(die));
        site.destroy(&recorded, "delete")
            .expect_err("one of two is too few");
        site.proxy.heal();
        second.kill();
        second.start_again();
        site.cluster.wait_until_healthy();
        site.destroy(&recorded, "delete")
            .unwrap_or_else(|error| panic!("{change}: {error}"));
        assert_eq!(site.ids(), BTreeSet::new(), "{change}");
    }
    // What isn't empty keeps its names.
    let recorded = site.made(&inputs);
    let s3 = nixops4_resources_tests::garage::s3::Client::new(
        &site.cluster.node().s3_url(),
        "media",
        &site.key,
    );
    site.admin().permit(&id(&recorded), &site.key.id, "rw");
    s3.put("kept", b"42").expect("it is put");
    site.destroy(&recorded, "delete").expect_err("it has data");
    for name in ["media", "pictures"] {
        assert!(site.admin().bucket_called(name).is_some(), "{name}");
    }
}

/// S3 obeys the key, which has not heard of it.
#[test]
fn what_was_taken_by_half_is_taken() {
    if !is_there() {
        return;
    }
    let site = two();
    let inputs = site.bucket("media");
    let none = with(&inputs, &json!({"keys": []}));
    for policy in ["update", "retain"] {
        let recorded = site.made(&inputs);
        site.deny_by_half(&id(&recorded));
        if policy == "update" {
            site.updated(&recorded, &none);
        } else {
            site.destroy(&recorded, policy).expect("it is retained");
        }
        assert!(site.of_key(&site.key.id).is_empty(), "{policy}");
        site.made(&inputs);
        site.assert_whole("media");
    }
    // A permission of its own.
    let id = id(&site.made(&none));
    let permission = object(json!({
        "owner": "faults",
        "connection": site.connection(),
        "bucketId": id,
        "accessKeyId": site.key.id,
        "write": true,
    }));
    let request = messages::create(PERMISSION, &permission, true);
    let answer = site.send(&request).expect("it is given");
    let outputs = object(answer["outputProperties"].clone());
    let recorded = messages::resource(PERMISSION, &permission, Some(&outputs));
    site.deny_by_half(&id);
    site.send(&messages::destroy(&recorded))
        .expect("it is taken");
    assert!(site.of_key(&site.key.id).is_empty());
}

/// The node is back in a moment: what was sent is sent again, and not looked for.
#[test]
fn taking_by_half_is_not_believed() {
    if !is_there() {
        return;
    }
    let site = two();
    let inputs = site.bucket("media");
    for policy in ["update", "retain"] {
        let recorded = site.made(&inputs);
        let second = Arc::clone(&site.cluster.nodes()[1]);
        let restart = move || {
            second.kill();
            let second = Arc::clone(&second);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(500));
                second.start_again();
            });
        };
        site.proxy.fail(
            "POST /v2/DenyBucketKey",
            1,
            Fault::Before(Box::new(restart)),
        );
        let done = if policy == "update" {
            let none = with(&inputs, &json!({"keys": []}));
            site.update(&recorded, &none)
        } else {
            site.destroy(&recorded, policy)
        };
        // However it ended, success means that it was taken.
        let taken = site.of_key(&site.key.id).is_empty();
        assert!(taken || done.is_err(), "{policy}: {done:?}");
        site.cluster.wait_until_healthy();
        site.made(&inputs);
    }
}

/// The new name is the key's alone, and the old one goes: the mark stays.
#[test]
fn renaming_goes_on() {
    if !is_there() {
        return;
    }
    let site = two();
    let recorded = site.made(&site.bucket("media"));
    let bucket = id(&recorded);
    let alias =
        json!({"bucketId": bucket, "accessKeyId": site.stand_in(), "localAlias": "pictures"});
    site.by_half("AddBucketAlias", &[], &alias);
    site.updated(&recorded, &site.bucket("pictures"));
    site.assert_whole("pictures");
    let again = site.made(&site.bucket("pictures"));
    assert_eq!(id(&again), bucket);
}

/// The name is free by now, and the bucket still counts it among its own.
#[test]
fn a_name_that_was_taken_off_by_half() {
    if !is_there() {
        return;
    }
    let site = two();
    let with_two = with(
        &site.bucket("media"),
        &json!({"globalAliases": ["media", "pictures"]}),
    );
    let recorded = site.made(&with_two);
    let alias = json!({"bucketId": id(&recorded), "globalAlias": "pictures"});
    site.by_half("RemoveBucketAlias", &[], &alias);
    let one = with(&with_two, &json!({"globalAliases": ["media"]}));
    site.updated(&recorded, &one);
    site.assert_whole("media");
}
