//! What keys and admin tokens have in common for the suite: values in a store, and
//! things on a cluster that go with them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Loss, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_secrets_store::{Entry, ExposeSecret as _, Identities, Store, StoreUrl, Version};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::garage::{self, Site, plain, text, wrong};
use crate::support::secrets;

/// What is particular to one kind.
pub(crate) trait Kind: Sized + 'static {
    const TYPE: &'static str;
    /// Whether what somebody made by hand can be taken over.
    const ADOPTS: bool;
    /// Whether it stays unless it is said to go.
    const RETAINS: bool = false;

    /// Inputs beside the connection and the name.
    fn inputs() -> Value;
    /// Fields beside those of both.
    fn fields() -> Vec<(&'static str, Value, Verdict)>;
    fn drifts() -> Vec<Drift<Credentials<Self>>>;
    fn bad(at: &Credentials<Self>) -> Vec<Bad>;

    fn bad_names() -> Vec<Bad> {
        vec![
            wrong("/name", Value::Null, &["missing field"]),
            wrong("/name", json!(""), &["1 to 100"]),
            wrong("/name", json!("x".repeat(101)), &["1 to 100"]),
            wrong("/name", json!("a\nb"), &["one line"]),
            wrong(
                "/name",
                json!("a [nixops4-resources: owner=b]"),
                &["our own mark"],
            ),
            garage::wrong_at(
                "/name",
                json!("two words"),
                "/secretName",
                &["set secretName"],
            ),
        ]
    }

    /// All that the cluster has, with id and name.
    fn all(site: &Site) -> Vec<(String, String)>;
    /// One of them, as somebody sees it.
    fn one(site: &Site, id: &str) -> Value;
    fn rename(site: &Site, id: &str, name: &str);
    fn delete(site: &Site, id: &str);
    /// Makes one by hand.
    fn make(site: &Site, name: &str);
    fn put_data(site: &Site, id: &str);
    /// Whether the value of a thing is good, and the data there.
    fn has_data(site: &Site, id: &str, value: Option<&str>) -> bool;
    /// What there is to see of what goes with a name.
    fn beside(_: &Site, _name: &str) -> Value {
        Value::Null
    }
    /// Removes it.
    fn vanish_beside(_: &Site, _name: &str) {}
    /// The values that the cluster itself would tell.
    fn told(site: &Site) -> Vec<String>;
}

/// A cluster, and a store.
pub(crate) struct Credentials<K> {
    pub(crate) site: Site,
    runtime: Runtime,
    store: PathBuf,
    identity: PathBuf,
    private_key: Canary,
    /// Every value that there ever was.
    values: RefCell<BTreeSet<String>>,
    _kind: std::marker::PhantomData<K>,
}

impl<K: Kind> Credentials<K> {
    async fn open(&self) -> Store {
        let url: StoreUrl = format!("sqlite:{}", self.store.display())
            .parse()
            .expect("a URL");
        let identities = Identities::from_file(&self.identity).expect("an identity");
        Store::open_or_create(&url, &identities)
            .await
            .expect("a store")
    }

    fn entries(&self) -> Vec<Entry> {
        self.runtime
            .block_on(async { self.open().await.list().await.expect("a list") })
    }

    /// The secret of a thing: a thing that was renamed has it where it was first.
    fn entry(&self, name: &str) -> Option<Entry> {
        let mut entries = self.entries().into_iter();
        entries.find(|entry| self.name_of(entry) == name)
    }

    /// What the thing is called to which a secret belongs, or was to be called.
    fn name_of(&self, entry: &Entry) -> String {
        let ids: Vec<_> = entry.generations.iter().rev().map(public).collect();
        let all = K::all(&self.site);
        let named = ids.iter().find_map(|id| {
            let (_, title) = all.iter().find(|(other, _)| other == id)?;
            Some(plain(title).to_owned())
        });
        let first = entry.name.as_str().split_once('/');
        named.unwrap_or_else(|| first.expect("a secret of this kind").1.to_owned())
    }

