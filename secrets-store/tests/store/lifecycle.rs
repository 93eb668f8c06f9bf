//! What becomes of a secret: made, rotated, read, retained, adopted, deleted.

use nixops4_secrets_store::{Error, ExposeSecret, NewSecret, SecretString, Store};
use time::OffsetDateTime;

use crate::deployment::{Deployment, canary, generation, name, never, password};

async fn value(store: &mut Store, number: u32) -> String {
    let value = store
        .reveal(&name("app/db"), generation(number), None)
        .await;
    value.unwrap().expose_secret().to_owned()
}

async fn a_value_is_made_once(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password());
    assert_eq!(store.lookup(&db).await.unwrap(), None);

    let before = OffsetDateTime::now_utc().unix_timestamp();
    let first = store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    assert!(first.created && !first.restored);
    let at = first.version.created_at.unix_timestamp();
    assert!((before..=before + 60).contains(&at));

    let second = store.ensure(&db, generation(1), &what, never);
    let second = second.await.unwrap();
    assert!(!second.created);
    assert_eq!(second.version, first.version);

    let entry = store.lookup(&db).await.unwrap().unwrap();
    assert_eq!(
        (entry.owner.as_str(), entry.kind.as_str()),
        ("prod", "secrets_password")
    );
    assert_eq!(entry.generations, std::slice::from_ref(&first.version));
    assert_eq!(entry.created_at, first.version.created_at);
    assert_eq!((entry.name.as_str(), &entry.retained), ("app/db", &None));
}

async fn rotating_keeps_what_was(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password());
    let mut ids = Vec::new();
    for number in [2, 3, 7] {
        let made = store
            .ensure(&db, generation(number), &what, || {
                SecretString::from(format!("v{number}"))
            })
            .await
            .unwrap();
        assert!(made.created);
        ids.push(made.version);
    }
    assert_eq!(store.lookup(&db).await.unwrap().unwrap().generations, ids);
    for number in [2, 3, 7] {
        assert_eq!(value(&mut store, number).await, format!("v{number}"));
    }
    for number in [1, 5] {
        let refused = store.ensure(&db, generation(number), &what, never);
        let refused = refused.await.unwrap_err();
        assert!(
            matches!(refused, Error::GenerationTooOld { .. }),
            "{refused}"
        );
        assert!(
            refused.to_string().contains("ask for 7, or a higher one"),
            "{refused}"
        );
    }
}

async fn old_values_go_when_nobody_uses_them(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password().keep(u32::MAX));
    assert_eq!(store.prune(&db, 0).await.unwrap(), []);
    for number in 1..=4 {
        store
            .ensure(&db, generation(number), &what, canary)
            .await
            .unwrap();
    }
    let numbers = |versions: &[nixops4_secrets_store::Version]| {
        let numbers = versions.iter().map(|version| version.generation.get());
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(store.prune(&db, 3).await.unwrap(), []);
    assert_eq!(numbers(&store.prune(&db, 1).await.unwrap()), [1, 2]);
    // What is left is still vouched for, and what is gone is told.
    let entry = store.lookup(&db).await.unwrap().unwrap();
    assert_eq!(numbers(&entry.generations), [3, 4]);
    value(&mut store, 3).await;
    let missing = store.reveal(&db, generation(2), None).await.unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
    // The one in use never goes.
    assert_eq!(numbers(&store.prune(&db, 0).await.unwrap()), [3]);
    assert_eq!(store.prune(&db, 0).await.unwrap(), []);
    value(&mut store, 4).await;
    let records = store.audit(Some(&db), 100).await.unwrap();
    let deleted = |record: &&nixops4_secrets_store::Record| {
        record.action == nixops4_secrets_store::Action::Deleted
    };
    assert_eq!(records.iter().filter(deleted).count(), 3);
}

async fn values_come_back_as_they_were(it: Deployment) {
    let mut store = it.open().await;
    let long = "x\n\n".repeat(100_000);
    for (number, text) in (1..).zip(["", "\n\nname x\n", "gr\u{fc}n \u{1f511}", "a\0b", &long]) {
        let db = name("app/db");
        let make = || SecretString::from(text);
        store
            .ensure(&db, generation(number), &password(), make)
            .await
            .unwrap();
        assert_eq!(value(&mut store, number).await, text);
    }
}

