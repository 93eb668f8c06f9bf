//! What Garage refuses, and what is said of it.

use nixops4_resources_tests::garage::{Config, is_there};
use nixops4_resources_tests::proxy::Fault;
use serde_json::{Value, json};

use super::site::Site;

const SETTING: &str = "POST /v2/UpdateBucket";

fn deleted_key(site: &Site) -> String {
    let key = site.admin().make_key("deleted").id;
    site.admin().post("DeleteKey", &[("id", &key)], &json!({}));
    key
}

#[test]
fn a_key_that_was_deleted() {
    if !is_there() {
        return;
    }
    let site = Site::start(&Config::default());
    let gone = deleted_key(&site);
    let recorded = site.made(&site.bucket("there"));
    let with = |name: &str, field: &str, value: Value| {
        let mut inputs = site.bucket(name);
        inputs.insert(field.to_owned(), value);
        inputs
    };
    for (field, value, pointer) in [
        (
            "keys",
            json!([{"accessKeyId": site.key.id}, {"accessKeyId": gone, "write": true}]),
            "/keys/1/accessKeyId: ",
        ),
        (
            "localAliases",
            json!([{"accessKeyId": gone, "alias": "mine"}]),
            "/localAliases/0/accessKeyId: ",
        ),
    ] {
        let wanted = with("there", field, value.clone());
        let updated = site.update(&recorded, &wanted).map(drop);
        let created = site.create(&with("new", field, value)).map(drop);
        for error in [updated, created] {
            let error = error.expect_err("there is no such key");
            assert!(error.starts_with(pointer), "{error}");
            assert!(error.contains(&gone), "{error}");
            assert!(error.contains("it may have been deleted"), "{error}");
            assert!(error.contains("\nhint: use the `accessKeyId`"), "{error}");
        }
    }
    // What loses its permissions may be gone.
    let empty = with("there", "keys", json!([]));
    let key = &site.key.id;
    site.admin().post("DeleteKey", &[("id", key)], &json!({}));
    site.updated(&recorded, &empty);
}

/// Quotas, website and rules are set at once; what is refused of them is said of the
/// one that it is.
#[test]
fn one_of_several_settings() {
    if !is_there() {
        return;
    }
    let site = Site::start(&Config::default());
    let refusal = || Fault::Answer {
        status: 400,
        body:
            json!({"code": "InvalidRequest", "message": "made up", "region": "garage", "path": "/"})
                .to_string(),
    };
    site.proxy.fail(SETTING, 1, refusal());
    site.proxy.fail_later(SETTING, 1, 1, refusal());
    let error = site
        .create(&site.bucket("media"))
        .expect_err("it is refused");
    assert!(error.starts_with("/website: "), "{error}");
    assert!(error.contains("made up"), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
    site.proxy.heal();
    site.made(&site.bucket("media"));
    site.assert_whole("media");
    // Each by itself may be taken.
    site.proxy.fail(SETTING, 1, refusal());
    site.made(&site.bucket("more"));
    site.proxy.heal();
    site.assert_whole_beside("more", &["media"]);
}
