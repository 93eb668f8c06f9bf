//! A token may do what its scope says, and nothing is left of one that was begun.

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::killed_at;
use serde_json::{Value, json};

use crate::site::{Site, is_there, text, unique};

const TOKEN: &str = "garage_admin_token";

fn called(site: &Site, name: &str) -> Vec<Value> {
    let mut tokens = site.admin().tokens();
    tokens.retain(|token| text(&token["name"]).starts_with(&format!("{name} [")));
    tokens
}

#[test]
fn it_may_do_what_its_scope_says() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let name = unique("scoped");
    let at = |generation: u32| {
        json!({
            "name": name, "scope": ["ListKeys"], "generation": generation, "keepGenerations": 1,
        })
    };
    let first = site.make(TOKEN, &at(1));
    let value = site.reveal(&first["secret"]);
    assert!(value.starts_with(&format!("{}.", text(&first["id"]))));
    Canary::with(&value).assert_absent("the outputs", first.to_string());
    let old = site.admin_with(&value);
    assert!(old.try_get("ListKeys", &[]).is_ok());
    assert_eq!(
        old.try_get("ListBuckets", &[])
            .map_err(|refusal| refusal.status),
        Err(403)
    );

    // Both are good, until the third.
    let second = site.make(TOKEN, &at(2));
    let new = site.admin_with(&site.reveal(&second["secret"]));
    assert_eq!(second["previous"], first["secret"]);
    assert!(old.try_get("ListKeys", &[]).is_ok() && new.try_get("ListKeys", &[]).is_ok());
    let third = site.make(TOKEN, &at(3));
    assert_eq!(third["ids"], json!([third["id"], second["id"]]));
    assert!(old.try_get("ListKeys", &[]).is_err());
    assert_eq!(called(&site, &name).len(), 2);
    assert_eq!(site.generations(&format!("garage-admin/{name}")), [2, 3]);
}

/// Garage has made it, and nobody knows its value any more.
#[test]
fn killed_before_it_is_kept() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let name = unique("killed");
    let inputs = json!({"name": name, "scope": ["*"]});
    let request = messages::create(TOKEN, &site.inputs(&inputs), true);
    let _ended = killed_at(site.command(), "token:made", 0, request.to_string());
    // It could do nothing, and ends soon.
    let [left] = &called(&site, &name)[..] else {
        panic!("one is left");
    };
    assert_eq!(left["scope"], json!([]));
    assert!(left["expiration"].is_string(), "{left}");
    let made = site.make(TOKEN, &inputs);
    let [token] = &called(&site, &name)[..] else {
        panic!("there is one");
    };
    assert_eq!(token["id"], made["id"]);
    assert_ne!(token["id"], left["id"]);
    assert_eq!(token["expiration"], Value::Null);
}

/// What another machine has begun may still be going on there, until it ends.
#[test]
fn begun_on_another_machine() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let name = unique("elsewhere");
    let mark = "nixops4-resources: owner=keys type=garage_admin_token";
    let begin = |machine: &str, expiration: &str| {
        let body = json!({
            "name": format!("{name} [{mark} making={machine}]"), "scope": [],
            "expiration": expiration,
        });
        text(&site.admin().post("CreateAdminToken", &[], &body)["id"])
    };
    let going_on = begin("aaaa", "2100-01-01T00:00:00Z");
    let ended = begin("bbbb", "2001-01-01T00:00:00Z");
    let made = site.make(TOKEN, &json!({"name": name, "scope": ["ListKeys"]}));
    let ids: Vec<_> = called(&site, &name)
        .iter()
        .map(|token| text(&token["id"]))
        .collect();
    assert!(
        ids.contains(&going_on) && ids.contains(&text(&made["id"])),
        "{ids:?}"
    );
    assert!(!ids.contains(&ended), "{ids:?}");
}

/// Its value can't be had, so it can't be taken over.
#[test]
fn somebody_elses_of_that_name() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let name = unique("theirs");
    let body = json!({"name": name, "scope": ["ListKeys"]});
    let id = text(&site.admin().post("CreateAdminToken", &[], &body)["id"]);
    let inputs = |adopt: bool| json!({"name": name, "scope": ["ListKeys"], "adopt": adopt});
    let error = site
        .try_make(TOKEN, &inputs(false))
        .expect_err("it is foreign");
    assert!(error.starts_with("/adopt: "), "{error}");
    let error = site
        .try_make(TOKEN, &inputs(true))
        .expect_err("it can't be adopted");
    assert!(error.starts_with("/name: "), "{error}");
    assert!(error.contains(&id) && error.contains("once"), "{error}");
}
