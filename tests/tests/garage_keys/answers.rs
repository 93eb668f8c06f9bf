//! Answers that are lost, and a process that is killed: there is one of each, and
//! nothing is left.

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::killed_at;
use nixops4_resources_tests::proxy::{Fault, Proxy};
use serde_json::{Value, json};

use crate::site::{Site, is_there, text, unique};

const KEY: &str = "garage_key";
const TOKEN: &str = "garage_admin_token";
const TENANT: &str = "garage_tenant";
const PERMISSION: &str = "garage_permission";

const END: &str = "2100-01-01T00:00:00Z";

/// The inputs of a thing that is reached through a proxy.
fn through(site: &Site, proxy: &Proxy, more: &Value) -> Value {
    let mut connection = site.inputs(&json!({}))["connection"].clone();
    connection["endpoint"] = json!(proxy.url());
    let mut inputs = more.clone();
    inputs["connection"] = connection;
    inputs
}

/// How many keys and tokens there are whose names begin so, finished and not.
fn count(site: &Site, name: &str) -> usize {
    let admin = site.admin();
    let all = admin.keys().into_iter().chain(admin.tokens());
    all.filter(|thing| text(&thing["name"]).starts_with(&format!("{name} [")))
        .count()
}

/// How an answer is lost, with the change done and not done.
fn losses() -> [Fault; 3] {
    [Fault::CutBefore, Fault::CutAfter, Fault::CutWithin]
}

/// Makes a thing and destroys it, with each of these requests' answers lost once.
fn lose(site: &Site, kind: &str, more: &Value, changes: &[&str]) {
    let proxy = Proxy::before(site.admin_address());
    for change in changes {
        for fault in losses() {
            let what = format!("{kind} {change} {fault:?}");
            let name = unique("lossy");
            let mut inputs = through(site, &proxy, more);
            inputs["name"] = json!(name);
            proxy.fail(&format!("POST /v2/{change}"), 1, fault);
            // It may get over it by itself.
            let first = site.try_make(kind, &inputs);
            let made = match first {
                Ok(made) => made,
                Err(error) => {
                    assert!(
                        error.starts_with("/connection/endpoint: "),
                        "{what}: {error}"
                    );
                    site.make(kind, &inputs)
                }
            };
            assert_eq!(count(site, &name), 1, "{what}");
            assert_eq!(site.make(kind, &inputs), made, "{what}");
            let record = site.record(kind, &inputs, &made);
            if let Err(error) = site.destroy(&record, "delete") {
                assert!(
                    error.starts_with("/connection/endpoint: "),
                    "{what}: {error}"
                );
                site.destroy(&record, "delete")
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            assert_eq!(count(site, &name), 0, "{what}");
            assert_eq!(site.admin().bucket_called(&name), None, "{what}");
            proxy.heal();
        }
    }
}

#[test]
fn of_a_key() {
    if !is_there() {
        return;
    }
    let more = json!({"expiration": END, "createBuckets": true});
    lose(
        &Site::new(),
        KEY,
        &more,
        &["ImportKey", "UpdateKey", "DeleteKey"],
    );
}

#[test]
fn of_a_token() {
    if !is_there() {
        return;
    }
    let more = json!({"scope": ["ListKeys"]});
    let changes = ["CreateAdminToken", "UpdateAdminToken", "DeleteAdminToken"];
    lose(&Site::new(), TOKEN, &more, &changes);
}

#[test]
fn of_a_tenant() {
    if !is_there() {
        return;
    }
    let changes = ["ImportKey", "AllowBucketKey", "DeleteBucket", "DeleteKey"];
    lose(&Site::new(), TENANT, &json!({}), &changes);
}

#[test]
fn of_a_permission() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let proxy = Proxy::before(site.admin_address());
    let admin = site.admin();
    let (bucket, key) = (
        admin.make_bucket(&unique("lossy")),
        admin.make_key("lossy").id,
    );
    let more = json!({"bucketId": bucket, "accessKeyId": key, "read": true});
    let inputs = through(&site, &proxy, &more);
    for change in ["AllowBucketKey", "DenyBucketKey"] {
        for fault in losses() {
            let what = format!("{change} {fault:?}");
            proxy.fail(&format!("POST /v2/{change}"), 1, fault);
            let made = site
                .try_make(PERMISSION, &inputs)
                .unwrap_or_else(|_| site.make(PERMISSION, &inputs));
            assert_eq!(admin.permissions(&bucket, &key), "r", "{what}");
            let record = site.record(PERMISSION, &inputs, &made);
            if site.destroy(&record, "delete").is_err() {
                site.destroy(&record, "delete")
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            assert_eq!(admin.permissions(&bucket, &key), "", "{what}");
            proxy.heal();
        }
    }
}

/// A first key that has more than a name is finished after it is made.
#[test]
fn killed_while_a_first_key_with_more_is_made() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let points = [
        "credential:kept",
        "credential:made",
        "credential:completed",
        "credential:finished",
        "engine:verified",
    ];
    for point in points {
        let name = unique("killed");
        let inputs = json!({"name": name, "expiration": END, "createBuckets": true});
        let request = messages::create(KEY, &site.inputs(&inputs), true);
        let _ended = killed_at(site.command(), point, 0, request.to_string());
        let made = site.make(KEY, &inputs);
        assert_eq!(count(&site, &name), 1, "{point}");
        let key = site
            .admin()
            .key(&text(&made["accessKeyId"]))
            .expect("a key");
        assert!(
            text(&key["expiration"]).starts_with("2100-01-01"),
            "{point}: {key}"
        );
        assert_eq!(key["permissions"]["createBucket"], true, "{point}: {key}");
        assert!(!text(&key["name"]).contains("making="), "{point}: {key}");
        assert_eq!(text(&key["secretAccessKey"]), site.reveal(&made["secret"]));
        assert_eq!(site.generations(&format!("garage/{name}")), [1], "{point}");
    }
}