async fn what_is_missing_or_made_anew_is_told_apart(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password());

    let refused = store.reveal(&db, generation(1), None).await.unwrap_err();
    assert!(matches!(refused, Error::Missing { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("no secret of this name"),
        "{refused}"
    );

    let old = store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    store
        .ensure(&db, generation(2), &what, canary)
        .await
        .unwrap();
    let refused = store.reveal(&db, generation(3), None).await.unwrap_err();
    assert!(matches!(refused, Error::Missing { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("generations kept: 1, 2"),
        "{refused}"
    );

    store.delete(&db).await.unwrap();
    let new = store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    let refused = store
        .reveal(&db, generation(1), Some(&old.version.id))
        .await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::MadeAnew { .. }), "{refused:?}");
    for id in [old.version.id, new.version.id] {
        assert!(refused.to_string().contains(&id.to_string()), "{refused}");
    }
    store
        .reveal(&db, generation(1), Some(&new.version.id))
        .await
        .unwrap();
}

async fn what_is_foreign_is_refused_until_adopted(it: Deployment) {
    let mut store = it.open().await;
    let (db, ours) = (name("app/db"), password());
    let theirs = NewSecret {
        owner: "staging".into(),
        ..password()
    };
    let made = store
        .ensure(&db, generation(1), &ours, canary)
        .await
        .unwrap();

    for number in [1, 2] {
        let refused = store.ensure(&db, generation(number), &theirs, never);
        let refused = refused.await.unwrap_err();
        assert!(matches!(refused, Error::Foreign { .. }), "{refused:?}");
        assert!(refused.to_string().contains("\"prod\""), "{refused}");
    }
    store.adopt(&db, "staging").await.unwrap();
    let same = store.ensure(&db, generation(1), &theirs, never);
    assert_eq!(same.await.unwrap().version, made.version);
    let refused = store.ensure(&db, generation(1), &ours, never).await;
    assert!(matches!(refused, Err(Error::Foreign { .. })));

    // Who adopts it does not make it another kind of thing.
    let token = NewSecret {
        kind: "secrets_token".into(),
        ..theirs
    };
    let refused = store.ensure(&db, generation(1), &token, never).await;
    assert!(matches!(refused, Err(Error::OtherKind { .. })));
}

async fn a_retained_secret_is_kept_and_taken_back(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password());
    let made = store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();

    let mark = store.retain(&db, "prod").await.unwrap();
    assert_eq!(mark.by, "prod");
    // The first mark stands.
    assert_eq!(store.retain(&db, "somebody").await.unwrap(), mark);
    let entry = store.lookup(&db).await.unwrap().unwrap();
    assert_eq!(entry.retained, Some(mark));
    store.reveal(&db, generation(1), None).await.unwrap();

    // A stranger does not take it back, its owner does by declaring it.
    let theirs = NewSecret {
        owner: "staging".into(),
        ..password()
    };
    assert!(
        store
            .ensure(&db, generation(1), &theirs, never)
            .await
            .is_err()
    );
    assert!(store.lookup(&db).await.unwrap().unwrap().retained.is_some());
    let back = store
        .ensure(&db, generation(1), &what, never)
        .await
        .unwrap();
    assert!(back.restored && !back.created);
    assert_eq!(back.version, made.version);
    assert_eq!(store.lookup(&db).await.unwrap().unwrap().retained, None);

    store.retain(&db, "prod").await.unwrap();
    let rotated = store
        .ensure(&db, generation(2), &what, canary)
        .await
        .unwrap();
    assert!(rotated.restored && rotated.created);

    store.retain(&db, "prod").await.unwrap();
    for _ in 0..2 {
        store.restore(&db).await.unwrap();
        assert_eq!(store.lookup(&db).await.unwrap().unwrap().retained, None);
    }
}

#[tokio::test]
async fn deleting_leaves_nothing() {
    let it = Deployment::new();
    let mut store = it.open().await;
    let (db, other, what) = (name("app/db"), name("app/mail"), password());
    store
        .ensure(&other, generation(1), &what, canary)
        .await
        .unwrap();
    for number in [1, 2] {
        store
            .ensure(&db, generation(number), &what, canary)
            .await
            .unwrap();
    }
    let mut raw = it.raw().await;
    let sealed: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT ciphertext FROM generations WHERE name = 'app/db'")
            .fetch_all(&mut raw)
            .await
            .unwrap();
    assert_eq!(sealed.len(), 2);

    assert!(store.delete(&db).await.unwrap());
    assert!(!store.delete(&db).await.unwrap());
    assert_eq!(store.lookup(&db).await.unwrap(), None);
    store.reveal(&other, generation(1), None).await.unwrap();
    // Not in free pages of the file either.
    let file = std::fs::read(it.path()).unwrap();
    for ciphertext in sealed {
        let payload = &ciphertext[ciphertext.len() - 32..];
        assert!(!file.windows(32).any(|bytes| bytes == payload));
    }
}

async fn calls_on_nothing_and_bad_texts_are_refused(it: Deployment) {
    let mut store = it.open().await;
    let none = name("none");
    for refused in [
        store.adopt(&none, "prod").await.err(),
        store.retain(&none, "prod").await.err(),
        store.restore(&none).await.err(),
    ] {
        let refused = refused.unwrap();
        assert!(matches!(refused, Error::NoSuchSecret { .. }), "{refused:?}");
        assert!(
            refused.to_string().contains("no secret none in"),
            "{refused}"
        );
    }
    for (owner, kind, says) in [
        ("", "k", "valid owner"),
        ("o", "\n", "valid kind"),
        ("a\nb", "k", "control"),
    ] {
        let what = NewSecret::new(owner, kind);
        let refused = store.ensure(&none, generation(1), &what, never).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    assert!(
        store
            .adopt(&none, "")
            .await
            .unwrap_err()
            .to_string()
            .contains("valid owner")
    );
    assert!(
        store
            .retain(&none, "\t")
            .await
            .unwrap_err()
            .to_string()
            .contains("who retains")
    );
}

on_each!(
    a_value_is_made_once,
    rotating_keeps_what_was,
    old_values_go_when_nobody_uses_them,
    values_come_back_as_they_were,
    what_is_missing_or_made_anew_is_told_apart,
    what_is_foreign_is_refused_until_adopted,
    a_retained_secret_is_kept_and_taken_back,
    calls_on_nothing_and_bad_texts_are_refused
);
