//! Differences, as tables, and against a model of what Garage does with each step.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use nixops4_provider_sdk::{Mark, Owner, Ownership, ResourceKind as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::{AccessKeyId, BucketChange, BucketId, KeyOnBucket, Permissions};
use crate::name::BucketName;

const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const STAND_IN: &str = "GKstandin";

fn ours() -> Mark {
    let owner = Owner::try_from("shop".to_owned()).unwrap();
    Mark::new(owner, Bucket::TYPE)
}

fn key_id(id: &str) -> AccessKeyId {
    AccessKeyId::try_from(id.to_owned()).unwrap()
}

fn inputs(more: &Value) -> Inputs {
    let mut all = json!({
        "connection": {"endpoint": "http://127.0.0.1:3903", "token": {"env": "TOKEN"}},
        "name": "media",
    });
    let more = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    let inputs: Inputs = serde_json::from_value(all).unwrap();
    inputs.validate().unwrap();
    inputs
}

/// A cluster with one bucket in it.
#[derive(Debug, Clone)]
struct Model {
    global: BTreeSet<String>,
    /// The local aliases and the permissions of each key.
    keys: BTreeMap<AccessKeyId, (BTreeSet<String>, Permissions)>,
    quotas: api::Quotas,
    website: Option<api::WebsiteConfig>,
    cors: Vec<api::CorsRule>,
    lifecycle: Vec<api::LifecycleRule>,
}

impl Model {
    /// What the request that creates it makes.
    fn created(name: &BucketName) -> Self {
        let aliases = BTreeSet::from([name.to_string()]);
        Self {
            global: BTreeSet::new(),
            keys: BTreeMap::from([(key_id(STAND_IN), (aliases, Permissions::NONE))]),
            quotas: api::Quotas::default(),
            website: None,
            cors: Vec::new(),
            lifecycle: Vec::new(),
        }
    }

    /// As the API answers it.
    fn observed(&self) -> Observed<Facts> {
        let keys = self
            .keys
            .iter()
            .map(|(id, (aliases, permissions))| KeyOnBucket {
                access_key_id: id.clone(),
                name: match id.as_str() {
                    STAND_IN => "nixops4-resources: owner=shop type=garage_bucket".to_owned(),
                    _ => "app".to_owned(),
                },
                permissions: *permissions,
                bucket_local_aliases: aliases.iter().cloned().collect(),
            });
        let bucket = api::Bucket {
            id: BucketId::try_from(ID.to_owned()).unwrap(),
            created: time::OffsetDateTime::UNIX_EPOCH,
            global_aliases: self.global.iter().cloned().collect(),
            website_access: self.website.is_some(),
            website_config: self.website.clone(),
            cors_rules: (!self.cors.is_empty()).then(|| self.cors.clone()),
            lifecycle_rules: (!self.lifecycle.is_empty()).then(|| self.lifecycle.clone()),
            keys: keys.collect(),
            objects: 3,
            bytes: 4096,
            unfinished_uploads: 0,
            quotas: self.quotas,
        };
        let place = facts::Place {
            region: "garage".to_owned(),
            s3_endpoint: None,
            system_identifier: "0".repeat(64),
        };
        facts::judged(&ours(), place, bucket)
    }

    fn key(&mut self, id: &AccessKeyId) -> &mut (BTreeSet<String>, Permissions) {
        self.keys.entry(id.clone()).or_default()
    }

    /// Does what Garage does with a step.
    fn apply(&mut self, want: &Inputs, change: Change) {
        match change {
            Change::Create => panic!("it is there"),
            Change::Aliases { add, remove, .. } => {
                self.global.extend(add.iter().map(ToString::to_string));
                self.global.retain(|name| !remove.contains(name));
            }
            Change::Name { key, remove, .. } => {
                let (aliases, _) = self.key(&key);
                aliases.insert(want.name.to_string());
                aliases.retain(|alias| !remove.contains(alias));
            }
            Change::LocalAliases { add, remove, .. } => {
                for one in add {
                    self.key(&one.access_key_id).0.insert(one.alias.to_string());
                }
                for (key, alias) in remove {
                    assert!(self.key(&key).0.remove(&alias));
                }
            }
            Change::Permissions {
                key, before, after, ..
            } => {
                let (taken, given) = (before.without(after), after.without(before));
                let has = &mut self.key(&key).1;
                *has = has.without(taken);
                has.read |= given.read;
                has.write |= given.write;
                has.owner |= given.owner;
            }
            Change::Quotas { quotas, .. } => self.quotas = quotas,
            Change::Update { change, .. } => self.update(*change),
            Change::Together { .. } => panic!("only what is created changes so"),
        }
        self.keys
            .retain(|_, (aliases, permissions)| !aliases.is_empty() || !permissions.is_none());
        let named = !self.global.is_empty() || self.keys.values().any(|(own, _)| !own.is_empty());
        assert!(named, "Garage keeps no bucket without a name");
    }

