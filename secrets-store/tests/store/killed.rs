//! Killed between any two steps: what was there is there, nothing is half done,
//! and the next one goes on.

use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Output, Stdio};

use nixops4_secrets_store::{
    Action, Error, ExposeSecret, Identities, Made, Recipient, SecretString, Store, StoreUrl,
};

use time::OffsetDateTime;

use crate::deployment::{CANARY, Deployment, generation, name, password, write};
use crate::fixture;

/// In a child: what to do, the identity file, the store.
const ACT: &str = "SECRETS_STORE_TEST_ACT";

/// Says something to the test that started this process.
pub(crate) fn say(what: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\n{what}").unwrap();
}

/// Does one thing in a process of its own, which kills itself at a failpoint.
fn act(it: &Deployment, what: &str, failpoint: Option<&str>) -> Output {
    let act = format!("{what} {} {}", it.identities.source().display(), it.url);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--ignored", "--nocapture", "killed::actor"])
        .env(ACT, act)
        .env_remove("FAILPOINTS")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(failpoint) = failpoint {
        command.env("FAILPOINTS", format!("{failpoint}=return(kill)"));
    }
    command.output().unwrap()
}

fn kill(it: &Deployment, what: &str, failpoint: &str) {
    let output = act(it, what, Some(failpoint));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.signal(),
        Some(9),
        "{what} at {failpoint}: {said}"
    );
    assert!(!said.contains("done"), "{what} at {failpoint}: {said}");
}

fn succeed(it: &Deployment, what: &str) {
    let output = act(it, what, None);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("done"),
        "{what}: {said}"
    );
}

#[tokio::test]
#[ignore = "it is the process that the tests below start"]
async fn actor() {
    let Ok(act) = std::env::var(ACT) else {
        return;
    };
    let _failpoints = fail::FailScenario::setup();
    let [what, identity, url]: [&str; 3] = act.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let url: StoreUrl = url.parse().unwrap();
    let identities = Identities::from_file(identity).unwrap();
    let mut store = Store::open_or_create(&url, &identities).await.unwrap();
    let db = name("app/db");
    match what.split_once('=').unwrap_or((what, "")) {
        ("open", _) => {}
        ("make", number) => {
            let number: u32 = number.parse().unwrap();
            let make = || Made::new(text(number)).public_part(number.to_string());
            let ensured = store
                .ensure(&db, generation(number), &password().keep(1), make)
                .await;
            ensured.unwrap();
        }
        ("retain", _) => drop(store.retain(&db, "prod").await.unwrap()),
        ("delete", _) => drop(store.delete(&db).await.unwrap()),
        ("prune", _) => {
            let soon = OffsetDateTime::now_utc() + time::Duration::MINUTE;
            store.prune_audit(soon).await.unwrap();
        }
        ("add", key) => drop(store.add_recipient(&key.parse().unwrap()).await.unwrap()),
        ("remove", key) => store.remove_recipient(&key.parse().unwrap()).await.unwrap(),
        ("reveal", _) => {
            let value = store.reveal(&db, generation(1), None).await;
            say(value.unwrap().expose_secret());
        }
        other => unreachable!("{other:?}"),
    }
    say("done");
}

fn text(number: u32) -> SecretString {
    format!("{CANARY} {number}").into()
}

/// Which generations there are; each is whole.
async fn generations(it: &Deployment) -> Vec<u32> {
    let mut store = it.open().await;
    let entries = store.list().await.unwrap();
    let Some(entry) = entries.first() else {
        return Vec::new();
    };
    let mut numbers = Vec::new();
    for version in &entry.generations {
        let number = version.generation.get();
        let value = store
            .reveal(&entry.name, version.generation, Some(&version.id))
            .await;
        assert_eq!(value.unwrap().expose_secret(), text(number).expose_secret());
        assert_eq!(version.public_part, Some(number.to_string()));
        numbers.push(number);
    }
    numbers
}

async fn while_a_value_is_made(it: Deployment) {
    for point in ["store:schema-made", "store:commit-schema"] {
        kill(&it, "open", point);
    }
    let making = [
        "store:made",
        "store:secret-inserted",
        "store:generation-inserted",
        "store:old-deleted",
        "store:tagged",
        "store:commit",
    ];
    for point in making {
        kill(&it, "make=1", point);
        assert_eq!(generations(&it).await, [] as [u32; 0], "{point}");
    }
    succeed(&it, "make=1");
    succeed(&it, "make=2");
    for point in making
        .iter()
        .filter(|point| !point.contains("secret-inserted"))
    {
        kill(&it, "make=3", point);
        assert_eq!(generations(&it).await, [1, 2], "{point}");
    }
    succeed(&it, "make=3");
    assert_eq!(generations(&it).await, [2, 3]);

    for (what, point) in [
        ("retain", "store:tagged"),
        ("retain", "store:commit"),
        ("delete", "store:commit"),
    ] {
        kill(&it, what, point);
        assert_eq!(generations(&it).await, [2, 3], "{what} {point}");
        let mut store = it.open().await;
        let entry = store.lookup(&name("app/db")).await.unwrap().unwrap();
        assert_eq!(entry.retained, None);
    }
}

