//! A permission that moves, and what it hangs on going away.

use serde_json::{Value, json};

use crate::site::{Site, assert_refused, is_there, unique};

const PERMISSION: &str = "garage_permission";

#[test]
fn given_to_another_pair() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let admin = site.admin();
    let buckets = [unique("one"), unique("two")].map(|name| admin.make_bucket(&name));
    let keys = ["one", "two"].map(|name| admin.make_key(&unique(name)).id);
    let at = |bucket: usize, key: usize| -> Value {
        json!({"bucketId": buckets[bucket], "accessKeyId": keys[key], "read": true, "bucketOwner": true})
    };
    let mut outputs = site.make(PERMISSION, &at(0, 0));
    let mut last = (0, 0);
    for (pair, pointer) in [
        ((0, 1), "/accessKeyId"),
        ((1, 1), "/bucketId"),
        ((0, 0), "/bucketId"),
    ] {
        let record = site.record(PERMISSION, &at(last.0, last.1), &outputs);
        let wanted = at(pair.0, pair.1);
        let plan = site.plan(PERMISSION, &wanted, &record);
        assert_eq!(plan["changes"][0]["path"], pointer, "{plan}");
        outputs = site.update(&record, &wanted).expect("it moves");
        assert_eq!(admin.permissions(&buckets[last.0], &keys[last.1]), "");
        assert_eq!(admin.permissions(&buckets[pair.0], &keys[pair.1]), "ro");
        last = pair;
    }
}

#[test]
fn what_it_hangs_on_is_gone() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let admin = site.admin();
    let bucket = admin.make_bucket(&unique("gone"));
    let key = admin.make_key(&unique("gone")).id;
    let inputs = json!({"bucketId": bucket, "accessKeyId": key, "write": true});
    let outputs = site.make(PERMISSION, &inputs);
    let record = site.record(PERMISSION, &inputs, &outputs);
    admin.post("DeleteKey", &[("id", &key)], &json!({}));
    assert_refused(
        site.update(&record, &inputs),
        "/accessKeyId",
        &[&key, "deleted"],
    );
    site.destroy(&record, "delete")
        .expect("it went with its key");
    admin.post("DeleteBucket", &[("id", &bucket)], &json!({}));
    assert_refused(site.update(&record, &inputs), "/bucketId", &[&bucket]);
    site.destroy(&record, "delete")
        .expect("it went with its bucket");
}
