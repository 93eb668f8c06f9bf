use expect_test::expect;
use nixops4_provider_sdk::{Mark, Owner};

use super::*;

fn id<T: TryFrom<String, Error = String>>(text: &str) -> T {
    T::try_from(text.to_owned()).unwrap()
}

const OLD: &str = "GK00000000000000000000000a";
const NEW: &str = "GK00000000000000000000000b";

fn flags(letters: &str) -> Permissions {
    Permissions {
        read: letters.contains('r'),
        write: letters.contains('w'),
        owner: letters.contains('o'),
    }
}

fn given(bucket: &str, key: &str, letters: &str) -> Grant {
    Grant {
        bucket: id(&bucket.repeat(64)),
        key: id(key),
        permissions: flags(letters),
    }
}

fn want(letters: &str) -> Inputs {
    let Permissions { read, write, owner } = flags(letters);
    serde_json::from_value(serde_json::json!({
        "connection": {"endpoint": "http://127.0.0.1:3903", "token": {"env": "TOKEN"}},
        "bucketId": "a".repeat(64),
        "accessKeyId": NEW,
        "read": read, "write": write, "bucketOwner": owner,
    }))
    .unwrap()
}

fn steps(wanted: &str, facts: &Facts) -> String {
    let shown = |step: &Step<Change>| {
        let what = match &step.change {
            Change::Create => "create".to_owned(),
            Change::Move(from) => format!("from {} {}", &from.bucket.as_str()[..1], from.key),
            Change::Set { keys, wanted, .. } => {
                let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
                format!("{wanted} for {}", keys.join(" "))
            }
        };
        format!("{}: {what}\n", step.path)
    };
    difference(&want(wanted), facts).iter().map(shown).collect()
}

fn facts(letters: &str, older: Vec<Grant>, recorded: Option<Grant>) -> Facts {
    Facts {
        grant: given("a", NEW, letters),
        older,
        recorded,
        system_identifier: "node".to_owned(),
    }
}

#[test]
fn flag_by_flag() {
    assert_eq!(steps("rw", &facts("rw", vec![], None)), "");
    expect![[r"
        /write: false for GK00000000000000000000000b
        /bucketOwner: true for GK00000000000000000000000b
    "]]
    .assert_eq(&steps("ro", &facts("rw", vec![], None)));
}

#[test]
fn older_keys_may_do_the_same() {
    let older = || vec![given("a", OLD, "rw")];
    assert_eq!(steps("rw", &facts("rw", older(), None)), "");
    expect![[r"
        /read: true for GK00000000000000000000000b
        /write: false for GK00000000000000000000000a
    "]]
    .assert_eq(&steps("r", &facts("", older(), None)));
}

#[test]
fn another_pair() {
    let key = steps("r", &facts("", vec![], Some(given("a", OLD, "rw"))));
    assert_eq!(key, format!("/accessKeyId: from a {OLD}\n"));
    let bucket = steps("r", &facts("", vec![], Some(given("b", NEW, "r"))));
    assert_eq!(bucket, format!("/bucketId: from b {NEW}\n"));
}

#[test]
fn which_keys_are_older() {
    let title = |name: &str, owner: &str, generation: u32| {
        let owner = Owner::try_from(owner.to_owned()).unwrap();
        Title {
            name: name.to_owned(),
            mark: Some(Mark::new(owner, "garage_key")),
            generation: Some(generation),
            making: None,
        }
    };
    let newer = title("media", "shop", 2);
    assert!(precedes(&title("media", "shop", 1), &newer));
    assert!(!precedes(&title("media", "shop", 3), &newer));
    assert!(!precedes(&title("media", "other", 1), &newer));
    assert!(!precedes(&title("backup", "shop", 1), &newer));
    assert!(!precedes(&Title::read("media"), &newer));
    assert!(!precedes(&title("media", "shop", 1), &Title::read("media")));
}

#[test]
fn a_permission_permits_something() {
    let error = Permission::validate(&want("")).unwrap_err();
    assert!(error.to_string().contains("permits nothing"), "{error}");
    assert!(Permission::validate(&want("o")).is_ok());
}
