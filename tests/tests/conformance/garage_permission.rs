//! The kind `garage_permission`, of a key that has the name of the thing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::Verdict::Changed;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::garage::{self, Site, fields, wrong};

nixops4_resources_tests::conformance!(Permission);

struct Permission {
    site: Site,
    /// The keys, by their name.
    keys: RefCell<BTreeMap<String, String>>,
}

impl Permission {
    fn key(&self, name: &str) -> String {
        self.keys.borrow()[name].clone()
    }

    fn permit(&self, name: &str, permissions: &str) {
        let (admin, key) = (self.site.admin(), self.key(name));
        admin.permit(self.site.bucket(), &key, permissions);
    }
}

impl Fixture for Permission {
    const TYPE: &'static str = "garage_permission";
    const PROVIDER: &'static str = "nixops4-resources-garage";
    const RETAINS: bool = false;
    const RENAMES: bool = false;
    const OWNED: bool = false;
    const LOCATED_BY: &'static [&'static str] = &["owner", "bucketId", "connection", "accessKeyId"];

    fn is_there() -> bool {
        garage::is_there()
    }

    fn new() -> Self {
        Self {
            site: Site::new(),
            keys: RefCell::default(),
        }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.site.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    fn inputs(&self, name: &str) -> Object {
        let key = self.site.admin().make_key(name).id;
        self.keys.borrow_mut().insert(name.to_owned(), key.clone());
        object(json!({
            "connection": self.site.connection(),
            "bucketId": self.site.bucket(),
            "accessKeyId": key,
            "read": true,
        }))
    }

    fn fields(&self) -> Vec<Field> {
        fields([
            ("/write", json!(true), Changed),
            ("/bucketOwner", json!(true), Changed),
        ])
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        let drift = |pointer, make| Drift { pointer, make };
        vec![
            drift("/write", |at: &Self, name| at.permit(name, "rw")),
            drift("/bucketOwner", |at, name| at.permit(name, "ro")),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        let mut all = garage::bad_connections();
        all.extend([
            wrong("/bucketId", Value::Null, &["missing field"]),
            wrong("/bucketId", json!("stage"), &["no id of a bucket"]),
            wrong(
                "/bucketId",
                json!("0".repeat(64)),
                &["no bucket 0000", "hint: "],
            ),
            wrong("/accessKeyId", Value::Null, &["missing field"]),
            wrong("/accessKeyId", json!("GK"), &["no id of an access key"]),
            wrong(
                "/accessKeyId",
                json!("GK0123456789abcdef01234567"),
                &["no key GK0123456789abcdef01234567", "hint: "],
            ),
            Bad {
                patch: vec![
                    ("/read", json!(false)),
                    ("/write", json!(false)),
                    ("/bucketOwner", json!(false)),
                ],
                pointer: "/read",
                words: vec!["permits nothing"],
            },
            wrong("/write", json!("yes"), &["expected true or false"]),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        let key = self.keys.borrow().get(name)?.clone();
        let permissions = self.site.admin().permissions(self.site.bucket(), &key);
        (!permissions.is_empty()).then(|| json!(permissions))
    }

    fn version(&self, _: &str) -> String {
        self.site.changes()
    }

    fn everything(&self) -> BTreeSet<String> {
        let names: Vec<_> = self.keys.borrow().keys().cloned().collect();
        let held = |name: &String| self.look(name).is_some();
        names.into_iter().filter(held).collect()
    }

    fn vanish(&self, name: &str) {
        self.permit(name, "");
    }

    fn is_in_service(&self, name: &str) -> bool {
        self.look(name).is_some()
    }

    fn put_data(&self, name: &str) {
        unreachable!("{name} holds no data");
    }

    fn has_data(&self, name: &str) -> bool {
        unreachable!("{name} holds no data");
    }

    fn make_unmarked(&self, _: &str) -> bool {
        false
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/connection/token"]
    }

    fn secrets(&self) -> Vec<Canary> {
        vec![self.site.secret()]
    }

    fn planted(&self) -> Vec<PathBuf> {
        vec![self.site.planted()]
    }

    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        self.site.writings()
    }
}
