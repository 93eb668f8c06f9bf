//! A store is known by its key: what stands in its place is refused, by everybody who
//! has seen it before or was told of it by a reference.

use nixops4_secrets_store::{
    Error, Identities, Notice, OpenOptions, Recognition, SecretString, Store, StoreUrl,
};

use crate::deployment::{Deployment, canary, generation, identity, name, password};

/// A store with one secret, which its maker knows.
async fn filled(it: &Deployment) -> Store {
    let mut store = it.open().await;
    assert_eq!(store.notices(), [], "who makes a store knows it");
    store
        .ensure(&name("a"), generation(1), &password(), canary)
        .await
        .unwrap();
    store
}

async fn open(url: &StoreUrl, identities: &Identities) -> Store {
    Store::open(url, identities).await.unwrap()
}

fn known(identities: &Identities) -> String {
    std::fs::read_to_string(identities.known_stores()).unwrap_or_default()
}

/// Every way in is shut, and nothing else is noted.
async fn refused_everywhere(it: &Deployment, is_it: impl Fn(&Error) -> bool) {
    let before = known(&it.identities);
    for refused in [
        it.refused().await,
        Store::open_or_create(&it.url, &it.identities)
            .await
            .unwrap_err(),
        Store::open(&it.read_only(), &it.identities)
            .await
            .unwrap_err(),
    ] {
        assert!(is_it(&refused), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains("nixops4-resources secret trust"), "{text}");
        assert!(!refused.is_retryable());
    }
    assert_eq!(known(&it.identities), before);
}

fn is_another(error: &Error) -> bool {
    matches!(error, Error::AnotherStore { .. })
}

async fn a_store_that_was_forged_whole_is_refused(it: Deployment) {
    filled(&it).await.close().await.unwrap();
    let genuine = it.copied();
    for changes in [1, 3] {
        it.replace_by(&it.forged(changes).await);
        refused_everywhere(&it, is_another).await;
        let seen = OpenOptions::default()
            .inspect(&it.url, &it.identities)
            .await;
        let seen = seen.unwrap();
        assert_eq!(seen.recognition, Recognition::Another);
        let text = it.refused().await.to_string();
        let last = seen.known.as_ref().unwrap().keys().last().unwrap();
        for part in [seen.key.to_string(), last.to_string()] {
            assert!(text.contains(&part), "{part}: {text}");
        }
    }
    // The other way round it was never touched.
    it.replace_by(&genuine);
    let mut store = it.open().await;
    store.reveal(&name("a"), generation(1), None).await.unwrap();
    assert_eq!(store.notices(), []);
}

/// Also who has it open already notices.
async fn a_head_that_was_forged_is_refused(it: Deployment) {
    filled(&it).await.close().await.unwrap();
    let (genuine, forged) = (it.head().await, it.forged(2).await.head().await);
    for parts in [
        &["key"][..],
        &["key", "recipients"],
        &["key", "recipients", "succession"],
        &["key", "id", "recipients", "succession"],
        &["recipients"],
        &["recipients", "succession"],
    ] {
        let mut store = it.open().await;
        it.set_head(&forged, parts).await;
        let before = known(&it.identities);
        let stranger = it.stranger();
        for refused in [
            it.refused().await,
            Store::open_or_create(&it.url, &it.identities)
                .await
                .unwrap_err(),
            store
                .ensure(&name("b"), generation(1), &password(), canary)
                .await
                .unwrap_err(),
            store
                .add_recipient(&stranger.recipients()[0])
                .await
                .unwrap_err(),
        ] {
            // The old list of recipients, or the old id, doesn't fit the forger's key.
            let is_it = is_another(&refused) || matches!(refused, Error::StoreTampered { .. });
            assert!(is_it, "{parts:?}: {refused:?}");
        }
        if parts.contains(&"id") {
            let refused = it.refused().await;
            assert!(is_another(&refused), "{refused:?}");
        }
        assert_eq!(known(&it.identities), before, "{parts:?}");
        it.set_head(&genuine, &["key", "id", "recipients", "succession"])
            .await;
        store.lookup(&name("a")).await.unwrap();
    }
}

