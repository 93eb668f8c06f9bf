//! Hashes and ciphertext: they stay while what they follow from does.

use nixops4_resources_tests::judges;
use nixops4_resources_tests::postgres::{Config, Server};
use serde_json::{Value, json};

use crate::{Site, path};

const HASH: &str = "secrets_password_hash";
const SEALED: &str = "secrets_sealed";

fn password(site: &Site, generation: u32) -> Value {
    let inputs = json!({"name": "db", "generation": generation});
    site.make("secrets_password", &inputs)["secret"].clone()
}

#[test]
fn a_hash_stays_until_the_password_changes() {
    let site = Site::new();
    let (first, second) = (password(&site, 1), password(&site, 2));
    let file = site.sandbox.write("password", site.reveal(&first).unwrap());
    for algorithm in ["bcrypt", "sha512crypt", "scramSha256"] {
        let wanted =
            |secret: &Value| json!({"name": algorithm, "secret": secret, "algorithm": algorithm});
        let made = site.make(HASH, &wanted(&first));
        assert_eq!(site.make(HASH, &wanted(&first)), made);
        assert_eq!(site.plan(HASH, &wanted(&first)), [""; 0]);
        // The same password in a file.
        assert_eq!(site.plan(HASH, &wanted(&json!({"file": file}))), [""; 0]);

        assert_eq!(site.plan(HASH, &wanted(&second)), ["/secret"]);
        let followed = site.make(HASH, &wanted(&second));
        assert_ne!(followed["hash"], made["hash"]);
        assert_eq!(site.plan(HASH, &wanted(&second)), [""; 0]);
        assert_eq!(site.reveal(&followed["secret"]).unwrap(), followed["hash"]);
    }
}

#[test]
fn crypt_and_postgresql_take_a_hash() {
    let site = Site::new();
    let secret = password(&site, 1);
    let value = site.reveal(&secret).unwrap();
    for algorithm in ["bcrypt", "sha512crypt"] {
        let made = site.make(
            HASH,
            &json!({"name": algorithm, "secret": secret, "algorithm": algorithm}),
        );
        let hash = made["hash"].as_str().unwrap();
        let script = "exit(crypt($ARGV[0], $ARGV[1]) eq $ARGV[1] ? 0 : 1)";
        site.succeed("perl", &["-e", script, &value, hash]);
    }
    let server = Server::start(&Config::default());
    let made = site.make(
        HASH,
        &json!({"name": "scram", "secret": secret, "algorithm": "scramSha256"}),
    );
    let hash = made["hash"].as_str().unwrap();
    server.sql(&format!("CREATE ROLE app LOGIN PASSWORD '{hash}'"));
    let one = server.sql_as("app", &value, "postgres", "SELECT 1");
    assert_eq!(one.as_deref(), Ok("1"));
    server
        .sql_as("app", "another", "postgres", "SELECT 1")
        .unwrap_err();
}

#[test]
fn a_password_that_bcrypt_would_cut_is_refused() {
    let site = Site::new();
    let long = json!({"name": "long", "length": 73});
    let secret = site.make("secrets_password", &long)["secret"].clone();
    let wanted = json!({"name": "hash", "secret": secret, "algorithm": "bcrypt"});
    let error = site.try_make(HASH, &wanted).unwrap_err();
    assert!(
        error.starts_with("/secret: ") && error.contains("73 bytes"),
        "{error}"
    );
    assert!(!error.contains(&site.reveal(&secret).unwrap()));
}

#[test]
fn a_machine_opens_what_is_sealed_for_its_host_key() {
    let site = Site::new();
    let host = site.make("secrets_ssh_key", &json!({"name": "host"}));
    let key = site
        .sandbox
        .write("host_key", site.reveal(&host["secret"]).unwrap());
    let open = |ciphertext: &Value| {
        site.write("sealed.age", ciphertext);
        site.succeed("age", &["-d", "-i", path(&key), "sealed.age"])
    };
    let first = password(&site, 1);
    let wanted = |secret: &Value, recipients: Value| json!({"name": "web", "secrets": {"db": secret, "host": host["secret"]}, "recipients": recipients});
    let to_host = json!([host["publicKey"]]);
    let made = site.make(SEALED, &wanted(&first, to_host.clone()));
    assert_eq!(site.make(SEALED, &wanted(&first, to_host.clone())), made);
    assert_eq!(open(&made["files"]["db"]), site.reveal(&first).unwrap());
    assert_eq!(
        open(&made["files"]["host"]),
        site.reveal(&host["secret"]).unwrap()
    );

    let second = password(&site, 2);
    assert_eq!(
        site.plan(SEALED, &wanted(&second, to_host.clone())),
        ["/secrets/db"]
    );
    let followed = site.make(SEALED, &wanted(&second, to_host.clone()));
    assert_eq!(
        open(&followed["files"]["db"]),
        site.reveal(&second).unwrap()
    );

    let age = site.make("secrets_age_key", &json!({"name": "age"}));
    let both = json!([age["publicKey"], host["publicKey"]]);
    assert_eq!(
        site.plan(SEALED, &wanted(&second, both.clone())),
        ["/recipients"]
    );
    let widened = site.make(SEALED, &wanted(&second, both));
    assert_eq!(open(&widened["files"]["db"]), site.reveal(&second).unwrap());
    // A recipient that is gone can't open what is sealed from now on.
    let alone = json!([age["publicKey"]]);
    let narrowed = site.make(SEALED, &wanted(&second, alone));
    site.write("sealed.age", &narrowed["files"]["db"]);
    let refused = site.run("age", &["-d", "-i", path(&key), "sealed.age"]);
    assert!(!refused.status.success());
}

