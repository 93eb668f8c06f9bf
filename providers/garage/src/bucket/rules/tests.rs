use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn cors(rule: Value) -> Result<CorsRule, String> {
    let rule: CorsRule = serde_json::from_value(rule).map_err(|error| error.to_string())?;
    let checked = rule.validate().map(|()| rule);
    checked.map_err(|error| error.to_string())
}

fn lifecycle(rule: Value) -> Result<LifecycleRule, String> {
    let rule: LifecycleRule = serde_json::from_value(rule).map_err(|error| error.to_string())?;
    let checked = rule.validate().map(|()| rule);
    checked.map_err(|error| error.to_string())
}

fn sent(rule: impl Serialize, expected: &Expect) {
    expected.assert_eq(&serde_json::to_string(&rule).unwrap());
}

#[test]
fn cors_as_garage_has_it() {
    let least = json!({"allowedOrigins": ["*"], "allowedMethods": ["GET"]});
    sent(
        cors(least).unwrap().to_garage(),
        &expect![[
            r#"{"AllowedOrigin":["*"],"AllowedMethod":["GET"],"AllowedHeader":[],"ExposeHeader":[]}"#
        ]],
    );
    let all = json!({
        "id": "upload", "allowedOrigins": ["https://a.example", "https://b.example"],
        "allowedMethods": ["PUT", "*"], "allowedHeaders": ["*", "Content-Type"],
        "exposeHeaders": ["etag"], "maxAgeSeconds": 0,
    });
    sent(
        cors(all).unwrap().to_garage(),
        &expect![[
            r#"{"ID":"upload","MaxAgeSeconds":0,"AllowedOrigin":["https://a.example","https://b.example"],"AllowedMethod":["PUT","*"],"AllowedHeader":["*","Content-Type"],"ExposeHeader":["etag"]}"#
        ]],
    );
}

#[test]
fn cors_that_is_refused() {
    let with = |field: &str, value: Value| {
        let mut rule = json!({"allowedOrigins": ["*"], "allowedMethods": ["GET"]});
        rule[field] = value;
        cors(rule).unwrap_err()
    };
    for (field, value, expected) in [
        (
            "allowedOrigins",
            json!([]),
            "/allowedOrigins: a rule without any allows nothing",
        ),
        (
            "allowedMethods",
            json!([]),
            "/allowedMethods: a rule without any allows nothing",
        ),
        (
            "allowedMethods",
            json!(["GET", "FOO"]),
            "/allowedMethods/1: \"FOO\" is no method",
        ),
        (
            "allowedMethods",
            json!(["get"]),
            "/allowedMethods/0: \"get\" is no method",
        ),
        (
            "allowedHeaders",
            json!(["a b"]),
            "/allowedHeaders/0: \"a b\" is no name",
        ),
        (
            "exposeHeaders",
            json!([""]),
            "/exposeHeaders/0: \"\" is no name",
        ),
        // Garage would take it for a very large one.
        ("maxAgeSeconds", json!(-1), "invalid value"),
        ("maxAge", json!(1), "unknown field"),
    ] {
        let error = with(field, value);
        assert!(error.contains(expected), "{field}: {error}");
    }
}

#[test]
fn lifecycle_as_garage_has_it() {
    for (rule, expected) in [
        (
            json!({"expireAfterDays": 30}),
            expect![[r#"{"Status":"Enabled","Expiration":{"Days":30}}"#]],
        ),
        (
            json!({"id": "tmp", "enable": false, "prefix": "tmp/", "expireOn": "2027-01-31"}),
            expect![[
                r#"{"ID":"tmp","Status":"Disabled","Filter":{"Prefix":"tmp/"},"Expiration":{"Date":"2027-01-31"}}"#
            ]],
        ),
        // Garage refuses two conditions side by side, and reads one in `And` back
        // without it.
        (
            json!({"prefix": "a/", "largerThan": "1kB", "smallerThan": "1MiB", "abortUploadsAfterDays": 2}),
            expect![[
                r#"{"Status":"Enabled","Filter":{"And":{"Prefix":"a/","ObjectSizeGreaterThan":1000,"ObjectSizeLessThan":1048576}},"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":2}}"#
            ]],
        ),
        (
            json!({"smallerThan": 0, "expireAfterDays": 1, "abortUploadsAfterDays": 36500}),
            expect![[
                r#"{"Status":"Enabled","Filter":{"ObjectSizeLessThan":0},"Expiration":{"Days":1},"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":36500}}"#
            ]],
        ),
    ] {
        sent(lifecycle(rule).unwrap().to_garage(), &expected);
    }
}

#[test]
fn lifecycle_that_is_refused() {
    for (rule, expected) in [
        (json!({}), "the rule says nothing to do"),
        (json!({"prefix": "a/"}), "the rule says nothing to do"),
        (
            json!({"expireAfterDays": 1, "expireOn": "2027-01-31"}),
            "/expireOn: objects can't",
        ),
        (json!({"expireAfterDays": 0}), "/expireAfterDays: the days"),
        (json!({"expireAfterDays": -1}), "invalid value"),
        (
            json!({"abortUploadsAfterDays": 36501}),
            "/abortUploadsAfterDays: the days",
        ),
        (
            json!({"expireOn": "2027-02-30"}),
            "/expireOn: \"2027-02-30\" is no day",
        ),
        (json!({"expireOn": "31.1.2027"}), "is no day"),
        (
            json!({"expireAfterDays": 1, "largerThan": "1 kilo"}),
            "there is no unit",
        ),
    ] {
        let error = lifecycle(rule.clone()).unwrap_err();
        assert!(error.contains(expected), "{rule}: {error}");
    }
}