/// Who knows an earlier key follows to the present one, and says nothing.
async fn a_change_of_the_recipients_is_followed(it: Deployment) {
    let mut store = filled(&it).await;
    let elsewhere = it.machine("elsewhere");
    let mut open_elsewhere = open(&it.url, &elsewhere).await;
    assert!(matches!(
        open_elsewhere.notices(),
        [Notice::FirstUse { .. }]
    ));
    let root = store.root();
    let others: Vec<Identities> = (0..3)
        .map(|number| identity(&it.dir.path().join(format!("{number}.key"))))
        .collect();
    for other in &others {
        store.add_recipient(&other.recipients()[0]).await.unwrap();
    }
    store
        .remove_recipient(&others[0].recipients()[0])
        .await
        .unwrap();
    // One that had it open, and one that comes later.
    open_elsewhere.lookup(&name("a")).await.unwrap();
    let again = open(&it.url, &elsewhere).await;
    assert_eq!((again.root(), again.notices()), (root, &[][..]));
    let line = known(&elsewhere).lines().last().unwrap().to_owned();
    assert_eq!(line.matches("SHA256:").count(), 5, "{line}");
    // By a new identity's first use, too, all keys are seen.
    let newcomer = open(&it.url, &others[2]).await;
    assert_eq!(newcomer.root(), root);

    // Without the way there, who knows the present key goes on, and nobody else.
    let old = it.machine("old");
    let text = known(&elsewhere);
    let mut words: Vec<&str> = text.lines().last().unwrap().split(' ').collect();
    words.truncate(4);
    std::fs::write(old.known_stores(), format!("{}\n", words.join(" "))).unwrap();
    open(&it.url, &old).await;
    std::fs::write(old.known_stores(), format!("{}\n", words.join(" "))).unwrap();
    it.sql("DELETE FROM succession").await;
    let refused = Store::open(&it.url, &old).await.unwrap_err();
    assert!(is_another(&refused), "{refused}");
    assert_eq!(open(&it.url, &elsewhere).await.root(), root);
}

async fn an_older_copy_is_refused_until_it_is_accepted(it: Deployment) {
    let mut store = filled(&it).await;
    let stranger = it.stranger();
    store
        .add_recipient(&stranger.recipients()[0])
        .await
        .unwrap();
    store.close().await.unwrap();
    let with_stranger = it.copied();
    let mut store = it.open().await;
    store
        .remove_recipient(&stranger.recipients()[0])
        .await
        .unwrap();
    store.close().await.unwrap();
    it.replace_by(&with_stranger);
    refused_everywhere(&it, |error| matches!(error, Error::OlderStore { .. })).await;
    // Not at another address either.
    let refused = Store::open(&with_stranger.url, &it.identities).await;
    assert!(matches!(refused, Err(Error::OlderStore { .. })));

    let seen = OpenOptions::default()
        .inspect(&it.url, &it.identities)
        .await;
    let seen = seen.unwrap();
    assert_eq!(seen.recognition, Recognition::Older);
    let wrong = OpenOptions::default().accepting(*seen.known.unwrap().keys().last().unwrap());
    let refused = wrong.open(&it.url, &it.identities).await.unwrap_err();
    assert!(matches!(refused, Error::NotAccepted { .. }), "{refused}");
    assert!(it.refused().await.to_string().contains("older copy"));
    let accepting = OpenOptions::default().accepting(seen.key);
    accepting.open(&it.url, &it.identities).await.unwrap();
    let mut store = it.open().await;
    store.reveal(&name("a"), generation(1), None).await.unwrap();
    store
        .remove_recipient(&stranger.recipients()[0])
        .await
        .unwrap();
    assert_eq!(it.open().await.notices(), []);
}

/// Who was a recipient can make another key follow the one that they had. Whoever
/// knows a later one isn't fooled.
async fn who_was_removed_fools_nobody_who_knows_a_later_key(it: Deployment) {
    let mut store = filled(&it).await;
    let mallory = it.stranger();
    store.add_recipient(&mallory.recipients()[0]).await.unwrap();
    store.close().await.unwrap();
    let fork = it.copied();
    let mut store = it.open().await;
    store
        .remove_recipient(&mallory.recipients()[0])
        .await
        .unwrap();
    store.close().await.unwrap();
    let mut forked = open(&fork.url, &mallory).await;
    let make = || SecretString::from("mallory's");
    forked
        .ensure(&name("a"), generation(2), &password(), make)
        .await
        .unwrap();
    let other = identity(&fork.dir.path().join("other.key"));
    forked.add_recipient(&other.recipients()[0]).await.unwrap();
    forked.close().await.unwrap();
    it.replace_by(&fork);
    refused_everywhere(&it, is_another).await;
}

