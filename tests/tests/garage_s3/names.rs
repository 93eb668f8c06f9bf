//! Names of a bucket: none for everybody, and several.

use nixops4_resources_tests::garage::is_there;
use nixops4_resources_tests::messages::{self, Object};
use serde_json::{Value, json};

use super::site::{BUCKET, Site, output};

fn list(site: &Site, inputs: &Object) -> Vec<Value> {
    let request = json!({"nixops4-resources/listResourcesRequest": {
        "type": BUCKET, "inputProperties": inputs,
    }});
    let answer = site.send(&request).expect("a list");
    answer["resources"].as_array().expect("an array").clone()
}

#[test]
fn none_for_everybody() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let inputs = site.inputs("names-none", &[("/globalAliases", json!([]))]);
    let recorded = site.made(BUCKET, &inputs);
    let id = output(&recorded, "id");
    let outputs = &recorded["outputProperties"];
    assert_eq!(outputs["bucket"], Value::Null, "{outputs}");
    assert_eq!(outputs["globalAliases"], json!([]), "{outputs}");
    assert_eq!(site.plan(&recorded)["action"], "none");

    // By the owner's own name for it, without a record.
    let again = site.made(BUCKET, &inputs);
    assert_eq!(output(&again, "id"), id);
    let found = list(&site, &inputs);
    let ours = |found: &[Value]| {
        let mut all = found.iter();
        all.find(|one| one["identity"]["bucket"] == "names-none")
            .map(|one| (one["id"].clone(), one["mark"].to_string()))
    };
    let (listed, mark) = ours(&found).expect("it is listed");
    assert_eq!(listed, json!(id));
    assert!(!mark.contains("retained-since="), "{mark}");

    let mut retain = recorded.clone();
    retain["inputProperties"]["deletionPolicy"] = json!("retain");
    site.send(&messages::destroy(&retain))
        .expect("it is retained");
    let (listed, mark) = ours(&list(&site, &inputs)).expect("it is listed");
    assert_eq!(listed, json!(id));
    assert!(mark.contains("retained-since="), "{mark}");
    let back = site.made(BUCKET, &inputs);
    assert_eq!(output(&back, "id"), id);
    retain["inputProperties"]["deletionPolicy"] = json!("delete");
    site.send(&messages::destroy(&retain))
        .expect("it is deleted");
    assert!(site.admin().bucket(&id).is_none());
    assert_eq!(ours(&list(&site, &inputs)), None);
}

#[test]
fn two_come_and_go() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let with = |aliases: Value| site.inputs("names-two", &[("/globalAliases", aliases)]);
    let recorded = site.made(BUCKET, &with(json!(["names-two"])));
    let id = output(&recorded, "id");
    let called = |name: &str| {
        let bucket = site.admin().bucket_called(name);
        bucket.map(|bucket| bucket["id"].as_str().expect("an id").to_owned())
    };
    let all = json!(["names-two", "names-three", "names-four"]);
    site.update(&recorded, &with(all)).expect("two come");
    for name in ["names-two", "names-three", "names-four"] {
        assert_eq!(called(name).as_deref(), Some(id.as_str()), "{name}");
    }
    let other = json!(["names-three"]);
    site.update(&recorded, &with(other.clone()))
        .expect("two go");
    assert_eq!(called("names-three").as_deref(), Some(id.as_str()));
    for name in ["names-two", "names-four"] {
        assert_eq!(called(name), None, "{name}");
    }
    // Without a record it is still known by what its owner calls it.
    let again = site.made(BUCKET, &with(other));
    assert_eq!(output(&again, "id"), id);
    assert_eq!(output(&again, "bucket"), "names-three");
}
