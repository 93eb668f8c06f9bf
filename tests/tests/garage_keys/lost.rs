//! What is gone: a key on the cluster, a value in the store.

use serde_json::json;

use crate::site::{Site, assert_refused, is_there, text, unique};

const KEY: &str = "garage_key";
const TOKEN: &str = "garage_admin_token";

/// Another one is made, and the plan says so; Garage never gives an id again.
#[test]
fn deleted_behind_our_back() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let inputs = json!({"name": unique("deleted")});
    let first = site.make(KEY, &inputs);
    site.delete_key(&first["accessKeyId"]);
    let record = site.record(KEY, &inputs, &first);
    let plan = site.plan(KEY, &inputs, &record);
    let change = &plan["changes"][0];
    assert_eq!(change["path"], "/generation", "{plan}");
    assert_eq!(
        (&change["before"], &change["after"]),
        (&json!({"known": 1}), &json!({"known": 2}))
    );
    assert!(text(&change["note"]).contains(&text(&first["accessKeyId"])));
    let second = site.update(&record, &inputs).expect("another key");
    assert_ne!(second["accessKeyId"], first["accessKeyId"]);
    assert_eq!(second["accessKeyIds"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["secret"]["generation"], 2);

    // Without a record it turns out when it is made.
    site.delete_key(&second["accessKeyId"]);
    let third = site.make(KEY, &inputs);
    assert_eq!(third["secret"]["generation"], 3);
    let key = site
        .admin()
        .key(&text(&third["accessKeyId"]))
        .expect("a key");
    assert_eq!(text(&key["secretAccessKey"]), site.reveal(&third["secret"]));
}

#[test]
fn a_token_that_was_deleted() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let inputs = json!({"name": unique("deleted"), "scope": ["ListKeys"]});
    let first = site.make(TOKEN, &inputs);
    let id = text(&first["id"]);
    site.admin()
        .post("DeleteAdminToken", &[("id", &id)], &json!({}));
    let record = site.record(TOKEN, &inputs, &first);
    assert_eq!(
        site.plan(TOKEN, &inputs, &record)["changes"][0]["path"],
        "/generation"
    );
    let second = site.update(&record, &inputs).expect("another token");
    assert_ne!(second["id"], first["id"]);
    let ours = site.admin_with(&site.reveal(&second["secret"]));
    assert!(ours.try_get("ListKeys", &[]).is_ok());
}

/// Never a new value in the place of a lost one.
#[test]
fn a_value_that_the_store_lost() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let inputs = json!({"name": unique("lost")});
    let key = site.make(KEY, &inputs);
    let record = site.record(KEY, &inputs, &key);
    site.lose(&text(&key["secret"]["name"]));
    assert_refused(
        site.update(&record, &inputs),
        "/secretName",
        &["recorded", "restore the store"],
    );
    // Nor without a record: it is managed, and not here.
    let id = text(&key["accessKeyId"]);
    assert_refused(site.try_make(KEY, &inputs), "/secretName", &[&id]);
    // It can still be destroyed.
    site.destroy(&record, "delete").expect("it is destroyed");
    assert_eq!(site.admin().key(&id), None);
}