async fn a_reference_tells_a_new_machine_which_store_it_is(it: Deployment) {
    let mut store = filled(&it).await;
    let root = store.root();
    let entry = store.lookup(&name("a")).await.unwrap().unwrap();
    assert_eq!(entry.store_key, root);
    store
        .add_recipient(&it.stranger().recipients()[0])
        .await
        .unwrap();
    store.close().await.unwrap();
    let by_reference = OpenOptions::default().rooted_in(root);

    let told = it.machine("told");
    let store = by_reference.open(&it.url, &told).await.unwrap();
    assert_eq!((store.root(), store.notices()), (root, &[][..]));
    store.close().await.unwrap();
    let store = open(&it.url, &told).await;
    assert_eq!(store.notices(), []);
    store.close().await.unwrap();

    let genuine = it.copied();
    it.replace_by(&it.forged(2).await);
    for machine in ["never-seen-it", "seen-the-forged-one"] {
        let machine = it.machine(machine);
        let is_known = machine.known_stores().ends_with("seen-the-forged-one");
        if is_known {
            open(&it.url, &machine).await;
        }
        let before = known(&machine);
        let refused = by_reference.open(&it.url, &machine).await.unwrap_err();
        assert!(matches!(refused, Error::OtherRoot { .. }), "{refused}");
        assert!(refused.to_string().contains(&root.unwrap().to_string()));
        assert_eq!(known(&machine), before);
    }
    // Nor may its beginning be cut off.
    it.replace_by(&genuine);
    it.sql("DELETE FROM succession").await;
    let refused = by_reference.open(&it.url, &it.machine("new")).await;
    assert!(matches!(refused, Err(Error::OtherRoot { .. })));
}

async fn a_store_that_moved_is_known(it: Deployment) {
    filled(&it).await.close().await.unwrap();
    let moved = it.copied();
    let store = open(&moved.url, &it.identities).await;
    assert_eq!(store.notices(), []);
    assert_eq!(known(&it.identities).matches("SHA256:").count(), 2);
    // For somebody else it is new, once.
    let elsewhere = it.machine("elsewhere");
    let store = open(&moved.url, &elsewhere).await;
    let [Notice::FirstUse { store, key }] = store.notices() else {
        panic!("{:?}", store.notices());
    };
    assert_eq!(store, &moved.url.to_string());
    let text = Notice::FirstUse {
        store: store.clone(),
        key: *key,
    };
    assert!(text.to_string().contains(&key.to_string()), "{text}");
    assert_eq!(open(&moved.url, &elsewhere).await.notices(), []);
    // However it is opened, it is one store.
    assert_eq!(open(&moved.read_only(), &elsewhere).await.notices(), []);
}

async fn where_nothing_can_be_noted_it_is_said_and_the_process_remembers(it: Deployment) {
    filled(&it).await.close().await.unwrap();
    let file = it.dir.path().join("no-folder/known");
    let identities = Identities::with_known_stores(it.identities.source(), &file).unwrap();
    let store = open(&it.url, &identities).await;
    let [
        Notice::FirstUse { .. },
        Notice::NotNoted { file: named, .. },
    ] = store.notices()
    else {
        panic!("{:?}", store.notices());
    };
    assert_eq!(*named, file);
    store.close().await.unwrap();
    it.replace_by(&it.forged(1).await);
    let refused = Store::open(&it.url, &identities).await.unwrap_err();
    assert!(is_another(&refused), "{refused}");
}

async fn many_at_once_meet_it_once(it: Deployment) {
    filled(&it).await.close().await.unwrap();
    let elsewhere = it.machine("elsewhere");
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let (url, elsewhere) = (it.url.clone(), elsewhere.clone());
        tasks.push(tokio::spawn(async move {
            let mut store = open(&url, &elsewhere).await;
            store.reveal(&name("a"), generation(1), None).await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(known(&elsewhere).matches("SHA256:").count(), 1);
}

on_each!(
    a_store_that_was_forged_whole_is_refused,
    a_head_that_was_forged_is_refused,
    a_change_of_the_recipients_is_followed,
    an_older_copy_is_refused_until_it_is_accepted,
    who_was_removed_fools_nobody_who_knows_a_later_key,
    a_reference_tells_a_new_machine_which_store_it_is,
    a_store_that_moved_is_known,
    where_nothing_can_be_noted_it_is_said_and_the_process_remembers,
    many_at_once_meet_it_once,
);

#[tokio::test]
async fn a_store_that_is_gone_is_not_made_anew_unless_it_is_forgotten() {
    let it = Deployment::new();
    filled(&it).await.close().await.unwrap();
    for leave in [&b""[..], b"gone"] {
        if leave.is_empty() {
            std::fs::write(it.path(), leave).unwrap();
        } else {
            std::fs::remove_file(it.path()).unwrap();
        }
        let refused = Store::open_or_create(&it.url, &it.identities).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Error::StoreGone { .. }), "{refused}");
        assert!(refused.to_string().contains("--forget"), "{refused}");
    }
    assert!(!it.path().exists());
    assert!(Store::forget(&it.url, &it.identities).await.unwrap());
    assert_eq!(it.open().await.notices(), []);
}
