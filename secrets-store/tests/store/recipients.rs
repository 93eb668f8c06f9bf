//! Who can open a store comes and goes, all or nothing.

use nixops4_secrets_store::{Error, ExposeSecret, Identities, Recipient, SecretString, Store};

use crate::deployment::{Deployment, generation, identity, name, password};

/// A store with three values.
async fn filled(it: &Deployment) -> Store {
    let mut store = it.open().await;
    for (at, number) in [("a", 1), ("a", 2), ("b", 1)] {
        let make = || SecretString::from(format!("{at} {number}"));
        let what = password();
        store
            .ensure(&name(at), generation(number), &what, make)
            .await
            .unwrap();
    }
    store
}

async fn all_is_there(store: &mut Store) {
    for (at, number) in [("a", 1), ("a", 2), ("b", 1)] {
        let value = store.reveal(&name(at), generation(number), None).await;
        assert_eq!(value.unwrap().expose_secret(), format!("{at} {number}"));
    }
    assert_eq!(store.list().await.unwrap().len(), 2);
}

async fn listed(store: &mut Store) -> Vec<Recipient> {
    let listed = store.recipients().await.unwrap();
    listed.into_iter().map(|listed| listed.recipient).collect()
}

async fn one_is_added_and_removed(it: Deployment) {
    let mut store = filled(&it).await;
    let mut open = Store::open(&it.url, &it.identities).await.unwrap();
    let other = it.stranger();
    let (ours, theirs) = (&it.identities.recipients()[0], &other.recipients()[0]);
    let refused = Store::open(&it.url, &other).await.unwrap_err();
    assert!(matches!(refused, Error::WrongIdentity { .. }), "{refused}");

    assert!(store.add_recipient(theirs).await.unwrap());
    assert!(!store.add_recipient(theirs).await.unwrap());
    assert_eq!(listed(&mut store).await.len(), 2);
    all_is_there(&mut store).await;
    // Who had it open goes on.
    all_is_there(&mut open).await;
    let mut as_other = Store::open(&it.url, &other).await.unwrap();
    all_is_there(&mut as_other).await;
    let flags: Vec<_> = as_other.recipients().await.unwrap();
    for listed in flags {
        assert_eq!(listed.is_ours, listed.recipient == *theirs);
    }
    // What is made from now on is for both.
    let make = || SecretString::from("c");
    open.ensure(&name("c"), generation(1), &password(), make)
        .await
        .unwrap();
    as_other
        .reveal(&name("c"), generation(1), None)
        .await
        .unwrap();
    as_other.delete(&name("c")).await.unwrap();

    let refused = store.remove_recipient(ours).await.unwrap_err();
    assert!(
        matches!(refused, Error::RecipientNeeded { .. }),
        "{refused}"
    );
    as_other.remove_recipient(ours).await.unwrap();
    assert_eq!(listed(&mut as_other).await, std::slice::from_ref(theirs));
    all_is_there(&mut as_other).await;
    let refused = Store::open(&it.url, &it.identities).await.unwrap_err();
    assert!(matches!(refused, Error::WrongIdentity { .. }), "{refused}");
    for refused in [
        store.reveal(&name("a"), generation(1), None).await.err(),
        open.lookup(&name("a")).await.err(),
        open.ensure(&name("d"), generation(1), &password(), || {
            SecretString::from("d")
        })
        .await
        .err(),
    ] {
        assert!(
            matches!(refused, Some(Error::StoreTampered { .. })),
            "{refused:?}"
        );
    }
    let refused = as_other.remove_recipient(ours).await.unwrap_err();
    assert!(
        matches!(refused, Error::NoSuchRecipient { .. }),
        "{refused}"
    );
    let refused = as_other.remove_recipient(theirs).await.unwrap_err();
    assert!(
        matches!(refused, Error::RecipientNeeded { .. }),
        "{refused}"
    );
    all_is_there(&mut as_other).await;
}

async fn two_are_added_at_once_while_values_are_made(it: Deployment) {
    drop(filled(&it).await);
    let others: Vec<Identities> = (0..4)
        .map(|number| identity(&it.dir.path().join(format!("{number}.key"))))
        .collect();
    let mut tasks = Vec::new();
    for (number, other) in others.iter().cloned().enumerate() {
        let (url, ours) = (it.url.clone(), it.identities.clone());
        tasks.push(tokio::spawn(async move {
            let mut store = Store::open(&url, &ours).await.unwrap();
            store.add_recipient(&other.recipients()[0]).await.unwrap();
            let (at, make) = (format!("made/{number}"), || SecretString::from("x"));
            store
                .ensure(&name(&at), generation(1), &password(), make)
                .await
                .unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for other in &others {
        let mut store = Store::open(&it.url, other).await.unwrap();
        assert_eq!(listed(&mut store).await.len(), 5);
        for number in 0..4 {
            let made = name(&format!("made/{number}"));
            store.reveal(&made, generation(1), None).await.unwrap();
        }
        let entries = store.list().await.unwrap();
        assert_eq!(entries.len(), 6);
        store.reveal(&name("a"), generation(2), None).await.unwrap();
    }
}

async fn one_damaged_value_stops_all_of_it(it: Deployment) {
    let mut store = filled(&it).await;
    it.sql("UPDATE generations SET ciphertext = (SELECT store_key FROM store) WHERE name = 'b'")
        .await;
    let other = it.stranger();
    let refused = store
        .add_recipient(&other.recipients()[0])
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("secret b generation 1"),
        "{refused}"
    );
    assert!(Store::open(&it.url, &other).await.is_err());
    for number in [1, 2] {
        store
            .reveal(&name("a"), generation(number), None)
            .await
            .unwrap();
    }
    // Nothing is stuck: without it, it goes.
    store.delete(&name("b")).await.unwrap();
    store.add_recipient(&other.recipients()[0]).await.unwrap();
    let mut as_other = Store::open(&it.url, &other).await.unwrap();
    as_other
        .reveal(&name("a"), generation(2), None)
        .await
        .unwrap();
}

on_each!(
    one_is_added_and_removed,
    two_are_added_at_once_while_values_are_made,
    one_damaged_value_stops_all_of_it,
);

/// An old ciphertext for those who were shut out is not in free pages.
#[tokio::test]
async fn what_was_encrypted_to_others_is_overwritten() {
    let it = Deployment::new();
    let mut store = filled(&it).await;
    let mut raw = it.raw().await;
    let before: Vec<Vec<u8>> = sqlx::query_scalar("SELECT ciphertext FROM generations")
        .fetch_all(&mut raw)
        .await
        .unwrap();
    store
        .add_recipient(&it.stranger().recipients()[0])
        .await
        .unwrap();
    let file = std::fs::read(it.path()).unwrap();
    for ciphertext in before {
        let end = &ciphertext[ciphertext.len() - 32..];
        assert!(!file.windows(32).any(|bytes| bytes == end));
    }
}
