//! What `docs/guides/garage.md` says of buckets whose objects should stay as they
//! are. Garage has neither versions nor locks of objects, so that it comes down to
//! who has which key.

use nixops4_resources_tests::garage::admin::Key;
use nixops4_resources_tests::garage::s3::Client;
use serde_json::json;

use crate::site::Site;

struct Archive {
    site: Site,
    bucket: String,
}

impl Archive {
    fn start() -> Option<Self> {
        let site = Site::start()?;
        let recorded = site.made(&site.bucket("archive", &json!({"quotas": {"maxObjects": 100}})));
        let id = recorded["outputProperties"]["id"].as_str().expect("an id");
        Some(Self {
            bucket: id.to_owned(),
            site,
        })
    }

    /// What a new key with these permissions sees.
    fn client(&self, permissions: &str) -> (Client, Key) {
        let key = self.site.admin().make_key(permissions);
        self.site.admin().permit(&self.bucket, &key.id, permissions);
        (self.site.client("archive", &key), key)
    }
}

/// A key that only writes sees nothing, and still overwrites and deletes.
#[test]
fn writing_alone_is_overwriting_and_deleting() {
    let Some(archive) = Archive::start() else {
        return;
    };
    let (owner, _) = archive.client("rwo");
    let (writer, _) = archive.client("w");
    owner.put("kept", b"of the owner").unwrap();
    owner.put("gone", b"of the owner").unwrap();

    assert_eq!(writer.get("kept").unwrap_err().status, 403);
    assert_eq!(writer.list().unwrap_err().status, 403);
    writer.put("kept", b"overwritten").unwrap();
    writer.delete("gone").unwrap();
    assert_eq!(owner.get("kept").unwrap(), b"overwritten");
    assert_eq!(owner.list().unwrap(), ["kept"]);
}

/// A key that only reads changes nothing; this is what a server that was broken into
/// may have.
#[test]
fn reading_alone_changes_nothing() {
    let Some(archive) = Archive::start() else {
        return;
    };
    let (owner, _) = archive.client("rwo");
    let (reader, _) = archive.client("r");
    owner.put("kept", b"of the owner").unwrap();
    assert_eq!(reader.put("kept", b"x").unwrap_err().status, 403);
    assert_eq!(reader.delete("kept").unwrap_err().status, 403);
    assert_eq!(reader.begin_upload("new").unwrap_err().status, 403);
    assert_eq!(reader.get("kept").unwrap(), b"of the owner");
}

/// There are no versions and no locks to ask for.
#[test]
fn there_are_no_versions_and_no_locks() {
    let Some(archive) = Archive::start() else {
        return;
    };
    let (owner, _) = archive.client("rwo");
    let versioning = owner.configuration("versioning").unwrap();
    assert!(!versioning.contains("Enabled"), "{versioning}");
    let refusal = owner.configuration("object-lock").unwrap_err();
    assert_eq!((refusal.status, &*refusal.code), (501, "NotImplemented"));
}

/// Closing the bucket: what writes loses that, and what is there stays readable.
#[test]
fn taking_away_writing_closes_it() {
    let Some(archive) = Archive::start() else {
        return;
    };
    let (writer, key) = archive.client("rw");
    writer.put("kept", b"42").unwrap();
    archive.site.admin().permit(&archive.bucket, &key.id, "r");
    assert_eq!(writer.put("kept", b"43").unwrap_err().status, 403);
    assert_eq!(writer.delete("kept").unwrap_err().status, 403);
    assert_eq!(writer.get("kept").unwrap(), b"42");
}
