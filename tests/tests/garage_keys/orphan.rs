//! What carries our mark and is in no state: there are no outputs, and the inputs are
//! guessed, without the place of the secret. So `gc --orphans` asks for it.

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::killed_at;
use serde_json::{Value, json};

use crate::site::{Site, assert_refused, is_there, text, unique};

const KEY: &str = "garage_key";
const TOKEN: &str = "garage_admin_token";
const TENANT: &str = "garage_tenant";

/// Every name of a key or token that begins so.
fn left(site: &Site, name: &str) -> Vec<String> {
    let admin = site.admin();
    let all = admin.keys().into_iter().chain(admin.tokens());
    let names = all.map(|thing| text(&thing["name"]));
    names
        .filter(|full| full.starts_with(&format!("{name} [")))
        .collect()
}

fn remove(site: &Site, kind: &str, guess: &Value) -> Result<Value, String> {
    site.destroy(&site.record(kind, guess, &json!({})), "delete")
}

#[test]
fn its_secret_is_elsewhere() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    for (kind, more) in [(KEY, json!({})), (TOKEN, json!({"scope": ["ListKeys"]}))] {
        let name = unique("orphan");
        let mut guess = more.clone();
        guess["name"] = json!(name);
        let mut inputs = guess.clone();
        inputs["secretName"] = json!(format!("elsewhere/{name}"));
        site.make(kind, &inputs);
        remove(&site, kind, &guess).expect("it is deleted");
        assert_eq!(left(&site, &name), Vec::<String>::new(), "{kind}");
        // What isn't there is no error.
        remove(&site, kind, &guess).expect("it is gone");

        // Which of several nobody knows any more.
        inputs["generation"] = json!(1);
        inputs["secretName"] = json!(format!("elsewhere/{name}-2"));
        site.make(kind, &inputs);
        inputs["generation"] = json!(2);
        site.make(kind, &inputs);
        let words = ["2 ", &name, "secretName"];
        assert_refused(remove(&site, kind, &guess), "/secretName", &words);
        assert_eq!(left(&site, &name).len(), 2);
    }
}

/// The secret of one that had the name before stands where its own would.
#[test]
fn another_ones_secret_is_at_its_name() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let (name, renamed) = (unique("orphan"), unique("renamed"));
    let first = json!({"name": name});
    let made = site.make(KEY, &first);
    let other = json!({"name": renamed});
    let kept = site
        .update(&site.record(KEY, &first, &made), &other)
        .expect("it is renamed");
    let elsewhere = json!({"name": name, "secretName": format!("elsewhere/{name}")});
    site.make(KEY, &elsewhere);
    remove(&site, KEY, &first).expect("it is deleted");
    assert_eq!(left(&site, &name), Vec::<String>::new());
    assert_eq!(left(&site, &renamed).len(), 1);
    site.reveal(&kept["secret"]);
}

/// Made by halves, and then given up.
#[test]
fn half_a_tenant() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    for point in ["tenant:key", "tenant:bucket"] {
        let name = unique("orphan");
        let inputs = json!({"name": name, "secretName": format!("elsewhere/{name}")});
        let request = messages::create(TENANT, &site.inputs(&inputs), true);
        let _ended = killed_at(site.command(), point, 0, request.to_string());
        assert_eq!(left(&site, &name).len(), 1, "{point}");
        remove(&site, TENANT, &json!({"name": name})).expect("it is deleted");
        assert_eq!(left(&site, &name), Vec::<String>::new(), "{point}");
        assert_eq!(site.admin().bucket_called(&name), None, "{point}");
    }
}
