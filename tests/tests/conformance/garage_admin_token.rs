//! The kind `garage_admin_token`.

use nixops4_resources_tests::conformance::{Bad, Drift, Verdict};
use nixops4_resources_tests::garage::admin::Admin;
use serde_json::{Value, json};

use crate::garage::{Site, text, wrong, wrong_at};
use crate::garage_credential::{Credentials, Kind};

nixops4_resources_tests::conformance!(Credentials<Tokens>);

pub(crate) struct Tokens;

impl Kind for Tokens {
    const TYPE: &'static str = "garage_admin_token";
    const ADOPTS: bool = false;

    fn inputs() -> Value {
        json!({"scope": ["GetBucketInfo", "ListBuckets"]})
    }

    fn fields() -> Vec<(&'static str, Value, Verdict)> {
        vec![
            (
                "/scope",
                json!(["ListBuckets", "GetBucketInfo"]),
                Verdict::Ignored,
            ),
            ("/scope", json!(["*"]), Verdict::Changed),
        ]
    }

    fn drifts() -> Vec<Drift<Credentials<Self>>> {
        vec![
            Drift {
                pointer: "/scope",
                make: |at, name| {
                    let change = json!({"scope": ["GetBucketInfo", "DeleteBucket"]});
                    let id = at.newest(name);
                    at.site
                        .admin()
                        .post("UpdateAdminToken", &[("id", &id)], &change);
                },
            },
            Drift {
                pointer: "/expiration",
                make: |at, name| {
                    let change = json!({"expiration": "2001-01-01T00:00:00Z"});
                    let id = at.newest(name);
                    at.site
                        .admin()
                        .post("UpdateAdminToken", &[("id", &id)], &change);
                },
            },
        ]
    }

    fn bad(_: &Credentials<Self>) -> Vec<Bad> {
        vec![
            wrong("/scope", Value::Null, &["missing field"]),
            wrong("/scope", json!([]), &["can do nothing", "hint: "]),
            wrong("/scope", json!(["*", "GetKeyInfo"]), &["all the others"]),
            wrong_at(
                "/scope",
                json!(["GetKeyInfo", "GetBuketInfo"]),
                "/scope/1",
                &["GetBuketInfo", "did you mean \"GetBucketInfo\"?"],
            ),
        ]
    }

    fn all(site: &Site) -> Vec<(String, String)> {
        let tokens = site.admin().tokens();
        tokens
            .iter()
            .map(|token| (text(&token["id"]), text(&token["name"])))
            .collect()
    }

    fn one(site: &Site, id: &str) -> Value {
        let mut token = site.admin().get("GetAdminTokenInfo", &[("id", id)]);
        let fields = token.as_object_mut().expect("a token");
        fields.remove("id");
        fields.remove("created");
        let scope = fields["scope"].as_array_mut().expect("a scope");
        scope.sort_by_key(Value::to_string);
        token
    }

    fn rename(site: &Site, id: &str, name: &str) {
        let change = json!({ "name": name });
        site.admin()
            .post("UpdateAdminToken", &[("id", id)], &change);
    }

    fn delete(site: &Site, id: &str) {
        site.admin()
            .post("DeleteAdminToken", &[("id", id)], &json!({}));
    }

    fn make(_: &Site, _: &str) {
        unreachable!("it could not be taken over");
    }

    fn put_data(_: &Site, _: &str) {}

    /// The value in the store is that of the token.
    fn has_data(site: &Site, id: &str, value: Option<&str>) -> bool {
        let value = value.expect("a value");
        let admin = Admin::new(&site.cluster().node().admin_url(), value);
        let current = admin.try_get("GetCurrentAdminTokenInfo", &[]);
        current.is_ok_and(|current| current["id"] == id)
    }

    fn told(_: &Site) -> Vec<String> {
        Vec::new()
    }
}
