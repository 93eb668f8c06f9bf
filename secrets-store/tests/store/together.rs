//! Several at once: tasks, connections and processes; and one that is killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use nixops4_secrets_store::{
    Ensured, ExposeSecret, Identities, SecretId, SecretString, Store, StoreUrl,
};

use crate::deployment::{Deployment, generation, name, password};

/// In a child: what it is to work on.
const WORK: &str = "SECRETS_STORE_TEST_WORK";

async fn ensure(store: &mut Store, at: &str, value: String) -> Ensured {
    store
        .ensure(&name(at), generation(1), &password(), || {
            SecretString::from(value)
        })
        .await
        .unwrap()
}

async fn many_connections_that_make_one_secret_in_a_new_store_agree(like: Deployment) {
    for round in 0..5 {
        let it = like.another();
        let tasks: Vec<_> = (0..16)
            .map(|number| {
                let (url, identities) = (it.url.clone(), it.identities.clone());
                tokio::spawn(async move {
                    let mut store = Store::open_or_create(&url, &identities).await.unwrap();
                    let made = ensure(&mut store, "app/db", format!("value {number}")).await;
                    let id = made.version.id;
                    let value = store
                        .reveal(&name("app/db"), generation(1), Some(&id))
                        .await;
                    (made.created, id, value.unwrap().expose_secret().to_owned())
                })
            })
            .collect();
        let (mut created, mut ids, mut values) = (0, BTreeSet::new(), BTreeSet::new());
        for task in tasks {
            let (was_created, id, value) = task.await.unwrap();
            created += u32::from(was_created);
            ids.insert(id);
            values.insert(value);
        }
        assert_eq!(
            (created, ids.len(), values.len()),
            (1, 1, 1),
            "round {round}"
        );
    }
}

async fn many_different_secrets_at_once_are_all_kept(it: Deployment) {
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let (url, identities) = (it.url.clone(), it.identities.clone());
            tokio::spawn(async move {
                let mut store = Store::open_or_create(&url, &identities).await.unwrap();
                for step in 0..5 {
                    ensure(
                        &mut store,
                        &format!("{number}/{step}"),
                        format!("{number} {step}"),
                    )
                    .await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut store = it.open().await;
    for (number, step) in (0..12).flat_map(|n| (0..5).map(move |s| (n, s))) {
        let value = store
            .reveal(&name(&format!("{number}/{step}")), generation(1), None)
            .await;
        assert_eq!(value.unwrap().expose_secret(), format!("{number} {step}"));
    }
}

/// Starts `worker` below in a process of its own.
fn start(it: &Deployment, secrets: u32) -> Child {
    let work = format!("{secrets} {} {}", it.identities.source().display(), it.url);
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "together::worker"])
        .env(WORK, work)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// The ids that a worker has said so far, by the number of the secret.
fn said(child: &mut Child) -> impl Iterator<Item = (u32, SecretId)> + use<> {
    BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| {
            let (number, id) = line.strip_prefix("made ")?.split_once(' ')?;
            Some((number.parse().ok()?, id.parse().ok()?))
        })
}

#[tokio::test]
#[ignore = "it is the process that the tests below start"]
async fn worker() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let [secrets, identity, url]: [&str; 3] =
        work.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let url: StoreUrl = url.parse().unwrap();
    let identities = Identities::from_file(identity).unwrap();
    let mut store = Store::open_or_create(&url, &identities).await.unwrap();
    let mut out = std::io::stdout();
    for number in 0..secrets.parse().unwrap() {
        let value = format!("of {} for {number}", std::process::id());
        let made = ensure(&mut store, &number.to_string(), value).await;
        writeln!(out, "\nmade {number} {}", made.version.id).unwrap();
    }
}

async fn processes_that_make_the_same_secrets_agree(it: Deployment) {
    let mut children: Vec<Child> = (0..6).map(|_| start(&it, 4)).collect();
    let mut ids = BTreeSet::new();
    for child in &mut children {
        let said: Vec<_> = said(child).collect();
        assert_eq!(said.len(), 4);
        ids.extend(said);
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(ids.len(), 4, "{ids:?}");
    let mut store = it.open().await;
    for (number, id) in ids {
        let value = store
            .reveal(&name(&number.to_string()), generation(1), Some(&id))
            .await;
        value.unwrap();
    }
}

async fn a_process_that_is_killed_loses_nothing(like: Deployment) {
    for lives in [0, 1, 3, 8] {
        let it = like.another();
        let mut child = start(&it, 1_000_000);
        let mut lines = said(&mut child);
        let mut made: Vec<_> = lines.by_ref().take(lives).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        made.extend(lines);

        let mut store = it.open().await;
        for (number, id) in made {
            let value = store
                .reveal(&name(&number.to_string()), generation(1), Some(&id))
                .await;
            assert!(value.unwrap().expose_secret().starts_with("of "));
        }
        // And it goes on where it was.
        ensure(&mut store, "0", "x".into()).await;
        ensure(&mut store, "after", "x".into()).await;
    }
}

on_each!(
    many_connections_that_make_one_secret_in_a_new_store_agree,
    many_different_secrets_at_once_are_all_kept,
    processes_that_make_the_same_secrets_agree,
    a_process_that_is_killed_loses_nothing,
);
