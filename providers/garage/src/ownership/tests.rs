use nixops4_provider_sdk::Owner;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

fn mark(owner: &str) -> Mark {
    let owner = Owner::try_from(owner.to_owned()).unwrap();
    Mark::new(owner, "garage_bucket")
}

/// A key on a bucket, as Garage shows it.
fn key(id: &str, name: &str, aliases: &[&str]) -> Value {
    json!({
        "accessKeyId": id,
        "name": name,
        "permissions": {"read": false, "write": false, "owner": false},
        "bucketLocalAliases": aliases,
    })
}

fn bucket(keys: &[Value]) -> Bucket {
    serde_json::from_value(json!({
        "id": "0123456789abcdef".repeat(4),
        "created": "2026-01-31T10:20:30.456Z",
        "globalAliases": ["media"],
        "websiteAccess": false,
        "keys": keys,
        "objects": 0,
        "bytes": 0,
        "quotas": {"maxSize": null, "maxObjects": null},
    }))
    .unwrap()
}

fn title(owner: &str) -> String {
    format!("nixops4-resources: owner={owner} type=garage_bucket")
}

#[test]
fn what_is_no_claim() {
    let bucket = bucket(&[
        // Somebody's key with a name of its own for the bucket.
        key("GKaaaaaaaa", "mastodon", &["media"]),
        // A stand-in that has permissions alone, which somebody gave it by hand.
        key("GKbbbbbbbb", &title("shop"), &[]),
        // A name that only begins like a mark.
        key(
            "GKcccccccc",
            "nixops4-resources: empties bucket 0123",
            &["media"],
        ),
        key("GKdddddddd", "nixops4-resources: owner=", &["media"]),
    ]);
    assert_eq!(claims(&bucket), []);
    assert_eq!(ownership(&[], &mark("shop")), Ownership::Unmarked);
}

#[test]
fn a_claim() {
    let bucket = bucket(&[
        key("GKaaaaaaaa", "mastodon", &["media"]),
        key("GKbbbbbbbb", &title("shop"), &["media"]),
    ]);
    let claims = claims(&bucket);
    let Ownership::Marked(whose) = ownership(&claims, &mark("shop")) else {
        panic!("{claims:?}");
    };
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].names, ["media"]);
    assert_eq!(claims[0].key.as_str(), "GKbbbbbbbb");
    assert!(whose.is_of_same(&mark("shop")));
    // A mark tells seconds, and this one can't tell since when on its own.
    assert_eq!(whose.since, Some(datetime!(2026-01-31 10:20:30 UTC)));
    assert_eq!(whose.retained_since, None);
}

/// As a tenant's it is nobody's bucket, of the same owner either.
#[test]
fn a_claim_of_another_kind() {
    let name = "nixops4-resources: owner=shop type=garage_tenant";
    let claims = claims(&bucket(&[key("GKbbbbbbbb", name, &["media"])]));
    let Ownership::Marked(whose) = ownership(&claims, &mark("shop")) else {
        panic!("{claims:?}");
    };
    assert!(!whose.is_of_same(&mark("shop")));
}

#[test]
fn in_the_middle_of_a_rename() {
    let claims = claims(&bucket(&[key(
        "GKbbbbbbbb",
        &title("shop"),
        &["media", "files"],
    )]));
    assert_eq!(claims[0].names, ["media", "files"]);
    assert_eq!(claims[0].retained, None);
}

/// Until the claim of the one before is gone, the bucket is theirs: who was killed
/// in the middle begins again with adopting it.
#[test]
fn in_the_middle_of_an_adoption() {
    for (first, second) in [("shop", "forum"), ("forum", "shop")] {
        let claims = claims(&bucket(&[
            key("GKaaaaaaaa", &title(first), &["media"]),
            key("GKbbbbbbbb", &title(second), &["media"]),
        ]));
        assert_eq!(claims.len(), 2);
        for (asking, whose) in [("shop", "forum"), ("forum", "shop")] {
            let found = ownership(&claims, &mark(asking));
            let Ownership::Marked(found) = found else {
                panic!("{found:?}");
            };
            assert_eq!(found.owner.as_str(), whose, "for {asking}");
        }
    }
}

/// An owner's first stand-in can be used up, and both are theirs.
#[test]
fn two_claims_of_the_same_owner() {
    let claims = claims(&bucket(&[
        key("GKaaaaaaaa", &title("shop"), &["media"]),
        key("GKbbbbbbbb", &title("shop"), &["files"]),
    ]));
    let Ownership::Marked(whose) = ownership(&claims, &mark("shop")) else {
        panic!("{claims:?}");
    };
    assert!(whose.is_of_same(&mark("shop")));
}

#[test]
fn retained() {
    let since = datetime!(2026-03-04 05:06:07 UTC);
    let alias = retained_alias(&bucket(&[]), since).unwrap();
    assert_eq!(alias.as_str(), "retained.20260304t050607z.0123456789abcdef");
    assert!(refuse_reserved(&alias).is_some());
    let media = BucketName::try_from("media-retained.x".to_owned()).unwrap();
    assert!(refuse_reserved(&media).is_none());

    let claims = claims(&bucket(&[key(
        "GKbbbbbbbb",
        &title("shop"),
        &["media", alias.as_str()],
    )]));
    assert_eq!(claims[0].names, ["media"]);
    assert_eq!(claims[0].retained.as_deref(), Some(alias.as_str()));
    assert_eq!(claims[0].mark.retained_since, Some(since));
}

/// Whoever wrote it meant that it is out of service.
#[test]
fn retained_since_nobody_knows_when() {
    let claims = claims(&bucket(&[key(
        "GKbbbbbbbb",
        &title("shop"),
        &["retained.soon"],
    )]));
    assert_eq!(
        claims[0].mark.retained_since,
        Some(OffsetDateTime::UNIX_EPOCH)
    );
    assert_eq!(claims[0].names, Vec::<String>::new());
}