    /// The value in use.
    fn value(&self, name: &str) -> Option<String> {
        let entry = self.entry(name)?;
        let newest = entry.newest().expect("a value").generation;
        let value = self.runtime.block_on(async {
            let mut store = self.open().await;
            store.reveal(&entry.name, newest, None).await
        });
        Some(value.expect("a value").expose_secret().to_owned())
    }

    /// The ids of those of a name, the newest first: of the highest generation.
    pub(crate) fn ids(&self, name: &str) -> Vec<String> {
        let mut all = K::all(&self.site);
        all.retain(|(_, title)| plain(title) == name);
        all.sort_by_key(|(_, title)| std::cmp::Reverse(generation(title)));
        all.into_iter().map(|(id, _)| id).collect()
    }

    pub(crate) fn newest(&self, name: &str) -> String {
        self.ids(name).swap_remove(0)
    }

    fn title(&self, id: &str) -> String {
        text(&K::one(&self.site, id)["name"])
    }

    fn remember(&self) {
        let mut values = self.values.borrow_mut();
        values.extend(K::told(&self.site));
        for entry in self.entries() {
            for version in &entry.generations {
                let value = self.runtime.block_on(async {
                    let mut store = self.open().await;
                    store.reveal(&entry.name, version.generation, None).await
                });
                values.extend(value.map(|value| value.expose_secret().to_owned()));
            }
        }
    }
}

/// The id that stands beside a value.
fn public(version: &Version) -> String {
    let public = version.public_part.as_ref().expect("an id");
    let public: Value = serde_json::from_str(public).expect("JSON");
    text(&public["id"])
}

fn generation(title: &str) -> u32 {
    let mut words = title.split([' ', ']']);
    let number = words.find_map(|word| word.strip_prefix("generation="));
    number.map_or(0, |number| number.parse().expect("a number"))
}

