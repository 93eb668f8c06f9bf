//! Keys that exist: taken over, and known from elsewhere.

use serde_json::json;

use crate::site::{Site, assert_refused, is_there, text, unique};

const KEY: &str = "garage_key";

#[test]
fn two_of_one_name() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let admin = site.admin();
    let name = unique("shared");
    let (one, other) = (admin.make_key(&name), admin.make_key(&name));
    let bucket = unique("bucket");
    admin.permit(&admin.make_bucket(&bucket), &other.id, "rw");
    for adopt in [false, true] {
        let inputs = json!({"name": name, "adopt": adopt});
        let words = [one.id.as_str(), &other.id, "import.accessKeyId"];
        assert_refused(site.try_make(KEY, &inputs), "/name", &words);
    }
    // The one that is meant, with all that it may do, and its secret.
    let meant = json!({"name": name, "import": {"accessKeyId": other.id}});
    assert_refused(site.try_make(KEY, &meant), "/adopt", &["carries no mark"]);
    assert_eq!(admin.keys_called(&name).len(), 2);
    let mut adopted = meant.clone();
    adopted["adopt"] = json!(true);
    let key = site.make(KEY, &adopted);
    assert_eq!(key["accessKeyId"], json!(other.id));
    assert_eq!(site.reveal(&key["secret"]), other.secret);
    site.client(&bucket, &key)
        .put("a", b"1")
        .expect("it may write");
    assert_eq!(admin.keys_called(&name).len(), 1, "the other is left alone");
    assert_eq!(site.make(KEY, &meant), key);
}

#[test]
fn a_pair_from_elsewhere() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let admin = site.admin();
    let id = format!(
        "GK{:024x}",
        u64::from_str_radix(&unique("x")[2..], 16).expect("hex")
    );
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let file = site.sandbox.write("secret-key", format!("{secret}\n"));
    let name = unique("moved");
    let without = json!({"name": name, "import": {"accessKeyId": id}});
    assert_refused(
        site.try_make(KEY, &without),
        "/import/accessKeyId",
        &["no key", "secretAccessKey"],
    );
    let short = site.sandbox.write("short", "0123");
    let inputs = |file| json!({"name": name, "import": {"accessKeyId": id, "secretAccessKey": {"file": file}}});
    assert_refused(
        site.try_make(KEY, &inputs(short)),
        "/import/secretAccessKey",
        &["16 or more"],
    );
    let key = site.make(KEY, &inputs(file.clone()));
    assert_eq!(key["accessKeyId"], json!(id));
    assert_eq!(site.reveal(&key["secret"]), secret);
    assert_eq!(
        text(&admin.key(&id).expect("a key")["secretAccessKey"]),
        secret
    );

    // Deleted for good: another id is nobody's wish.
    let record = site.record(KEY, &inputs(file.clone()), &key);
    site.destroy(&record, "delete").expect("it is deleted");
    assert_refused(
        site.try_make(KEY, &inputs(file)),
        "/import/accessKeyId",
        &["was deleted", "`generation`"],
    );
}

#[test]
fn with_another_secret() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let theirs = site.admin().make_key(&unique("theirs"));
    let file = site.sandbox.write("other", "x".repeat(64));
    let inputs = json!({
        "name": unique("ours"), "adopt": true,
        "import": {"accessKeyId": theirs.id, "secretAccessKey": {"file": file}},
    });
    assert_refused(
        site.try_make(KEY, &inputs),
        "/import/secretAccessKey",
        &["another secret"],
    );
}

/// A secret is called after the first name of its key; who is called so later has
/// another key.
#[test]
fn a_name_that_was_free_again() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let (old, new) = (unique("old"), unique("new"));
    let first = site.make(KEY, &json!({"name": old}));
    let record = site.record(KEY, &json!({"name": old}), &first);
    let renamed = site
        .update(&record, &json!({"name": new}))
        .expect("renamed");
    assert_eq!(renamed["secret"], first["secret"]);
    assert_eq!(renamed["accessKeyId"], first["accessKeyId"]);
    let words = [new.as_str(), "set secretName"];
    assert_refused(
        site.try_make(KEY, &json!({"name": old})),
        "/secretName",
        &words,
    );
    let inputs = json!({"name": old, "secretName": format!("garage/{old}-2")});
    let second = site.make(KEY, &inputs);
    assert_ne!(second["accessKeyId"], first["accessKeyId"]);
}
