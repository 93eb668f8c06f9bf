//! What `docs/guides/garage.md` says of the key that stands for a deployment.

use nixops4_resources_tests::messages;
use serde_json::json;

use crate::site::{BUCKET, Site};

/// Nothing is lost; but nobody knows any more whose it is.
#[test]
fn somebody_deletes_it() {
    let Some(site) = Site::start() else {
        return;
    };
    let inputs = site.bucket("media", &json!({}));
    let recorded = site.made(&inputs);
    let admin = site.admin();
    let key = admin.make_key("app");
    let id = recorded["outputProperties"]["id"].as_str().expect("an id");
    admin.permit(id, &key.id, "rw");
    site.client("media", &key).put("kept", b"42").unwrap();

    let title = "nixops4-resources: owner=objects type=garage_bucket";
    let stand_in = admin.keys_called(title).remove(0);
    let stand_in = stand_in["id"].as_str().expect("an id");
    admin.post("DeleteKey", &[("id", stand_in)], &json!({}));

    let (answer, _) = site.ask(&messages::update(&recorded, &inputs));
    let error = answer.unwrap_err();
    assert!(error.contains("it carries no mark"), "{error}");
    assert!(error.contains("adopt = true"), "{error}");
    site.destroy(&recorded).unwrap_err();

    let adopted = site.bucket("media", &json!({"adopt": true}));
    let (answer, log) = site.ask(&messages::update(&recorded, &adopted));
    answer.unwrap_or_else(|error| panic!("{error}\n{log}"));
    let (answer, log) = site.ask(&messages::create(BUCKET, &inputs, true));
    answer.unwrap_or_else(|error| panic!("{error}\n{log}"));
    assert_eq!(site.client("media", &key).get("kept").unwrap(), b"42");
    let stand_in_now = admin.keys_called(title).remove(0);
    assert_ne!(stand_in_now["id"], stand_in);
}
