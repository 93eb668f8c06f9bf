//! A value that was dropped is nowhere in memory any more.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use nixops4_secrets_store::{ExposeSecret as _, Identities, SecretString, Store, StoreUrl};

use zeroize::Zeroizing;

use crate::deployment::{Deployment, generation, name, password};
use crate::killed::say;

/// In a child: the identity file, the store, and the value with every bit turned,
/// so that looking for it doesn't put it there.
const LOOK: &str = "SECRETS_STORE_TEST_LOOK";

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

/// How often it is in what this process may write to.
fn found(turned: &[u8]) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut found = 0;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let range = fields.next().unwrap();
        if !fields.next().unwrap().starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        // What is looked through may be what is looked for, and is no copy to stay.
        let mut page = Zeroizing::new([0; 4096]);
        // The end of one page, and the beginning of the next.
        let mut window = Zeroizing::new(Vec::with_capacity(2 * page.len()));
        for at in (from..to).step_by(page.len()) {
            if memory.read_exact_at(&mut *page, at).is_err() {
                break;
            }
            window.extend_from_slice(&*page);
            let is_it = |part: &&[u8]| part.iter().zip(turned).all(|(one, other)| *one == !other);
            found += window.windows(turned.len()).filter(is_it).count();
            let seen = window.len() - (turned.len() - 1);
            window.drain(..seen);
        }
    }
    found
}

#[tokio::test]
#[ignore = "it is the process that the test below starts"]
async fn looks() {
    let Ok(look) = std::env::var(LOOK) else {
        return;
    };
    let [identity, url, turned]: [&str; 3] =
        look.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let turned = hex::decode(turned).unwrap();
    let url: StoreUrl = url.parse().unwrap();
    let before = found(&turned);
    let identities = Identities::from_file(identity).unwrap();
    let mut store = Store::open(&url, &identities).await.unwrap();
    let value = store
        .reveal(&name("db"), generation(1), None)
        .await
        .unwrap();
    assert_eq!(self::turned(value.expose_secret().as_bytes()), turned);
    let meanwhile = found(&turned);
    drop(value);
    store.close().await.unwrap();
    drop(identities);
    say(&format!("{before} {} {}", meanwhile > 0, found(&turned)));
}

#[tokio::test]
async fn is_wiped_when_a_value_is_dropped() {
    let it = Deployment::new();
    let value = uuid::Uuid::new_v4().to_string();
    let mut store = it.open().await;
    let made = || SecretString::from(value.as_str());
    store
        .ensure(&name("db"), generation(1), &password(), made)
        .await
        .unwrap();
    store.close().await.unwrap();
    let look = format!(
        "{} {} {}",
        it.identities.source().display(),
        it.url,
        hex::encode(turned(value.as_bytes()))
    );
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "memory::looks"])
        .env(LOOK, look)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("\n0 true 0\n"), "{said}{err}");
}