    fn update(&mut self, change: BucketChange) {
        if let Some(website) = change.website_access {
            self.website = website.enabled.then(|| api::WebsiteConfig {
                index_document: website.index_document.unwrap(),
                error_document: website.error_document,
            });
        }
        if let Some(rules) = change.cors_rules {
            self.cors = rules;
        }
        if let Some(rules) = change.lifecycle_rules {
            self.lifecycle = rules;
        }
        if let Some(quotas) = change.quotas {
            self.quotas = quotas;
        }
    }

    /// Makes it what is wanted; gives where the steps were.
    fn converge(&mut self, want: &Inputs) -> Vec<String> {
        let facts = self.observed().facts;
        let steps = Bucket::diff(want, Some(&facts));
        let paths = steps.iter().map(|step| step.path.clone()).collect();
        for step in steps {
            self.apply(want, step.change);
        }
        paths
    }
}

/// What is to be done about a bucket that is as the first inputs say, by the second.
fn steps(before: &Value, after: &Value, expected: &Expect) {
    let (before, after) = (inputs(before), inputs(after));
    let mut model = Model::created(&before.name);
    model.converge(&before);
    let facts = model.observed().facts;
    let steps = Bucket::diff(&after, Some(&facts));
    let line = |step: &Step<Change>| {
        format!(
            "{} {:?}: {:?} -> {:?}\n",
            step.path, step.effect, step.before, step.after
        )
    };
    let shown: Vec<_> = steps.iter().map(line).collect();
    expected.assert_eq(&shown.concat());
}

#[test]
fn nothing_to_do() {
    let all = json!({
        "globalAliases": ["media", "files"],
        "localAliases": [{"accessKeyId": "GKapplication", "alias": "mine"}],
        "keys": [{"accessKeyId": "GKapplication", "read": true, "write": true}],
        "quotas": {"maxSize": "50GiB", "maxObjects": 7},
        "website": {},
        "corsRules": [{"allowedOrigins": ["*"], "allowedMethods": ["GET"]}],
        "lifecycleRules": [{"expireAfterDays": 1, "prefix": ""}],
    });
    steps(&json!({}), &json!({}), &expect![""]);
    steps(&all, &all, &expect![""]);
    // The same, said in another way.
    let again = json!({
        "globalAliases": ["files", "media"],
        "localAliases": [{"accessKeyId": "GKapplication", "alias": "mine"}],
        "keys": [
            {"accessKeyId": "GKapplication", "write": true, "read": true},
            {"accessKeyId": "GKother000"},
        ],
        "quotas": {"maxSize": 53_687_091_200_u64, "maxObjects": 7},
        "website": {"indexDocument": "index.html"},
        "corsRules": [{"allowedOrigins": ["*"], "allowedMethods": ["GET"], "exposeHeaders": []}],
        "lifecycleRules": [{"enable": true, "prefix": "", "expireAfterDays": 1}],
    });
    steps(&all, &again, &expect![""]);
}

