//! `emptyOnDelete`

use std::time::Duration;

use nixops4_resources_tests::garage::admin::Key;
use nixops4_resources_tests::lifeline::Signal;
use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::{Provider, killed_at, oneshot};
use serde_json::{Value, json};

use crate::site::{BUCKET, Site};

/// Names that a list in XML, or an address, can't have.
const ODD: [&str; 8] = [
    "a/../b",
    "./c",
    "..",
    "line\r\nfeed",
    "\u{1}",
    "one+one & <two>",
    " spaces ",
    "ü/ö//",
];

/// A bucket with objects in it, and the key of its application.
struct Full {
    site: Site,
    key: Key,
    recorded: Value,
}

impl Full {
    fn new(objects: usize, more: &Value) -> Option<Self> {
        let site = Site::start()?;
        let key = site.admin().make_key("app");
        let keys = json!([{"accessKeyId": key.id, "read": true, "write": true}]);
        let mut more = more.clone();
        more["keys"] = keys;
        let recorded = site.made(&site.bucket("media", &more));
        let full = Self {
            site,
            key,
            recorded,
        };
        full.fill(objects);
        Some(full)
    }

    fn fill(&self, objects: usize) {
        const THREADS: usize = 4;
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    let client = self.site.client("media", &self.key);
                    for number in (thread..objects).step_by(THREADS) {
                        client.put(&format!("media/{number}"), b"42").unwrap();
                    }
                });
            }
        });
    }

    fn inputs(&self) -> messages::Object {
        messages::object(self.recorded["inputProperties"].clone())
    }

    fn is_there(&self) -> bool {
        self.site.admin().bucket_called("media").is_some()
    }

    /// Panics if a key is left that was made for emptying.
    fn assert_no_key_left(&self) {
        for key in self.site.admin().keys() {
            let name = key["name"].as_str().expect("a name");
            assert!(!name.contains("empties"), "{name}");
        }
    }

    fn assert_gone(&self) {
        assert!(!self.is_there());
        self.assert_no_key_left();
        assert_eq!(self.site.admin().keys_called("app").len(), 1);
    }
}

