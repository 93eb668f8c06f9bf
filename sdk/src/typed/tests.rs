use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::{Owner, SecretRef};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Top {
    name: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    deep: Option<Deep>,
    #[serde(default)]
    list: Vec<Deep>,
    #[serde(default)]
    map: BTreeMap<String, Deep>,
    #[serde(default)]
    choice: Option<Choice>,
    #[serde(default)]
    owner: Option<Owner>,
    #[serde(default)]
    password: Option<SecretRef>,
    #[serde(default)]
    path: Option<PathBuf>,
    #[serde(default)]
    whole: i64,
    #[serde(default)]
    ratio: f64,
    #[serde(default)]
    pair: Option<(bool, u8)>,
    #[serde(default)]
    free: Value,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Deep {
    deep: bool,
    #[serde(default)]
    level: i8,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Choice {
    VerifyFull,
    Other(Deep),
}

fn parse(value: &Value) -> Result<Top> {
    read(value.as_object().unwrap(), &["adopt"])
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_and_where() {
    for (written, pointer, message) in [
        (json!({}), "/name", "missing field \"name\""),
        (json!({ "name": null }), "/name", "missing field"),
        (json!({ "name": 5 }), "/name", "expected a text, found 5"),
        (
            json!({ "name": ["a"] }),
            "/name",
            "expected a text, found a list",
        ),
        (
            json!({ "name": "a", "port": 70000 }),
            "/port",
            "from 0 to 65535, found 70000",
        ),
        (
            json!({ "name": "a", "port": -1 }),
            "/port",
            "from 0 to 65535, found -1",
        ),
        (
            json!({ "name": "a", "port": "http" }),
            "/port",
            "found the text \"http\"",
        ),
        (
            json!({ "name": "a", "whole": 1.5 }),
            "/whole",
            "expected a whole number, found 1.5",
        ),
        (
            json!({ "name": "a", "ratio": true }),
            "/ratio",
            "expected a number, found true",
        ),
        (
            json!({ "name": "a", "deep": 1 }),
            "/deep",
            "expected an object, found 1",
        ),
        (
            json!({ "name": "a", "deep": {} }),
            "/deep/deep",
            "missing field \"deep\"",
        ),
        (
            json!({ "name": "a", "deep": { "deep": 1 } }),
            "/deep/deep",
            "expected true or false",
        ),
        (
            json!({ "name": "a", "deep": { "deep": true, "x": 1 } }),
            "/deep/x",
            "unknown field",
        ),
        (
            json!({ "name": "a", "list": {} }),
            "/list",
            "expected a list, found an object",
        ),
        (
            json!({ "name": "a", "list": [[true, 1]] }),
            "/list/0",
            "expected an object, found a list",
        ),
        (
            json!({ "name": "a", "list": [null] }),
            "/list/0",
            "expected an object, found null",
        ),
        (
            json!({ "name": "a", "list": [{ "deep": true }, { "deep": true, "level": 200 }] }),
            "/list/1/level",
            "from -128 to 127, found 200",
        ),
        (
            json!({ "name": "a", "map": { "a/b~": {} } }),
            "/map/a~1b~0/deep",
            "missing field",
        ),
        (
            json!({ "name": "a", "choice": "verify-ful" }),
            "/choice",
            "\"verify-ful\" is not one of \"verify-full\", \"other\"; did you mean \"verify-full\"?",
        ),
        (
            json!({ "name": "a", "choice": 1 }),
            "/choice",
            "expected one of \"verify-full\"",
        ),
        (
            json!({ "name": "a", "choice": {} }),
            "/choice",
            "found 0 keys",
        ),
        (
            json!({ "name": "a", "choice": { "other": {} } }),
            "/choice/other/deep",
            "missing",
        ),
        (
            json!({ "name": "a", "owner": "-" }),
            "/owner",
            "\"-\" can't be an owner",
        ),
        (
            json!({ "name": "a", "path": 1 }),
            "/path",
            "expected a text, found 1",
        ),
        (json!({ "name": "a", "pair": [true] }), "/pair", "2"),
        (
            json!({ "name": "a", "pair": [true, 300] }),
            "/pair/1",
            "from 0 to 255, found 300",
        ),
        (
            json!({ "name": "a", "b`c": 1 }),
            "/b`c",
            "unknown field \"b`c\"",
        ),
        (json!({ "name": "a", "": 1 }), "/", "unknown field \"\""),
    ] {
        let error = parse(&written).unwrap_err();
        assert_eq!(error.pointer(), Some(pointer), "{written}: {error}");
        assert!(error.summary().contains(message), "{written}: {error}");
    }
}

#[test]
fn what_was_probably_meant() {
    for (written, hint) in [
        (json!({ "nmae": "a" }), "did you mean \"name\"?"),
        (
            json!({ "name": "a", "passwrod": 1 }),
            "did you mean \"password\"?",
        ),
        // One that is read elsewhere.
        (
            json!({ "name": "a", "adpot": true }),
            "did you mean \"adopt\"?",
        ),
        (
            json!({ "name": "a", "deep": { "deep": true, "lvel": 1 } }),
            "did you mean \"level\"?",
        ),
        (
            json!({ "name": "a", "deep": { "deep": true, "adopt": 1 } }),
            "use one of deep, level",
        ),
        (json!({ "name": "a", "zzz": 1 }), "use one of name, port, "),
    ] {
        let error = parse(&written).unwrap_err().to_string();
        let (_, found) = error.split_once("\nhint: ").unwrap();
        assert!(found.starts_with(hint), "{error}");
    }
}

#[test]
fn a_long_value_is_cut() {
    let long = "x".repeat(1 << 20);
    for written in [
        json!({ "name": "a", "port": long }),
        json!({ "name": "a", "choice": long }),
        json!({ "name": "a", "owner": long }),
        json!({ "name": "a", long.clone(): 1 }),
        json!({ "name": "a", "map": { long.clone(): 1 } }),
        json!({ "name": "a", "choice": { long: 1 } }),
    ] {
        let error = parse(&written).unwrap_err().to_string();
        assert!(error.len() < 1000, "{} bytes", error.len());
        assert!(error.contains(&"x".repeat(100)), "{error}");
        assert!(!error.contains(&"x".repeat(101)), "{error}");
    }
}

#[test]
fn a_secret_in_the_place_of_its_reference_is_never_shown() {
    for written in [
        json!("canary"),
        json!(["canary"]),
        json!({ "canary": 1 }),
        json!({ "env": "canary value" }),
        json!({ "file": "" , "env": "1canary" }),
    ] {
        let error = parse(&json!({ "name": "a", "password": written })).unwrap_err();
        assert_eq!(error.pointer(), Some("/password"));
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn null_is_absent_at_every_depth() {
    let parsed = parse(&json!({
        "name": "a", "port": null, "unheard": null,
        "list": [{ "deep": true, "level": null }],
        "map": { "gone": null, "there": { "deep": false, "level": null } },
        "free": { "kept": [null], "gone": null },
    }));
    let parsed = parsed.unwrap();
    assert_eq!(
        parsed.list,
        [Deep {
            deep: true,
            level: 0
        }]
    );
    assert_eq!(parsed.map.into_keys().collect::<Vec<_>>(), ["there"]);
    assert_eq!(parsed.free, json!({ "kept": [null] }));
}

#[test]
fn every_kind_of_value() {
    let parsed = parse(&json!({
        "name": "a", "port": 80, "choice": { "other": { "deep": true } }, "path": "/x",
        "whole": -5, "ratio": 2, "pair": [true, 1], "password": { "env": "X" }, "owner": "o",
    }));
    assert_eq!(
        parsed.unwrap(),
        Top {
            name: "a".to_owned(),
            port: Some(80),
            deep: None,
            list: Vec::new(),
            map: BTreeMap::new(),
            choice: Some(Choice::Other(Deep {
                deep: true,
                level: 0
            })),
            owner: Some(Owner::try_from("o".to_owned()).unwrap()),
            password: Some(SecretRef::Env("X".to_owned())),
            path: Some("/x".into()),
            whole: -5,
            ratio: 2.0,
            pair: Some((true, 1)),
            free: Value::Null,
        }
    );
    assert_eq!(
        parse(&json!({ "name": "a", "choice": "verify-full" }))
            .unwrap()
            .choice,
        Some(Choice::VerifyFull)
    );
}
