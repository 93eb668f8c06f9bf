use std::time::Duration;

use super::open::prepare;
use super::*;
use crate::entry::NewSecret;
use crate::identity::generated;
use crate::keyring::Belief;
use crate::schema::{Found, SQLITE, Schema, Version as SchemaVersion};
use crate::seal::{self, StoreKey};
use crate::succession::{Link, PublicKey, Signer};

const LATER: &[SchemaVersion] = &[
    SQLITE[0],
    SQLITE[1],
    SQLITE[2],
    (4, "later", "CREATE TABLE later (x TEXT) STRICT"),
];

struct File {
    _dir: tempfile::TempDir,
    url: StoreUrl,
}

impl File {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/secrets.db", dir.path().display());
        let url = url.parse().unwrap();
        database::create(&url).unwrap();
        Self { _dir: dir, url }
    }

    async fn open(&self, schema: &Schema, who: &Identities) -> Result<Keyring, Error> {
        let mut conn = database::connect(&self.url, Duration::from_secs(1)).await?;
        prepare(&mut conn, schema, &self.url, who, true, Belief::default()).await
    }

    async fn found(&self, schema: &Schema) -> Found {
        let mut conn = database::connect(&self.url, Duration::from_secs(1))
            .await
            .unwrap();
        conn.reading().await.unwrap().find(schema).await.unwrap()
    }
}

#[tokio::test]
async fn an_older_store_is_brought_forward_and_a_newer_one_refused() {
    let (file, who) = (File::new(), generated());
    let (now, later) = (Schema::of(SQLITE), Schema::of(LATER));
    assert_eq!(file.found(&now).await, Found::Blank);
    file.open(&now, &who).await.unwrap();
    assert_eq!(file.found(&now).await, Found::Current);
    assert_eq!(file.found(&later).await, Found::Older(3));

    // Somebody who cannot open it does not change it.
    let refused = file.open(&later, &generated()).await.err().unwrap();
    assert!(matches!(refused, Error::WrongIdentity { .. }), "{refused}");
    assert_eq!(file.found(&later).await, Found::Older(3));

    file.open(&later, &who).await.unwrap();
    assert_eq!(file.found(&later).await, Found::Current);
    let refused = file.open(&now, &who).await.err().unwrap().to_string();
    assert!(
        refused.contains("schema version 4, and this program knows 3"),
        "{refused}"
    );
}

/// Down to the store's id, which who writes the database can read.
#[tokio::test]
async fn a_key_that_was_made_up_is_refused() {
    let (file, who) = (File::new(), generated());
    let schema = Schema::of(SQLITE);
    file.open(&schema, &who).await.unwrap().settle().await;
    let genuine = known::all(who.known_stores()).unwrap().remove(0);
    let mut conn = database::connect(&file.url, Duration::from_secs(1))
        .await
        .unwrap();
    let id = rows::store(conn.on()).await.unwrap().id;
    let forge = |change: fn(&str, &[Signer; 2]) -> Vec<Link>| {
        let keys = [StoreKey::random(), StoreKey::random()];
        let recipients = who.recipients();
        let row = rows::StoreRow {
            store_key: seal::seal_key(recipients, &keys[1]).unwrap(),
            recipients_tag: keys[1].tag_recipients(&id, recipients),
            id: id.clone(),
        };
        let links = change(&id, &keys.map(|key| key.signer()));
        (row, links)
    };
    let forgeries = [
        forge(|_, _| Vec::new()),
        forge(|id, [own, last]| vec![own.succeed(id, last)]),
        // Signed by another than the key that is named.
        forge(|id, [own, last]| {
            let genuine = PublicKey(vec![7; 32]);
            let link = own.succeed(id, last);
            vec![Link {
                old: genuine,
                ..link
            }]
        }),
    ];
    for (row, links) in forgeries {
        rows::set_store_key(conn.on(), &row).await.unwrap();
        for link in &links {
            rows::insert_link(conn.on(), link, now()).await.unwrap();
        }
        let refused = file.open(&schema, &who).await.err().unwrap();
        assert!(matches!(refused, Error::AnotherStore { .. }), "{refused}");
        let known = known::all(who.known_stores()).unwrap();
        assert_eq!(known, std::slice::from_ref(&genuine));
    }
    std::fs::remove_file(who.known_stores()).unwrap();
}

#[tokio::test]
async fn a_schema_that_was_altered_is_refused() {
    let (file, who) = (File::new(), generated());
    let other = Schema::of(&[(
        1,
        "store",
        "CREATE TABLE store (x TEXT) STRICT; CREATE TABLE y (z TEXT) STRICT",
    )]);
    let mut conn = database::connect(&file.url, Duration::from_secs(1))
        .await
        .unwrap();
    other.apply(conn.on()).await.unwrap();
    let refused = file.open(&Schema::of(SQLITE), &who).await.err().unwrap();
    assert!(
        refused.to_string().contains("its schema was altered"),
        "{refused}"
    );
}

#[test]
fn calls_can_be_moved_between_threads() {
    fn movable<T: Send>(_: &T) {}
    fn check(
        store: &mut Store,
        name: &SecretName,
        new: &NewSecret,
        url: &StoreUrl,
        who: &Identities,
    ) {
        let make = || SecretString::from("x");
        movable(&store.ensure(name, Generation::FIRST, new, make));
        movable(&store.reveal(name, Generation::FIRST, None));
        movable(&store.retain(name, "x"));
        movable(&store.list());
        movable(&store.remove_recipient(&who.recipients()[0]));
        movable(&Store::open_or_create(url, who));
    }
    let _: fn(&mut Store, &SecretName, &NewSecret, &StoreUrl, &Identities) = check;
}