impl<K: Kind> Fixture for Credentials<K> {
    const TYPE: &'static str = K::TYPE;
    const PROVIDER: &'static str = "nixops4-resources-garage";
    const RETAINS: bool = K::RETAINS;
    const KEEPS_HISTORY: bool = true;
    const RENAMES: bool = true;
    const KILLED_ELSEWHERE: &'static [&'static str] = &["store:", "bucket:stand-in"];

    fn is_there() -> bool {
        garage::is_there()
    }

    fn new() -> Self {
        let site = Site::new();
        let (identity, text) = secrets::identity(&site.sandbox);
        let key = text
            .lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY-"));
        let made = Self {
            private_key: Canary::with(key.expect("a private key")),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            store: site.sandbox.work().join("secrets.db"),
            identity,
            values: RefCell::default(),
            site,
            _kind: std::marker::PhantomData,
        };
        assert_eq!(made.entries(), []);
        made
    }

    fn sandbox(&self) -> &Sandbox {
        &self.site.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let all = secrets::environment(&self.store, &self.identity);
        all.map(|(name, value)| (name, value.into())).into()
    }

    fn inputs(&self, name: &str) -> Object {
        let mut inputs = object(K::inputs());
        inputs.insert("connection".to_owned(), self.site.connection());
        inputs.insert("name".to_owned(), json!(name));
        inputs
    }

    fn fields(&self) -> Vec<Field> {
        let mut all = vec![
            ("/generation", json!(2), Verdict::Changed),
            ("/keepGenerations", json!(7), Verdict::Ignored),
            (
                "/expiration",
                json!("2100-01-31T12:00:00+01:00"),
                Verdict::Changed,
            ),
            ("/secretName", json!("elsewhere"), Verdict::Refused),
        ];
        all.extend(K::fields());
        let field = |(pointer, value, verdict)| Field {
            pointer,
            value,
            verdict,
        };
        all.into_iter().map(field).collect()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        K::drifts()
    }

    fn bad(&self) -> Vec<Bad> {
        let mut all = garage::bad_connections();
        all.extend(K::bad_names());
        all.extend([
            wrong(
                "/store",
                json!("elsewhere"),
                &["no secrets store is called"],
            ),
            wrong(
                "/secretName",
                json!("two words"),
                &["not the name of a secret"],
            ),
            wrong("/generation", json!(0), &["from 1 up"]),
            wrong("/keepGenerations", json!(-1), &["-1"]),
            wrong(
                "/expiration",
                json!("tomorrow"),
                &["tomorrow", "2027-01-31T12:00:00Z"],
            ),
        ]);
        all.extend(K::bad(self));
        all
    }

    fn loss(&self) -> Loss {
        Loss::Refused("/secretName")
    }

    fn look(&self, name: &str) -> Option<Value> {
        let ids = self.ids(name);
        let entry = self.entry(name);
        if ids.is_empty() && entry.is_none() {
            return None;
        }
        let things: Vec<_> = ids
            .iter()
            .map(|id| {
                let mut thing = K::one(&self.site, id);
                let title = text(&thing["name"]);
                let words = title.split(' ').map(|word| {
                    if word.starts_with("since=") || word.starts_with("retained-since=") {
                        word.split_once('=').map_or(word, |(name, _)| name)
                    } else {
                        word
                    }
                });
                let is_retained = title.contains(" retained-since=");
                thing["name"] = json!(words.collect::<Vec<_>>().join(" "));
                if is_retained {
                    thing["expiration"] = json!("then");
                }
                thing
            })
            .collect();
        let kept = entry.map(|entry| {
            let newest = public(entry.newest().expect("a value"));
            json!({
                "owner": entry.owner,
                "kind": entry.kind,
                "retained": entry.retained.is_some(),
                "values": entry.generations.len(),
                "is it": ids.first() == Some(&newest),
            })
        });
        let beside = K::beside(&self.site, name);
        Some(json!({ "things": things, "kept": kept, "beside": beside }))
    }

    fn version(&self, name: &str) -> String {
        format!("{} {:?}", self.site.changes(), self.entry(name))
    }

    fn everything(&self) -> BTreeSet<String> {
        let mut all = self.site.everything();
        all.extend(self.entries().iter().map(|entry| self.name_of(entry)));
        all
    }

    fn is_in_service(&self, name: &str) -> bool {
        let newest = K::one(&self.site, &self.newest(name));
        let entry = self.entry(name).expect("a secret");
        newest["expired"] == false && entry.retained.is_none()
    }

    fn put_data(&self, name: &str) {
        K::put_data(&self.site, &self.newest(name));
    }

    fn has_data(&self, name: &str) -> bool {
        let value = self.value(name);
        K::has_data(&self.site, &self.newest(name), value.as_deref())
    }

    fn vanish(&self, name: &str) {
        self.remember();
        let entry = self.entry(name);
        K::vanish_beside(&self.site, name);
        for id in self.ids(name) {
            K::delete(&self.site, &id);
        }
        if let Some(entry) = entry {
            self.runtime.block_on(async {
                let deleted = self.open().await.delete(&entry.name).await;
                assert!(deleted.expect("it is deleted"));
            });
        }
    }

    fn make_unmarked(&self, name: &str) -> bool {
        if K::ADOPTS {
            K::make(&self.site, name);
        }
        K::ADOPTS
    }

    fn unmark(&self, name: &str) {
        for id in self.ids(name) {
            K::rename(&self.site, &id, plain(&self.title(&id)));
        }
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/connection/token"]
    }

    fn secrets(&self) -> Vec<Canary> {
        self.remember();
        let values = self.values.borrow();
        let values = values.iter().map(Canary::with);
        let own = [self.site.secret(), Canary::with(self.private_key.value())];
        values.chain(own).collect()
    }

    fn planted(&self) -> Vec<PathBuf> {
        vec![self.site.planted(), self.identity.clone()]
    }

    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = self.site.writings();
        let store = fs::read(&self.store).expect("the store");
        all.push(("the store".to_owned(), store));
        all
    }
}