#[test]
fn a_file_that_holds_another_value_is_sealed_anew() {
    let site = Site::new();
    let file = site.sandbox.write("token", "first-value");
    let age = site.make("secrets_age_key", &json!({"name": "age"}));
    let wanted = json!({
        "name": "web", "secrets": {"token": {"file": file}}, "recipients": [age["publicKey"]],
    });
    let made = site.make(SEALED, &wanted);
    assert_eq!(site.make(SEALED, &wanted), made);
    site.sandbox.write("token", "second-value");
    assert_eq!(site.plan(SEALED, &wanted), ["/secrets/token"]);
    let followed = site.make(SEALED, &wanted);
    assert_ne!(followed, made);
    assert_eq!(site.plan(SEALED, &wanted), [""; 0]);
}

#[test]
fn a_machine_opens_with_sops_what_is_sealed_for_it() {
    let Some(sops) = judges::find("sops") else {
        return;
    };
    let site = Site::new();
    let host = site.make("secrets_ssh_key", &json!({"name": "host"}));
    let age = site.make("secrets_age_key", &json!({"name": "age"}));
    let key = site
        .sandbox
        .write("age.key", site.reveal(&age["secret"]).unwrap());
    let open = |made: &Value| {
        site.write("sealed.yaml", &made["sops"]);
        let mut command = site.sandbox.command(&sops);
        command
            .args(["--decrypt", "--output-type", "json", "sealed.yaml"])
            .env("SOPS_AGE_KEY_FILE", &key);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let first = password(&site, 1);
    let wanted = |secret: &Value, recipients: Value| json!({"name": "web", "secrets": {"mastodon/db": secret, "host": host["secret"]}, "recipients": recipients, "format": "sops"});
    let both = json!([host["publicKey"], age["publicKey"]]);
    let made = site.make(SEALED, &wanted(&first, both.clone()));
    assert_eq!(made["files"], json!({}));
    let value = |secret: &Value| site.reveal(secret).unwrap();
    assert_eq!(
        open(&made),
        json!({"mastodon": {"db": value(&first)}, "host": value(&host["secret"])})
    );
    // To the byte, in whatever order.
    let turned = json!([age["publicKey"], host["publicKey"]]);
    for recipients in [both.clone(), turned] {
        let again = wanted(&first, recipients);
        assert_eq!(site.plan(SEALED, &again), [""; 0]);
        assert_eq!(site.make(SEALED, &again), made);
    }

    let second = password(&site, 2);
    let wanted = |recipients| wanted(&second, recipients);
    assert_eq!(
        site.plan(SEALED, &wanted(both.clone())),
        ["/secrets/mastodon~1db"]
    );
    let followed = site.make(SEALED, &wanted(both.clone()));
    assert_eq!(open(&followed)["mastodon"]["db"], json!(value(&second)));
    let alone = json!([age["publicKey"]]);
    assert_eq!(site.plan(SEALED, &wanted(alone.clone())), ["/recipients"]);
    let narrowed = site.make(SEALED, &wanted(alone));
    let keys = |made: &Value| {
        let document: Value = serde_json::from_str(made["sops"].as_str().unwrap()).unwrap();
        document["sops"]["age"].as_array().unwrap().len()
    };
    assert_eq!((keys(&followed), keys(&narrowed)), (2, 1));

    // As files of age, and as one of sops again.
    let mut as_age = wanted(both);
    as_age["format"] = json!("age");
    assert_eq!(site.plan(SEALED, &as_age), ["/format", "/recipients"]);
    let files = site.make(SEALED, &as_age);
    assert_eq!(files["sops"], Value::Null);
    site.write("sealed.age", &files["files"]["mastodon/db"]);
    let opened = site.succeed("age", &["-d", "-i", path(&key), "sealed.age"]);
    assert_eq!(opened, value(&second));
}
