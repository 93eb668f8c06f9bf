use expect_test::{Expect, expect};
use nixops4_provider_sdk::SecretString;
use nixops4_provider_sdk::http::StatusCode;
use time::macros::datetime;

use super::*;
use crate::name::BucketName;

fn bucket() -> BucketId {
    BucketId::try_from("ab".repeat(32)).unwrap()
}

fn key() -> AccessKeyId {
    AccessKeyId::try_from("GK0123456789abcdef01234567".to_owned()).unwrap()
}

fn token() -> TokenId {
    TokenId::try_from("0123456789abcdef01234567".to_owned()).unwrap()
}

fn name(text: &str) -> BucketName {
    BucketName::try_from(text.to_owned()).unwrap()
}

/// What is sent: method, endpoint, query and body.
fn sent<A>(request: &Request<A>) -> String {
    let query: Vec<_> = request
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut text = format!(
        "{} {} {}\n",
        request.method,
        request.endpoint,
        query.join("&")
    );
    if let Some(body) = &request.body {
        text = format!("{text}{body:#}\n");
    }
    text
}

#[expect(clippy::needless_pass_by_value, reason = "each is there for this")]
fn check(requests: &[String], expected: Expect) {
    expected.assert_eq(&requests.concat());
}

#[test]
fn looking() {
    check(
        &[
            sent(&bucket_by_id(&bucket())),
            sent(&bucket_by_alias(&name("media"))),
            sent(&key_by_id(&key())),
            sent(&key_by_name("media of the shop")),
            sent(&secret_of_key(&key())),
            sent(&list_keys(None, 1000)),
            sent(&list_keys(Some(&key()), 1000)),
            sent(&token_by_id(&token())),
            sent(&list_tokens()),
            sent(&node_info()),
            sent(&cluster_status()),
        ],
        expect![[r"
            GET GetBucketInfo id=abababababababababababababababababababababababababababababababab
            GET GetBucketInfo globalAlias=media
            GET GetKeyInfo id=GK0123456789abcdef01234567
            GET GetKeyInfo search=media of the shop
            GET GetKeyInfo id=GK0123456789abcdef01234567&showSecretKey=true
            GET ListKeys limit=1000
            GET ListKeys limit=1000&offset=GK0123456789abcdef01234567
            GET GetAdminTokenInfo id=0123456789abcdef01234567
            GET ListAdminTokens 
            GET GetNodeInfo node=self
            GET GetClusterStatus 
        "]],
    );
}

#[test]
fn buckets() {
    let global = Alias::Global {
        global_alias: name("media"),
    };
    let local = Alias::Local {
        local_alias: name("mine"),
        access_key_id: key(),
    };
    let website = BucketChange {
        website_access: Some(WebsiteChange {
            enabled: false,
            index_document: None,
            error_document: None,
        }),
        quotas: Some(Quotas {
            max_size: Some(1024),
            max_objects: None,
        }),
        cors_rules: Some(Vec::new()),
        ..BucketChange::default()
    };
    let permissions = Permissions {
        read: true,
        write: true,
        owner: false,
    };
    check(
        &[
            sent(&create_bucket(&key(), &name("media"))),
            sent(&update_bucket(&bucket(), &website)),
            sent(&delete_bucket(&bucket())),
            sent(&add_alias(&bucket(), &global)),
            sent(&add_alias(&bucket(), &local)),
            sent(&remove_alias(&bucket(), &local)),
            sent(&allow(&bucket(), &key(), permissions)),
            sent(&deny(&bucket(), &key(), permissions)),
        ],
        expect![[r#"
            POST CreateBucket 
            {
              "localAlias": {
                "accessKeyId": "GK0123456789abcdef01234567",
                "alias": "media"
              }
            }
            POST UpdateBucket id=abababababababababababababababababababababababababababababababab
            {
              "websiteAccess": {
                "enabled": false
              },
              "quotas": {
                "maxSize": 1024,
                "maxObjects": null
              },
              "corsRules": []
            }
            POST DeleteBucket id=abababababababababababababababababababababababababababababababab
            POST AddBucketAlias 
            {
              "bucketId": "abababababababababababababababababababababababababababababababab",
              "globalAlias": "media"
            }
            POST AddBucketAlias 
            {
              "bucketId": "abababababababababababababababababababababababababababababababab",
              "localAlias": "mine",
              "accessKeyId": "GK0123456789abcdef01234567"
            }
            POST RemoveBucketAlias 
            {
              "bucketId": "abababababababababababababababababababababababababababababababab",
              "localAlias": "mine",
              "accessKeyId": "GK0123456789abcdef01234567"
            }
            POST AllowBucketKey 
            {
              "bucketId": "abababababababababababababababababababababababababababababababab",
              "accessKeyId": "GK0123456789abcdef01234567",
              "permissions": {
                "read": true,
                "write": true,
                "owner": false
              }
            }
            POST DenyBucketKey 
            {
              "bucketId": "abababababababababababababababababababababababababababababababab",
              "accessKeyId": "GK0123456789abcdef01234567",
              "permissions": {
                "read": true,
                "write": true,
                "owner": false
              }
            }
        "#]],
    );
}

#[test]
fn keys() {
    let secret = SecretString::from("0123456789abcdef");
    let creates = KeyPermissions {
        create_bucket: true,
    };
    let set = KeyChange {
        name: Some("media".to_owned()),
        expiration: Some(datetime!(2027-01-31 12:00:00.5 UTC)),
        allow: Some(creates),
        ..KeyChange::default()
    };
    let cleared = KeyChange {
        never_expires: true,
        deny: Some(creates),
        ..KeyChange::default()
    };
    check(
        &[
            sent(&import_key(&key(), &secret, "media")),
            sent(&update_key(&key(), &set)),
            sent(&update_key(&key(), &cleared)),
            sent(&delete_key(&key())),
        ],
        expect![[r#"
            POST ImportKey 
            {
              "accessKeyId": "GK0123456789abcdef01234567",
              "secretAccessKey": "0123456789abcdef",
              "name": "media"
            }
            POST UpdateKey id=GK0123456789abcdef01234567
            {
              "name": "media",
              "expiration": "2027-01-31T12:00:00.5Z",
              "allow": {
                "createBucket": true
              }
            }
            POST UpdateKey id=GK0123456789abcdef01234567
            {
              "neverExpires": true,
              "deny": {
                "createBucket": true
              }
            }
            POST DeleteKey id=GK0123456789abcdef01234567
        "#]],
    );
}

#[test]
fn tokens() {
    let staged = TokenChange {
        name: Some("metrics".to_owned()),
        expiration: Some(datetime!(2027-01-31 12:00 UTC)),
        scope: Some(Vec::new()),
        ..TokenChange::default()
    };
    let finished = TokenChange {
        never_expires: true,
        scope: Some(vec!["Metrics".to_owned()]),
        ..TokenChange::default()
    };
    check(
        &[
            sent(&create_token(&staged)),
            sent(&update_token(&token(), &finished)),
            sent(&delete_token(&token())),
        ],
        expect![[r#"
            POST CreateAdminToken 
            {
              "name": "metrics",
              "expiration": "2027-01-31T12:00:00Z",
              "scope": []
            }
            POST UpdateAdminToken id=0123456789abcdef01234567
            {
              "neverExpires": true,
              "scope": [
                "Metrics"
              ]
            }
            POST DeleteAdminToken id=0123456789abcdef01234567
        "#]],
    );
}

#[test]
fn what_is_absent() {
    let refusal = |status, body: &str| Refusal::read(status, body.as_bytes());
    let (found, missing) = (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::NOT_FOUND);
    let of = |code: &str| format!(r#"{{"code": "{code}", "message": "gone", "path": "/"}}"#);
    for (code, what) in [
        ("NoSuchBucket", Absent::Bucket),
        ("NoSuchAccessKey", Absent::Key),
        ("NoSuchAdminToken", Absent::AdminToken),
    ] {
        assert!(refusal(missing, &of(code)).says_absent(what));
        // A failure of the server is no absence, and neither is another thing's.
        assert!(!refusal(found, &of(code)).says_absent(what));
        assert!(!refusal(missing, &of("NoSuchKey")).says_absent(what));
        // That of a proxy before it says nothing of the thing.
        assert!(!refusal(missing, "<h1>Not Found</h1>").says_absent(what));
    }
}

#[test]
fn what_is_no_id() {
    for text in [
        "",
        "0123",
        &"G".repeat(24),
        &"a".repeat(25),
        "0123456789ABCDEF01234567",
    ] {
        assert!(TokenId::try_from(text.to_owned()).is_err(), "{text}");
    }
    // A whole token in the place of its id isn't repeated.
    let whole = format!("{}.secretsecret", "a".repeat(24));
    let error = TokenId::try_from(whole).unwrap_err();
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn answers_are_read_leniently() {
    let text = r#"{"id": null, "created": null, "name": "of the configuration", "expiration": null,
        "expired": false, "scope": ["*"], "later": 1}"#;
    let token: AdminToken = serde_json::from_str(text).unwrap();
    assert_eq!((token.id, token.expiration), (None, None));
    let text = r#"{"accessKeyId": "GK0123456789abcdef01234567", "name": "", "later": [1]}"#;
    let key: Key = serde_json::from_str(text).unwrap();
    assert!(key.buckets.is_empty() && !key.permissions.create_bucket);
}