#[test]
fn names() {
    // A rename takes the old name with it; others are left alone.
    steps(
        &json!({}),
        &json!({"name": "files"}),
        &expect![[r#"
        /name Disruptive: Known(Array [String("media")]) -> Known(Array [String("files")])
        /name InPlace: Known(String("media")) -> Known(String("files"))
    "#]],
    );
    let two = json!({"globalAliases": ["media", "extra"]});
    steps(&two, &json!({}), &expect![[""]]);
    steps(
        &two,
        &json!({"globalAliases": ["extra"]}),
        &expect![[r#"
        /globalAliases Disruptive: Known(Array [String("extra"), String("media")]) -> Known(Array [String("extra")])
    "#]],
    );
    steps(
        &two,
        &json!({"globalAliases": []}),
        &expect![[r#"
        /globalAliases Disruptive: Known(Array [String("extra"), String("media")]) -> Known(Array [])
    "#]],
    );
    steps(
        &json!({"globalAliases": []}),
        &json!({}),
        &expect![[r#"
        /name InPlace: Known(Array []) -> Known(Array [String("media")])
    "#]],
    );
    let local =
        |alias: &str| json!({"localAliases": [{"accessKeyId": "GKapplication", "alias": alias}]});
    steps(
        &local("mine"),
        &local("yours"),
        &expect![[r#"
        /localAliases InPlace: Known(Array [String("GKapplication mine")]) -> Known(Array [String("GKapplication yours")])
    "#]],
    );
    steps(&local("mine"), &json!({}), &expect![[""]]);
    steps(
        &local("mine"),
        &json!({"localAliases": []}),
        &expect![[r#"
        /localAliases InPlace: Known(Array [String("GKapplication mine")]) -> Known(Array [])
    "#]],
    );
}

#[test]
fn permissions_of_keys() {
    let reads = json!({"keys": [{"accessKeyId": "GKapplication", "read": true}]});
    let writes = json!({"keys": [{"accessKeyId": "GKapplication", "write": true}]});
    steps(
        &reads,
        &writes,
        &expect![[r#"
        /keys/0 InPlace: Known(Object {"accessKeyId": String("GKapplication"), "read": Bool(true), "write": Bool(false), "owner": Bool(false)}) -> Known(Object {"accessKeyId": String("GKapplication"), "read": Bool(false), "write": Bool(true), "owner": Bool(false)})
    "#]],
    );
    steps(
        &reads,
        &json!({"keys": []}),
        &expect![[r#"
        /keys InPlace: Known(Object {"accessKeyId": String("GKapplication"), "read": Bool(true), "write": Bool(false), "owner": Bool(false)}) -> Known(Object {"accessKeyId": String("GKapplication"), "read": Bool(false), "write": Bool(false), "owner": Bool(false)})
    "#]],
    );
    // Left to resources of the kind `permission`.
    steps(&reads, &json!({}), &expect![[""]]);
}

#[test]
fn settings() {
    let all = json!({
        "quotas": {"maxSize": "1GiB"},
        "website": {"errorDocument": "404.html"},
        "corsRules": [{"allowedOrigins": ["*"], "allowedMethods": ["GET"]}],
        "lifecycleRules": [{"expireAfterDays": 1}],
    });
    steps(
        &json!({}),
        &all,
        &expect![[r#"
        /quotas InPlace: Known(Object {"maxSize": Null, "maxObjects": Null}) -> Known(Object {"maxSize": String("1GiB"), "maxObjects": Null})
        /website InPlace: Known(Null) -> Known(Object {"indexDocument": String("index.html"), "errorDocument": String("404.html")})
        /corsRules InPlace: Known(Array []) -> Known(Array [Object {"AllowedOrigin": Array [String("*")], "AllowedMethod": Array [String("GET")], "AllowedHeader": Array [], "ExposeHeader": Array []}])
        /lifecycleRules InPlace: Known(Array []) -> Known(Array [Object {"Status": String("Enabled"), "Expiration": Object {"Days": Number(1)}}])
    "#]],
    );
    steps(
        &all,
        &json!({}),
        &expect![[r#"
        /quotas InPlace: Known(Object {"maxSize": String("1GiB"), "maxObjects": Null}) -> Known(Object {"maxSize": Null, "maxObjects": Null})
        /website InPlace: Known(Object {"indexDocument": String("index.html"), "errorDocument": String("404.html")}) -> Known(Null)
        /corsRules InPlace: Known(Array [Object {"AllowedOrigin": Array [String("*")], "AllowedMethod": Array [String("GET")], "AllowedHeader": Array [], "ExposeHeader": Array []}]) -> Known(Array [])
        /lifecycleRules InPlace: Known(Array [Object {"Status": String("Enabled"), "Expiration": Object {"Days": Number(1)}}]) -> Known(Array [])
    "#]],
    );
}

#[test]
fn what_is_recorded_reads_leniently() {
    let prior: <Bucket as ResourceKind>::Prior = serde_json::from_value(json!({
        "inputs": {
            "connection": {"endpoint": "http://127.0.0.1:3903", "token": {"env": "TOKEN"}},
            "name": "media", "somethingOlder": 1,
        },
        "outputs": {"somethingOlder": 2},
    }))
    .unwrap();
    assert!(!prior.inputs.empty_on_delete);
    assert_eq!(prior.outputs.id, None);
}

#[test]
fn what_services_are_told() {
    let told = |more: &Value| {
        let want = inputs(more);
        let mut model = Model::created(&want.name);
        model.converge(&want);
        let outputs = Bucket::outputs(&want, &model.observed().facts);
        (outputs.bucket, outputs.website_host)
    };
    let some = |text: &str| Some(text.to_owned());
    let at = |domain: Value| json!({"endpoint": "http://127.0.0.1:3903", "token": {"env": "T"}, "webRootDomain": domain});
    for (more, bucket, host) in [
        (json!({}), some("media"), None),
        (json!({"website": {}}), some("media"), None),
        (
            json!({"website": {}, "connection": at(json!(".web.example.org"))}),
            some("media"),
            some("media.web.example.org"),
        ),
        (
            json!({"website": {}, "globalAliases": ["www.example.org"]}),
            some("www.example.org"),
            some("www.example.org"),
        ),
        (json!({"globalAliases": ["zoo", "ape"]}), some("ape"), None),
        (json!({"globalAliases": []}), None, None),
    ] {
        assert_eq!(told(&more), (bucket, host), "{more}");
    }
}

/// A list of some, in order and without any twice.
fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(all, 0..=all.len())
}

fn any_inputs() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 3] = ["media", "files", "www.example.org"];
    const KEYS: [&str; 3] = ["GKfirst000", "GKsecond00", "GKthird000"];
    let name = proptest::sample::select(&NAMES[..]);
    let global = proptest::option::of(some_of(&["media", "files", "extra"]));
    let local = proptest::option::of(proptest::collection::btree_set(
        (
            proptest::sample::select(&KEYS[..]),
            proptest::sample::select(&NAMES[..]),
        ),
        0..3,
    ));
    let permissions = (some_of(&KEYS), any::<[[bool; 3]; 3]>());
    let keys = proptest::option::of(permissions);
    let quotas = (
        proptest::option::of(4096..1_u64 << 50),
        proptest::option::of(3..9_u64),
    );
    let website = proptest::option::of(proptest::option::of("[a-z]{1,8}[.]html"));
    let cors = proptest::collection::vec((some_of(&["GET", "PUT"]), any::<Option<u32>>()), 0..3);
    let lifecycle = proptest::collection::vec(
        (
            1..100_u64,
            proptest::option::of("[a-z/]{0,3}"),
            any::<Option<u32>>(),
            any::<bool>(),
        ),
        0..3,
    );
    let all = (name, global, local, keys, quotas, website, cors, lifecycle);
    all.prop_map(
        |(name, global, local, keys, quotas, website, cors, lifecycle)| {
            let local = local.map(|all| {
                let one = |(key, alias)| json!({"accessKeyId": key, "alias": alias});
                all.into_iter().map(one).collect::<Vec<_>>()
            });
            let keys = keys.map(|(keys, flags)| {
            let one = |(key, [read, write, owner]): (&str, [bool; 3])| {
                json!({"accessKeyId": key, "read": read, "write": write, "owner": owner})
            };
            keys.into_iter().zip(flags).map(one).collect::<Vec<_>>()
        });
            let cors = cors.into_iter().map(|(methods, age)| {
                let methods = if methods.is_empty() {
                    vec!["HEAD"]
                } else {
                    methods
                };
                json!({"allowedOrigins": ["*"], "allowedMethods": methods, "maxAgeSeconds": age})
            });
            let lifecycle = lifecycle.into_iter().map(|(days, prefix, larger, enable)| {
            json!({
                "expireAfterDays": days, "prefix": prefix, "largerThan": larger, "enable": enable,
            })
        });
            json!({
                "name": name, "globalAliases": global, "localAliases": local, "keys": keys,
                "quotas": {"maxSize": quotas.0, "maxObjects": quotas.1},
                "website": website.map(|document| json!({"errorDocument": document})),
                "corsRules": cors.collect::<Vec<_>>(),
                "lifecycleRules": lifecycle.collect::<Vec<_>>(),
            })
        },
    )
}

proptest! {
    #[test]
    fn doing_a_difference_leaves_none(before in any_inputs(), after in any_inputs()) {
        let (before, after) = (inputs(&before), inputs(&after));
        let mut model = Model::created(&before.name);
        model.converge(&before);
        prop_assert_eq!(model.converge(&before), Vec::<String>::new(), "{:?}", model);
        model.converge(&after);
        prop_assert_eq!(model.converge(&after), Vec::<String>::new(), "{:?}", model);
        let whose = model.observed().ownership;
        let is_ours = matches!(&whose, Ownership::Marked(mark) if mark.is_of_same(&ours()));
        prop_assert!(is_ours, "{:?}", whose);
    }
}
