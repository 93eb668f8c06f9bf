//! A store that somebody put in the place of another is refused by whoever reads it;
//! nobody gets the forger's values.

use std::fs;
use std::path::PathBuf;

use nixops4_resources_tests::messages::{self, object};
use nixops4_resources_tests::provider::oneshot;
use nixops4_secrets_store::{Identities, NewSecret, SecretString, Store};
use serde_json::{Value, json};

use crate::Site;

const PASSWORD: &str = "secrets_password";
const HASH: &str = "secrets_password_hash";
const FORGED: &str = "forged-by-mallory";

impl Site {
    /// Asks on a machine that knows what is in that file; gives stderr as well.
    fn ask_on(&self, known: &str, request: &Value) -> (Result<Value, String>, String) {
        let mut command = self.command();
        command.env(
            "NIXOPS4_SECRETS_KNOWN_STORES",
            self.sandbox.work().join(known),
        );
        let output = oneshot(command, [request.to_string()]);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (messages::answer(request, stdout.trim_end()), stderr)
    }

    /// A store with the same secrets, made by somebody who knows public keys alone.
    fn forge(&self) -> PathBuf {
        let forger = Identities::generate(self.sandbox.work().join("forger.age"));
        let forger = forger.expect("an identity");
        let victim = Identities::from_file(&self.identity).expect("an identity");
        let path = self.sandbox.work().join("forged.db");
        self.runtime.block_on(async {
            let url = format!("sqlite:{}", path.display());
            let store = Store::open_or_create(&url.parse().expect("a URL"), &forger).await;
            let mut store = store.expect("a store");
            let new = NewSecret::new("lifetime", PASSWORD);
            let name = "db".parse().expect("a name");
            let first = 1.try_into().expect("a generation");
            let made = store.ensure(&name, first, &new, || SecretString::from(FORGED));
            made.await.expect("it is made");
            let added = store.add_recipient(&victim.recipients()[0]).await;
            assert!(added.expect("it is added"));
            store.close().await.expect("it is closed");
        });
        path
    }
}

/// Somebody who uses the password, a plan of that, and the declaration of it, as it
/// is recorded.
fn requests(secret: &Value) -> [(Value, &'static str); 4] {
    let hash = Site::inputs(&json!({
        "name": "hash", "secret": secret, "algorithm": "sha512crypt",
    }));
    let inputs = Site::inputs(&json!({"name": "db"}));
    let outputs = object(json!({"secret": secret, "previous": null}));
    let recorded = messages::resource(PASSWORD, &inputs, Some(&outputs));
    [
        (messages::create(HASH, &hash, true), "/"),
        (
            messages::plan(PASSWORD, &inputs, &[], Some(&recorded)),
            "/store: ",
        ),
        (messages::update(&recorded, &inputs), "/store: "),
        (messages::destroy(&recorded), ""),
    ]
}

#[test]
fn a_forged_store_is_refused() {
    let it = Site::new();
    let made = it.make(PASSWORD, &json!({"name": "db"}));
    let value = it.reveal(&made["secret"]).expect("a value");
    let genuine = fs::read(&it.store).expect("the store");
    fs::copy(it.forge(), &it.store).expect("it is put in its place");
    for (request, pointer) in requests(&made["secret"]) {
        // By who has seen it, and by who was told of it by the reference alone.
        let here = it.ask(&request).expect_err("it is forged");
        assert!(here.contains("is not the one that is known here"), "{here}");
        assert!(here.contains("nixops4-resources secret trust"), "{here}");
        let there = it.ask_on("no-file-yet", &request);
        let there = there.0.expect_err("it is forged");
        assert!(
            there.contains("is not the one that the reference was made in")
                || (request["createResourceRequest"].is_object()
                    && there.contains("/secret/store")),
            "{there}"
        );
        for error in [here, there] {
            assert!(error.starts_with(pointer), "not {pointer}: {error}");
            assert!(
                !error.contains(FORGED) && !error.contains(&value),
                "{error}"
            );
        }
    }
    fs::write(&it.store, genuine).expect("it is put back");
    assert_eq!(it.make(PASSWORD, &json!({"name": "db"})), made);
}

#[test]
fn the_first_use_is_said_unless_a_reference_tells_which_store_it_is() {
    let it = Site::new();
    let made = it.make(PASSWORD, &json!({"name": "db"}));
    let key = made["secret"]["storeKey"].as_str().expect("a key");
    assert!(key.starts_with("SHA256:"), "{made}");
    let [(hash, _), (plan, _), ..] = requests(&made["secret"]);
    let (answer, log) = it.ask_on("told", &plan);
    assert_eq!(answer.expect("a plan")["action"], "none");
    assert!(!log.contains("first time"), "{log}");

    let new = messages::plan(PASSWORD, &Site::inputs(&json!({"name": "db"})), &[], None);
    let (answer, log) = it.ask_on("new", &new);
    answer.expect("a plan");
    assert_eq!(
        log.matches("opened for the first time here").count(),
        1,
        "{log}"
    );
    assert!(log.contains(key) && log.contains("secret trust"), "{log}");
    let (answer, log) = it.ask_on("new", &hash);
    answer.expect("a hash");
    assert!(!log.contains("first time"), "{log}");
    // Where nothing can be noted, it is said each time, and works.
    for _ in 0..2 {
        let (answer, log) = it.ask_on("no-folder/known", &new);
        answer.expect("a plan");
        assert!(log.contains("unable to note in"), "{log}");
        assert!(log.contains("NIXOPS4_SECRETS_KNOWN_STORES"), "{log}");
    }
}

#[test]
fn references_of_before_are_read_and_mean_the_same() {
    let it = Site::new();
    let made = it.make(PASSWORD, &json!({"name": "db"}));
    let mut before = made["secret"].clone();
    let fields = before.as_object_mut().expect("a reference");
    fields.remove("storeKey").expect("it has one");
    let wanted =
        |secret: &Value| json!({"name": "hash", "secret": secret, "algorithm": "sha512crypt"});
    let hash = it.make(HASH, &wanted(&before));
    // Only in place, and nothing is hashed anew.
    for now in [&made["secret"], &before] {
        let recorded = Site::inputs(&wanted(&before));
        let recorded = messages::resource(HASH, &recorded, Some(&object(hash.clone())));
        let inputs = Site::inputs(&wanted(now));
        let plan = messages::plan(HASH, &inputs, &[], Some(&recorded));
        let plan = it.ask(&plan).expect("a plan");
        assert_eq!(plan["action"], "none", "{plan}");
        let mut updated = it
            .ask(&messages::update(&recorded, &inputs))
            .expect("it is as it was");
        assert_eq!(updated["outputProperties"].take(), hash);
    }
    // The declaration of what was recorded like that.
    let inputs = Site::inputs(&json!({"name": "db"}));
    let outputs = object(json!({"secret": before, "previous": null}));
    let recorded = messages::resource(PASSWORD, &inputs, Some(&outputs));
    let plan = it.ask(&messages::plan(PASSWORD, &inputs, &[], Some(&recorded)));
    assert_eq!(plan.expect("a plan")["action"], "none");
    let mut updated = it.ask(&messages::update(&recorded, &inputs)).expect("it");
    assert_eq!(updated["outputProperties"].take(), made);
}