#[test]
fn what_is_not_to_be_emptied_stays() {
    let Some(full) = Full::new(3, &json!({})) else {
        return;
    };
    let error = full.site.destroy(&full.recorded).unwrap_err();
    for part in [
        "/deletionPolicy: bucket \"media\" is not deleted",
        "hint: ",
        "emptyOnDelete = true",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let client = full.site.client("media", &full.key);
    assert_eq!(client.list().unwrap().len(), 3);

    for object in client.list().unwrap() {
        client.delete(&object).unwrap();
    }
    // Garage would delete it, and keep the part for ever.
    client.begin_upload("half").unwrap();
    let error = full.site.destroy(&full.recorded).unwrap_err();
    assert!(error.contains("1 unfinished uploads"), "{error}");
    assert!(full.is_there());
}

#[test]
fn everything_goes_in_pages() {
    let Some(full) = Full::new(1100, &json!({"emptyOnDelete": true})) else {
        return;
    };
    let client = full.site.client("media", &full.key);
    client.begin_upload("half").unwrap();
    // How far it is is told to everybody.
    let mut command = full.site.command();
    command.env_remove("NIXOPS4_RESOURCES_LOG");
    let request = messages::destroy(&full.recorded);
    let (answer, log) = full.site.ask_by(command, &request);
    answer.unwrap();
    for page in ["1000 of about 1100", "1100 of about 1100"] {
        assert!(log.contains(page), "{page} in {log}");
    }
    full.assert_gone();
    // Again: nothing is there.
    full.site.destroy(&full.recorded).unwrap();
}

#[test]
fn objects_with_odd_names() {
    let Some(full) = Full::new(0, &json!({"emptyOnDelete": true})) else {
        return;
    };
    let client = full.site.client("media", &full.key);
    for name in ODD {
        // Some can't be written through an address; a copy of one can be named so.
        let written = client.put(name, b"odd");
        let listed = client.list().unwrap();
        assert!(
            written.is_err() || listed.iter().any(|key| key == name) || name.contains('.'),
            "{name:?}: {listed:?}"
        );
    }
    assert!(client.list().unwrap().len() >= 5);
    full.site.destroy(&full.recorded).unwrap();
    full.assert_gone();
}

#[test]
fn killed_anywhere_it_goes_on() {
    let Some(full) = Full::new(0, &json!({"emptyOnDelete": true})) else {
        return;
    };
    for point in [
        "bucket:closed",
        "bucket:key-made",
        "bucket:page-deleted",
        "bucket:emptied",
        "engine:deleted",
    ] {
        let recorded = full.site.made(&full.inputs());
        let request = messages::destroy(&recorded);
        full.fill(3);
        let command = full.site.command();
        full.site
            .heard(killed_at(command, point, 0, request.to_string()));
        full.site.destroy(&recorded).unwrap();
        full.assert_gone();
    }
}

/// A person gives up: the page is finished, the key goes, and the rest is there.
#[test]
fn interrupted_it_stops_and_goes_on() {
    let Some(full) = Full::new(1010, &json!({"emptyOnDelete": true})) else {
        return;
    };
    let mut command = full.site.command();
    command.env("FAILPOINTS", "bucket:page-deleted=1*sleep(2000)");
    let mut provider = Provider::spawn(command);
    let request = messages::destroy(&full.recorded);
    provider.send(request.to_string());
    let deleted = || full.site.admin().bucket_called("media").unwrap()["objects"] == 10;
    for _ in 0..600 {
        if deleted() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    provider.signal(Signal::INT);
    let line = provider.answer();
    let error = messages::answer(&request, &line).unwrap_err();
    assert!(error.contains("interrupted"), "{error}");
    let _ended = provider.finish();
    assert!(full.is_there());
    full.assert_no_key_left();
    let log = full.site.destroy(&full.recorded).unwrap();
    assert!(log.contains("10 of about 10"), "{log}");
    full.assert_gone();
}

#[test]
fn nobody_writes_meanwhile() {
    let Some(full) = Full::new(3, &json!({"emptyOnDelete": true})) else {
        return;
    };
    let request = messages::destroy(&full.recorded).to_string();
    let _ended = killed_at(full.site.command(), "bucket:page-deleted", 0, request);
    let refused = full.site.client("media", &full.key).put("late", b"42");
    assert_eq!(refused.unwrap_err().status, 403);
    // And declared again it is as it was, but for what was in it.
    full.site.made(&full.inputs());
    full.fill(1);
    full.site.destroy(&full.recorded).unwrap();
    full.assert_gone();
}

#[test]
fn without_an_address_of_s3() {
    let Some(site) = Site::start() else {
        return;
    };
    let mut inputs = site.bucket("media", &json!({"emptyOnDelete": true}));
    messages::set(&mut inputs, "/connection/s3Endpoint", Value::Null);
    let (answer, _) = site.ask(&messages::create(BUCKET, &inputs, true));
    let error = answer.unwrap_err();
    assert!(error.starts_with("/connection/s3Endpoint: "), "{error}");
    assert!(error.contains("hint: set connection.s3Endpoint"), "{error}");

    // A wrong one is noticed when it is needed; nothing is lost.
    for (wrong, part) in [
        ("http://127.0.0.1:1".to_owned(), "unable to reach"),
        (
            site.cluster.node().admin_url(),
            "this is the address of Garage's S3 API",
        ),
    ] {
        messages::set(&mut inputs, "/connection/s3Endpoint", json!(wrong));
        let recorded = site.made(&inputs);
        let id = recorded["outputProperties"]["id"].as_str().expect("an id");
        let key = site.admin().make_key("hand");
        site.admin().permit(id, &key.id, "rw");
        site.client("media", &key).put("kept", b"42").unwrap();
        let mut command = site.command();
        command.env("NIXOPS4_RESOURCES_TIMEOUT", "5");
        let request = messages::destroy(&recorded);
        let output = site.heard(oneshot(command, [request.to_string()]));
        let line = String::from_utf8_lossy(&output.stdout);
        let error = messages::answer(&request, line.trim_end()).unwrap_err();
        assert!(error.starts_with("/connection/s3Endpoint: "), "{error}");
        assert!(error.contains(part), "{error}");
        site.admin().permit(id, &key.id, "rw");
        assert_eq!(site.client("media", &key).get("kept").unwrap(), b"42");
    }
}

#[test]
fn what_is_somebody_elses_is_not_emptied() {
    let Some(full) = Full::new(2, &json!({"emptyOnDelete": true})) else {
        return;
    };
    let mut other = full.recorded.clone();
    other["inputProperties"]["owner"] = json!("somebody-else");
    let error = full.site.destroy(&other).unwrap_err();
    assert!(error.contains("is not destroyed"), "{error}");
    let client = full.site.client("media", &full.key);
    assert_eq!(client.list().unwrap().len(), 2);
}
