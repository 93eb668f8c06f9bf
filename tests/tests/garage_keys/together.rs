//! Several at once who share the store and the cluster, and no lock: as on several
//! machines, or in several sessions of one user.

use std::fs;

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use crate::site::{Site, is_there, text, unique};

/// How many come at once.
const CROWD: usize = 6;

/// Has all of them make the same thing; gives what each was told.
fn make_at_once(site: &Site, kind: &str, inputs: &Value) -> Vec<Value> {
    let request = messages::create(kind, &site.inputs(inputs), true);
    let come = |number: usize| {
        let locks = site.sandbox.work().join(format!("{kind}-{number}"));
        fs::create_dir(&locks).expect("a folder of its own");
        let mut command = site.command();
        command.env("XDG_RUNTIME_DIR", locks);
        let mut provider = Provider::spawn(command);
        provider.send(request.to_string());
        provider
    };
    let all: Vec<Provider> = (0..CROWD).map(come).collect();
    let told = all.into_iter().map(|mut provider| {
        let line = provider.answer();
        let answer = messages::answer(&request, &line);
        answer.unwrap_or_else(|error| panic!("{kind}: {error}"))["outputProperties"].clone()
    });
    told.collect()
}

#[test]
fn of_those_who_share_no_lock_nobody_makes_a_second_one() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    // Nobody's so far, so that all of them make the key that stands for it, too.
    let owner = unique("crowd");
    let name = unique("shared");
    for (kind, id) in [("garage_key", "accessKeyId"), ("garage_bucket", "id")] {
        let told = make_at_once(&site, kind, &json!({"owner": owner, "name": name}));
        for other in &told[1..] {
            assert_eq!(other[id], told[0][id], "{kind}");
        }
    }
    let keys = site.admin().keys();
    let of_owner = keys
        .iter()
        .filter(|key| text(&key["name"]).contains(&format!("owner={owner}")));
    let named: Vec<String> = of_owner.map(|key| text(&key["name"])).collect();
    assert_eq!(named.len(), 2, "the key and the stand-in: {named:?}");
    assert_eq!(site.generations(&format!("garage/{name}")), [1]);
}
