//! A key takes the place of another one, and nobody is locked out before its time.

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::killed_at;
use serde_json::json;

use crate::site::{Site, is_there, text, unique};

#[test]
fn clients_go_on_with_the_old_key() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let admin = site.admin();
    let (name, bucket) = (unique("media"), unique("bucket"));
    let id = admin.make_bucket(&bucket);
    let at =
        |generation: u32| json!({"name": name, "generation": generation, "keepGenerations": 1});
    let first = site.make("garage_key", &at(1));
    let first_id = text(&first["accessKeyId"]);
    // By a name that the bucket has for this key alone.
    let alias = json!({"bucketId": id, "accessKeyId": first_id, "localAlias": "mine"});
    admin.post("AddBucketAlias", &[], &alias);
    let permission =
        |key: &str| json!({"bucketId": id, "accessKeyId": key, "read": true, "write": true});
    let given = site.make("garage_permission", &permission(&first_id));
    let old = site.client("mine", &first);
    old.put("by-the-first", b"1").expect("it may write");

    // The second may do the same, and the first goes on.
    let record = site.record("garage_key", &at(1), &first);
    let second = site.update(&record, &at(2)).expect("another key");
    let second_id = text(&second["accessKeyId"]);
    assert_ne!(second_id, first_id);
    assert_eq!(second["previousAccessKeyId"], json!(first_id));
    assert_eq!(second["previous"], first["secret"]);
    assert_eq!(second["accessKeyIds"], json!([second_id, first_id]));
    let new = site.client("mine", &second);
    assert_eq!(new.get("by-the-first").as_deref(), Ok(&b"1"[..]));
    old.put("by-the-first", b"2").expect("it may write still");

    // The permission follows, and takes nothing from the first.
    let record = site.record("garage_permission", &permission(&first_id), &given);
    let plan = site.plan("garage_permission", &permission(&second_id), &record);
    assert_eq!(plan["changes"], json!([]), "{plan}");
    site.update(&record, &permission(&second_id))
        .expect("it follows");
    old.put("by-the-first", b"3").expect("it may write still");
    // What is said of the key is said of both.
    let less = json!({"bucketId": id, "accessKeyId": second_id, "read": true});
    site.make("garage_permission", &less);
    assert!(old.put("by-the-first", b"4").is_err());
    assert!(new.put("by-the-first", b"4").is_err());
    site.make("garage_permission", &permission(&second_id));

    // So does a bucket that lists the second alone.
    let listed = json!({
        "name": bucket, "adopt": true,
        "keys": [{"accessKeyId": second_id, "read": true, "write": true}],
    });
    site.make("garage_bucket", &listed);
    old.put("by-the-first", b"5").expect("it may write still");

    // The third ends the first, on the cluster and in the store.
    let record = site.record("garage_key", &at(2), &second);
    let third = site.update(&record, &at(3)).expect("another key");
    let third_id = text(&third["accessKeyId"]);
    assert_eq!(third["accessKeyIds"], json!([third_id, second_id]));
    assert!(old.list().is_err(), "the first is gone");
    assert_eq!(admin.key(&first_id), None);
    assert_eq!(site.generations(&format!("garage/{name}")), [2, 3]);
    for key in [&second, &third] {
        let client = site.client("mine", key);
        client.put("by-the-others", b"6").expect("it may write");
    }

    // Fewer are kept from now on.
    let none = json!({"name": name, "generation": 3, "keepGenerations": 0});
    let record = site.record("garage_key", &at(3), &third);
    let plan = site.plan("garage_key", &none, &record);
    assert_eq!(plan["changes"][0]["path"], "/keepGenerations", "{plan}");
    site.update(&record, &none).expect("they go");
    assert_eq!(admin.key(&second_id), None);
    assert_eq!(site.generations(&format!("garage/{name}")), [3]);
    let client = site.client("mine", &third);
    client.put("by-the-last", b"7").expect("it may write");
}

/// At every point where something was done, with permissions to copy and a key to
/// delete.
#[test]
fn killed_in_the_middle() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let admin = site.admin();
    let buckets = [unique("one"), unique("two")].map(|name| admin.make_bucket(&name));
    for point in [
        "credential:kept",
        "credential:made",
        "key:permitted",
        "key:aliased",
        "credential:completed",
        "credential:finished",
        "credential:withdrawn",
    ] {
        let name = unique("killed");
        let at =
            |generation: u32| json!({"name": name, "generation": generation, "keepGenerations": 0});
        let first = site.make("garage_key", &at(1));
        let first_id = text(&first["accessKeyId"]);
        for (number, bucket) in buckets.iter().enumerate() {
            admin.permit(bucket, &first_id, "rw");
            let alias = json!({
                "bucketId": bucket, "accessKeyId": first_id, "localAlias": format!("mine-{number}"),
            });
            admin.post("AddBucketAlias", &[], &alias);
        }
        let record = site.record("garage_key", &at(1), &first);
        let request = messages::update(&record, &site.inputs(&at(2)));
        let _ended = killed_at(site.command(), point, 0, request.to_string());
        // Until the old one goes, it does all that it did.
        if point != "credential:withdrawn" {
            for number in 0..buckets.len() {
                let old = site.client(&format!("mine-{number}"), &first);
                old.put("a", b"1")
                    .unwrap_or_else(|error| panic!("{point}: {error}"));
            }
        }
        let second = site.update(&record, &at(2)).expect("it goes on");
        assert_eq!(second["secret"]["generation"], 2, "{point}");
        assert_eq!(second["accessKeyIds"].as_array().map(Vec::len), Some(1));
        for number in 0..buckets.len() {
            let new = site.client(&format!("mine-{number}"), &second);
            new.put("a", b"2")
                .unwrap_or_else(|error| panic!("{point}: {error}"));
        }
        assert_eq!(admin.key(&first_id), None, "{point}");
        assert_eq!(site.generations(&format!("garage/{name}")), [2], "{point}");
        let record = site.record("garage_key", &at(2), &second);
        let plan = site.plan("garage_key", &at(2), &record);
        assert_eq!(plan["action"], "none", "{point}: {plan}");
    }
}

/// Retained, it can't be used, and keeps what it may do.
#[test]
fn out_of_service_and_back() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let bucket = unique("bucket");
    let id = site.admin().make_bucket(&bucket);
    let inputs = json!({"name": unique("kept")});
    let key = site.make("garage_key", &inputs);
    site.admin().permit(&id, &text(&key["accessKeyId"]), "rw");
    let client = site.client(&bucket, &key);
    client.put("a", b"1").expect("it may write");
    let record = site.record("garage_key", &inputs, &key);
    site.destroy(&record, "retain").expect("it is retained");
    assert!(client.list().is_err(), "it is out of service");
    assert_eq!(site.make("garage_key", &inputs), key);
    assert_eq!(client.get("a").as_deref(), Ok(&b"1"[..]));
    site.destroy(&record, "delete").expect("it is deleted");
    assert!(client.list().is_err(), "it is gone");
    assert_eq!(site.generations(&text(&key["secret"]["name"])), [0; 0]);
}
