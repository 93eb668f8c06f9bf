//! Every change and every read is on record, and what can't be recorded isn't
//! done.

use std::time::Duration;

use nixops4_secrets_store::{Action, Error, ExposeSecret, OpenOptions, Record, Store};
use sqlx::Executor;
use time::OffsetDateTime;

use crate::deployment::{CANARY, Deployment, canary, generation, name, password};

/// Actions, names, generations and owners, oldest first.
fn lines(records: &[Record]) -> Vec<String> {
    let line = |record: &Record| {
        let mut line = record.action.to_string();
        if let Some(name) = &record.name {
            line = format!("{line} {name}");
        }
        if let Some(generation) = record.generation {
            line = format!("{line} {generation}");
        }
        if let Some(owner) = &record.owner {
            line = format!("{line} for {owner}");
        }
        line
    };
    records.iter().rev().map(line).collect()
}

async fn everything_is_recorded(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password().keep(1));
    for number in 1..=3 {
        store
            .ensure(&db, generation(number), &what, canary)
            .await
            .unwrap();
    }
    // What is there is not made, and leaves no line.
    store
        .ensure(&db, generation(3), &what, canary)
        .await
        .unwrap();
    store.reveal(&db, generation(3), None).await.unwrap();
    store.show(&db, generation(3)).await.unwrap();
    store.retain(&db, "prod").await.unwrap();
    store.retain(&db, "prod").await.unwrap();
    store.restore(&db).await.unwrap();
    store.adopt(&db, "test").await.unwrap();
    let mut store = store.acting_for("consumer");
    store.reveal(&db, generation(3), None).await.unwrap();
    store.request_rotation(&db).await.unwrap();
    store.delete(&db).await.unwrap();
    store.delete(&db).await.unwrap();

    let records = store.audit(None, 100).await.unwrap();
    assert_eq!(
        lines(&records),
        [
            "created",
            "made app/db 1 for prod",
            "rotated app/db 2 for prod",
            "rotated app/db 3 for prod",
            "deleted app/db 1 for prod",
            "read app/db 3 for prod",
            "shown app/db 3 for prod",
            "retained app/db for prod",
            "restored app/db for prod",
            "adopted app/db for test",
            "read app/db 3 for consumer",
            "rotation requested app/db for consumer",
            "deleted app/db for consumer",
        ]
    );
    let user = rustix::process::getuid().is_root().then_some("root@");
    for record in &records {
        assert!(
            record.person.starts_with(user.unwrap_or_default()),
            "{record:?}"
        );
        assert!(record.person.contains('@'));
        assert!(!format!("{record:?}").contains(CANARY));
    }
    // The newest first, so many of them, and those of one secret.
    assert_eq!(store.audit(None, 1).await.unwrap(), records[..1]);
    assert_eq!(store.audit(Some(&db), 100).await.unwrap(), records[..12]);
    assert_eq!(store.audit(Some(&name("x")), 9).await.unwrap(), []);
}

async fn what_cant_be_recorded_isnt_read(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password());
    store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    it.sql("DROP TABLE audit").await;
    for refused in [
        store.reveal(&db, generation(1), None).await.err(),
        store.show(&db, generation(1)).await.err(),
        store.ensure(&db, generation(2), &what, canary).await.err(),
        store.delete(&db).await.err(),
        store.retain(&db, "prod").await.err(),
    ] {
        let refused = refused.unwrap();
        assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
        assert!(!format!("{refused:?}").contains(CANARY));
    }
    let entry = store.lookup(&db).await.unwrap().unwrap();
    assert_eq!((entry.generations.len(), entry.retained), (1, None));
}

async fn a_store_that_is_only_read_by_its_address_leaves_no_record(it: Deployment) {
    let (db, what) = (name("app/db"), password());
    it.open()
        .await
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    let mut store = Store::open(&it.read_only(), &it.identities).await.unwrap();
    let value = store.reveal(&db, generation(1), None).await.unwrap();
    assert_eq!(value.expose_secret(), CANARY);
    assert_eq!(store.audit(Some(&db), 9).await.unwrap().len(), 1);
    for refused in [
        store.ensure(&db, generation(2), &what, canary).await.err(),
        store.retain(&db, "x").await.err(),
        store.restore(&db).await.err(),
        store.request_rotation(&db).await.err(),
        store.delete(&db).await.err(),
        store
            .add_recipient(&it.stranger().recipients()[0])
            .await
            .err(),
    ] {
        let refused = refused.unwrap();
        assert!(matches!(refused, Error::ReadOnly { .. }), "{refused:?}");
    }
}

async fn what_is_old_can_be_pruned(it: Deployment) {
    let mut store = it.open().await;
    let db = name("app/db");
    store
        .ensure(&db, generation(1), &password(), canary)
        .await
        .unwrap();
    store.reveal(&db, generation(1), None).await.unwrap();
    let now = OffsetDateTime::now_utc();
    let days = |days| now - time::Duration::days(days);
    // As if the store had been made and its secret too ten days ago.
    it.sql("UPDATE audit SET done_at = done_at - 864000 WHERE action <> 'read'")
        .await;
    // None is as old, and that leaves no record.
    assert_eq!(store.prune_audit(days(11)).await.unwrap(), 0);
    assert_eq!(store.audit(None, 9).await.unwrap().len(), 3);

    assert_eq!(store.count_audit(days(9)).await.unwrap(), 2);
    assert_eq!(store.audit(None, 9).await.unwrap().len(), 3);
    assert_eq!(store.prune_audit(days(9)).await.unwrap(), 2);
    let records = store.audit(None, 9).await.unwrap();
    assert_eq!(lines(&records), ["read app/db 1 for prod", "pruned"]);
    let detail = records[0].detail.as_deref().unwrap();
    assert!(detail.starts_with("2 from before "), "{detail}");
    assert!(records[0].person.contains('@'), "{records:?}");

    // That it was pruned stays on record, however old.
    it.sql("UPDATE audit SET done_at = done_at - 864000").await;
    assert_eq!(store.prune_audit(days(5)).await.unwrap(), 1);
    let records = store.audit(None, 9).await.unwrap();
    assert_eq!(lines(&records), ["pruned", "pruned"]);
    store.reveal(&db, generation(1), None).await.unwrap();

    let mut store = Store::open(&it.read_only(), &it.identities).await.unwrap();
    let error = store.prune_audit(now).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert_eq!(store.audit(None, 9).await.unwrap().len(), 3);
}

on_each!(
    everything_is_recorded,
    what_is_old_can_be_pruned,
    what_cant_be_recorded_isnt_read,
    a_store_that_is_only_read_by_its_address_leaves_no_record,
);

#[tokio::test]
async fn a_read_waits_for_who_writes() {
    let it = Deployment::new();
    let options = OpenOptions::default().busy_timeout(Duration::from_millis(50));
    let mut store = options
        .open_or_create(&it.url, &it.identities)
        .await
        .unwrap();
    let db = name("app/db");
    store
        .ensure(&db, generation(1), &password(), canary)
        .await
        .unwrap();
    let mut other = it.raw().await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = store.reveal(&db, generation(1), None).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    other.execute("COMMIT").await.unwrap();
    store.reveal(&db, generation(1), None).await.unwrap();
    let records = store.audit(Some(&db), 9).await.unwrap();
    let actions: Vec<_> = records.iter().map(|record| record.action).collect();
    assert_eq!(actions, [Action::Read, Action::Made]);
}