async fn while_the_recipients_change(it: Deployment) {
    for number in [1, 2] {
        succeed(&it, &format!("make={number}"));
    }
    let stranger = it.stranger();
    let key: &Recipient = &stranger.recipients()[0];
    let points = [
        "store:recipients-opened",
        "store:recipients-sealed",
        "store:recipients-tagged",
        "store:recipients-listed",
    ];
    for point in points {
        kill(&it, &format!("add={key}"), point);
        assert_eq!(generations(&it).await, [1, 2], "{point}");
        let refused = Store::open(&it.url, &stranger).await.unwrap_err();
        assert!(
            matches!(refused, Error::WrongIdentity { .. }),
            "{point}: {refused}"
        );
    }
    // It is done, and nobody was told.
    kill(&it, &format!("add={key}"), "store:recipients-changed");
    succeed(&it, &format!("add={key}"));
    assert_eq!(generations(&it).await, [1, 2]);
    Store::open(&it.url, &stranger).await.unwrap();

    for point in points {
        kill(&it, &format!("remove={key}"), point);
        assert_eq!(generations(&it).await, [1, 2], "{point}");
        Store::open(&it.url, &stranger).await.unwrap();
    }
    succeed(&it, &format!("remove={key}"));
    assert_eq!(generations(&it).await, [1, 2]);
    assert!(Store::open(&it.url, &stranger).await.is_err());
}

async fn before_a_read_is_recorded(it: Deployment) {
    succeed(&it, "make=1");
    let output = act(&it, "reveal", Some("store:decrypted"));
    assert_eq!(output.status.signal(), Some(9));
    assert!(!String::from_utf8_lossy(&output.stdout).contains(CANARY));
    let mut store = it.open().await;
    assert_eq!(
        store.audit(Some(&name("app/db")), 9).await.unwrap().len(),
        1
    );
}

async fn while_the_record_is_pruned(it: Deployment) {
    succeed(&it, "make=1");
    let records = it.open().await.audit(None, 9).await.unwrap();
    assert_eq!(records.len(), 2);
    for point in ["store:pruned", "store:commit"] {
        kill(&it, "prune", point);
        let left = it.open().await.audit(None, 9).await.unwrap();
        assert_eq!(left, records, "{point}");
    }
    succeed(&it, "prune");
    let left = it.open().await.audit(None, 9).await.unwrap();
    let actions: Vec<_> = left.iter().map(|record| record.action).collect();
    assert_eq!(actions, [Action::Pruned]);
}

on_each!(
    while_the_record_is_pruned,
    while_a_value_is_made,
    while_the_recipients_change,
    before_a_read_is_recorded,
);

#[tokio::test]
async fn while_a_store_is_upgraded() {
    for point in ["store:schema-upgraded", "store:commit-schema"] {
        let it = Deployment::new();
        let it = Deployment {
            identities: fixture::key(it.dir.path()),
            ..it
        };
        std::fs::create_dir(it.path().parent().unwrap()).unwrap();
        let old = std::fs::read(fixture::fixture("store-v1.db")).unwrap();
        write(it.path(), &old, 0o600);
        kill(&it, "open", point);
        // SQLite takes back what was not finished when it is opened next.
        fixture::holds_what_it_should(&it.url, &it.identities).await;
    }
}

/// A disk that is read only, for somebody who is not root.
#[tokio::test]
async fn a_read_only_disk_is_refused_unless_the_address_says_so() {
    let it = Deployment::new();
    succeed(&it, "make=1");
    let folder = it.path().parent().unwrap();
    let is_root = rustix::process::getuid().is_root();
    let nobody = 65534;
    let program = it.dir.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    write(it.path(), std::fs::read(it.path()).unwrap(), 0o444);
    for (path, mode) in [(it.dir.path(), 0o755), (folder, 0o555), (&program, 0o755)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    if is_root {
        for file in [it.identities.source(), it.identities.known_stores()] {
            std::os::unix::fs::chown(file, Some(nobody), None).unwrap();
        }
    }
    for (url, code) in [(&it.url, Some(101)), (&it.read_only(), Some(0))] {
        let act = format!("reveal {} {url}", it.identities.source().display());
        let mut command = Command::new(&program);
        command
            .args(["--exact", "--ignored", "--nocapture", "killed::actor"])
            .env(ACT, act)
            .current_dir("/");
        if is_root {
            command.uid(nobody).gid(nobody);
        }
        let output = command.output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), code, "{out}{err}");
        assert_eq!(out.contains(CANARY), code == Some(0), "{out}");
        if code != Some(0) {
            assert!(err.contains("Unrecorded") && !err.contains(CANARY), "{err}");
        }
    }
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}
