//! What an admin token may not do, and what is done without it.

use std::path::{Path, PathBuf};

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::oneshot;
use nixops4_resources_tests::proxy::Proxy;
use serde_json::{Value, json};

use crate::site::{Site, assert_refused, is_there, text, unique};

const BUCKET: &str = "garage_bucket";
const KEY: &str = "garage_key";

/// What a plan asks for, but for looking at all things together.
const LOOKING: [&str; 5] = [
    "GetNodeInfo",
    "GetClusterStatus",
    "GetBucketInfo",
    "GetKeyInfo",
    "ListKeys",
];

/// What looks at all buckets together, and at all keys.
const TOGETHER: [&str; 2] = ["ListBucketsInfo", "ListKeysInfo"];

/// A file with a token.
fn token(site: &Site, body: &Value) -> PathBuf {
    let made = site.admin().post("CreateAdminToken", &[], body);
    let name = format!("token-{}", text(&made["id"]));
    site.sandbox.write(&name, text(&made["secretToken"]))
}

/// The connection with another token.
fn with(site: &Site, file: &Path) -> Value {
    let mut connection = site.inputs(&json!({}))["connection"].clone();
    connection["token"] = json!({"file": file});
    connection
}

#[test]
fn one_that_may_not() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let expired = json!({
        "name": unique("expired"), "scope": ["*"], "expiration": "2001-01-01T00:00:00Z",
    });
    let looks = json!({"name": unique("looks"), "scope": LOOKING});
    for (file, endpoint) in [
        (site.sandbox.write("wrong", "nonsense"), ["GetNodeInfo"; 2]),
        (token(&site, &expired), ["GetNodeInfo"; 2]),
        (token(&site, &looks), ["CreateBucket", "ImportKey"]),
    ] {
        for (kind, endpoint) in [BUCKET, KEY].into_iter().zip(endpoint) {
            let inputs = json!({"name": unique("never"), "connection": with(&site, &file)});
            let words = [endpoint, "to this token", "hasn't expired", "scope"];
            assert_refused(site.try_make(kind, &inputs), "/connection/token", &words);
        }
    }
    assert!(site.admin().buckets().iter().all(|bucket| {
        let aliases = bucket["localAliases"].as_array().expect("aliases");
        !aliases
            .iter()
            .any(|alias| text(&alias["alias"]).starts_with("never"))
    }));
}

/// Plans, in one process, which tries to look at all together.
fn plans(site: &Site, kind: &str, file: &Path, all: &[Value]) -> Vec<Result<Value, String>> {
    let proxy = Proxy::before(site.admin_address());
    let mut connection = with(site, file);
    connection["endpoint"] = json!(proxy.url());
    let request = |more: &Value| {
        let mut inputs = site.inputs(more);
        inputs.insert("connection".to_owned(), connection.clone());
        messages::plan(kind, &inputs, &[], None)
    };
    let requests: Vec<_> = all.iter().map(request).collect();
    let output = oneshot(site.command(), requests.iter().map(Value::to_string));
    assert!(output.status.success(), "{}", output.status);
    let stdout = String::from_utf8(output.stdout).expect("text");
    let asked = proxy.requests();
    let together = format!("GET /v2/{}", TOGETHER[usize::from(kind == KEY)]);
    assert!(
        asked.iter().any(|line| line.starts_with(&together)),
        "{asked:?}"
    );
    let lines = stdout.lines().zip(&requests);
    lines
        .map(|(line, request)| messages::answer(request, line))
        .collect()
}

/// As many as are worth looking at all of them together.
fn many() -> Vec<Value> {
    (0..5).map(|_| json!({"name": unique("some")})).collect()
}

#[test]
fn one_that_may_not_look_at_all_together() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let looks = json!({"name": unique("looks"), "scope": LOOKING});
    let file = token(&site, &looks);
    for kind in [BUCKET, KEY] {
        let mut all = many();
        let there = json!({"name": unique("there")});
        site.make(kind, &there);
        all.push(there);
        let answers = plans(&site, kind, &file, &all);
        assert_eq!(answers.len(), all.len());
        let actions: Vec<_> = answers
            .into_iter()
            .map(|plan| text(&plan.expect("a plan")["action"]))
            .collect();
        assert!(
            actions[..5].iter().all(|action| action == "create"),
            "{actions:?}"
        );
        assert_eq!(actions[5], "none");
    }
}

/// What a list has twice is nobody's answer.
#[test]
fn two_keys_of_one_name_in_a_list() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let name = unique("shared");
    let file = token(&site, &json!({"name": unique("all"), "scope": ["*"]}));
    let two = [(); 2].map(|()| site.admin().make_key(&name).id);
    let mut all = many();
    all.push(json!({"name": name}));
    let answer = plans(&site, KEY, &file, &all).pop().expect("an answer");
    let answer = match answer {
        Ok(plan) => {
            let change = &plan["changes"][0];
            Err::<Value, _>(format!(
                "{}: {}",
                text(&change["path"]),
                text(&change["note"])
            ))
        }
        error => error,
    };
    let error = answer.expect_err("nobody knows which");
    assert!(error.starts_with("/name: "), "{error}");
    assert!(two.iter().all(|id| error.contains(id)), "{error}");
}
