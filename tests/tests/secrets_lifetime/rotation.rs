//! New values, on purpose and by age; old ones, kept and dropped.

use nixops4_resources_tests::messages::{self, object};
use serde_json::json;

use crate::{Site, path, wait};

#[test]
fn a_value_that_is_too_old_is_due() {
    let site = Site::new();
    let inputs = json!({"name": "api", "rotateAfter": "3s"});
    let made = site.make("secrets_token", &inputs);
    assert_eq!(made["secret"]["generation"], 1);
    assert_eq!(made["previous"], json!(null));
    assert_eq!(site.plan("secrets_token", &inputs), [""; 0]);
    assert_eq!(site.make("secrets_token", &inputs), made);
    wait(4);
    assert_eq!(site.plan("secrets_token", &inputs), ["/rotateAfter"]);
    let rotated = site.make("secrets_token", &inputs);
    assert_eq!(rotated["secret"]["generation"], 2);
    assert_eq!(rotated["previous"], made["secret"]);
    assert_eq!(site.plan("secrets_token", &inputs), [""; 0]);
    // Both can be read by reference.
    let (old, new) = (&made["secret"], &rotated["secret"]);
    assert_ne!(site.reveal(old).unwrap(), site.reveal(new).unwrap());
    // Without an age, and with a lower number, the newest stays.
    let plain = json!({"name": "api", "generation": 1});
    assert_eq!(site.make("secrets_token", &plain), rotated);
}

#[test]
fn a_person_asks_for_a_new_value() {
    let site = Site::new();
    let inputs = json!({"name": "host", "comment": "root@host"});
    let made = site.make("secrets_ssh_key", &inputs);
    site.runtime.block_on(async {
        let mut store = site.open().await;
        let asked = store.request_rotation(&"host".parse().unwrap()).await;
        asked.expect("it is asked for");
    });
    assert_eq!(site.plan("secrets_ssh_key", &inputs), ["/generation"]);
    let rotated = site.make("secrets_ssh_key", &inputs);
    assert_eq!(rotated["previousPublicKey"], made["publicKey"]);
    assert_ne!(rotated["publicKey"], made["publicKey"]);
    assert_eq!(site.plan("secrets_ssh_key", &inputs), [""; 0]);
}

#[test]
fn as_many_as_wanted_are_kept() {
    let site = Site::new();
    let at =
        |generation: u32| json!({"name": "db", "generation": generation, "keepGenerations": 1});
    let made: Vec<_> = (1..=3)
        .map(|generation| site.make("secrets_password", &at(generation)))
        .collect();
    assert_eq!(made[2]["previous"], made[1]["secret"]);
    assert!(site.reveal(&made[1]["secret"]).is_ok());
    let error = site.reveal(&made[0]["secret"]).unwrap_err();
    assert!(error.contains("generation 1"), "{error}");
    // Far ahead: numbers may be left out.
    let later = site.make("secrets_password", &at(7));
    assert_eq!(later["secret"]["generation"], 7);
}

#[test]
fn what_an_owner_has_is_listed() {
    let site = Site::new();
    site.make("secrets_password", &json!({"name": "one"}));
    site.make("secrets_password", &json!({"name": "two", "generation": 2}));
    site.make("secrets_token", &json!({"name": "of-another-kind"}));
    let theirs = json!({"name": "theirs", "owner": "somebody-else"});
    let theirs = messages::create("secrets_password", &object(theirs), true);
    site.ask(&theirs).expect("it is made");
    let inputs = Site::inputs(&json!({"name": "any"}));
    let request = json!({
        "nixops4-resources/listResourcesRequest": {
            "type": "secrets_password", "inputProperties": inputs,
        },
    });
    let answer = site.ask(&request).expect("a list");
    let found = answer["resources"].as_array().expect("resources");
    let found: Vec<_> = found
        .iter()
        .map(|one| (&one["identity"]["secret"], &one["generation"]))
        .collect();
    assert_eq!(
        found,
        [(&json!("one"), &json!(1)), (&json!("two"), &json!(2))]
    );
}

#[test]
fn another_type_comes_with_another_generation() {
    let site = Site::new();
    site.make("secrets_ssh_key", &json!({"name": "host"}));
    let other = json!({"name": "host", "keyType": "ecdsaP384"});
    let error = site.try_make("secrets_ssh_key", &other).unwrap_err();
    assert!(error.starts_with("/keyType: "), "{error}");
    assert!(error.contains("set `generation` to 2"), "{error}");
    let other = json!({"name": "host", "keyType": "ecdsaP384", "generation": 2});
    let made = site.make("secrets_ssh_key", &other);
    let public = made["publicKey"].as_str().unwrap();
    assert!(public.starts_with("ecdsa-sha2-nistp384 "), "{public}");
}

#[test]
fn what_comes_out_of_the_store_is_taken_by_others() {
    let site = Site::new();
    let ssh = site.make("secrets_ssh_key", &json!({"name": "ssh"}));
    let private = site
        .sandbox
        .write("id", site.reveal(&ssh["secret"]).unwrap());
    let public = site.succeed("ssh-keygen", &["-y", "-f", path(&private)]);
    assert_eq!(public.trim_end(), ssh["publicKey"]);
    site.write("id.pub", &ssh["publicKey"]);
    let shown = site.succeed("ssh-keygen", &["-lf", "id.pub"]);
    assert!(
        shown.contains(ssh["fingerprint"].as_str().unwrap()),
        "{shown}"
    );

    let age = site.make("secrets_age_key", &json!({"name": "age"}));
    let private = site
        .sandbox
        .write("age.key", site.reveal(&age["secret"]).unwrap());
    let public = site.succeed("age-keygen", &["-y", path(&private)]);
    assert_eq!(public.trim_end(), age["publicKey"]);
}
