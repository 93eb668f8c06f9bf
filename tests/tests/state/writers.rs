//! Several writers of one state, and one that is killed.

use std::time::{Duration, Instant};

use nixops4_resources_tests::messages::{self, object};
use nixops4_resources_tests::provider::{Provider, killed_at, oneshot};
use serde_json::{Value, json};

use super::{FILE, Site, Writer, add};

#[test]
fn writers_that_overlap() {
    Site::each().iter().for_each(overlapping);
}

fn overlapping(site: &Site) {
    site.create();
    let parent = add(
        "/deployments/mail",
        json!({"resources": {}, "deployments": {}}),
    );
    site.send(&site.event(&parent)).expect("it is written");
    // (what ann writes, what ben then writes)
    for (first, second) in [
        // the same place
        ("/resources/a", "/resources/a"),
        // what is above: upstream adds a new composite whole
        ("/deployments/mail/resources/a", "/deployments/mail"),
        // what is below
        ("/deployments/mail", "/deployments/mail/resources"),
        ("/resources/b", ""),
        ("", "/resources/c"),
    ] {
        let (mut ann, mut ben) = (Writer::new(site, "ann"), Writer::new(site, "ben"));
        let before = ann.read();
        assert_eq!(ben.read(), before);
        let value = |path: &str| match path {
            "" => json!({
                "_type": "nixopsState",
                "resources": {},
                "deployments": {"mail": {"resources": {}, "deployments": {}}},
            }),
            _ => json!({"resources": {}, "deployments": {}}),
        };
        ann.append(&add(first, value(first)))
            .expect("nobody was quicker");
        let refused = |ben: &mut Writer<'_>| {
            let before = site.read();
            let error = ben.append(&add(second, value(second)));
            let error = error.expect_err("ann was quicker");
            assert!(error.contains("changed by ann@"), "{error}");
            let time = error.split(" at ").nth(1).expect("a time");
            let year: u32 = time[..4].parse().expect("a year");
            assert!(year >= 2025, "{error}");
            assert!(error.contains(&format!("{first} ")), "{error}");
            assert!(error.contains(&format!("(we: {second})")), "{error}");
            assert!(error.contains("\nhint: somebody else applies"), "{error}");
            assert_eq!(site.read(), before, "nothing was written");
        };
        refused(&mut ben);
        // Asking again doesn't help, nor does a change elsewhere in between.
        refused(&mut ben);
        if !first.is_empty() {
            let elsewhere = add("/resources/elsewhere", json!({}));
            ben.append(&elsewhere).expect("nobody is in the way");
        }
        refused(&mut ben);
        let after = site.read();
        // After reading again it is known.
        assert_eq!(ben.read(), after);
        ben.append(&add("/resources/ben", json!({})))
            .expect("ben knows");
    }
}

#[test]
fn writers_that_do_not_overlap() {
    Site::each().iter().for_each(apart);
}

fn apart(site: &Site) {
    site.create();
    let (mut ann, mut ben) = (Writer::new(site, "ann"), Writer::new(site, "ben"));
    let known = ann.read();
    assert_eq!(ben.read(), known);
    for number in 0..20 {
        for (writer, name) in [(&mut ann, "ann"), (&mut ben, "ben")] {
            let place = format!("/resources/{name}-{number}");
            writer
                .append(&add(&place, json!({})))
                .expect("nobody is in the way");
        }
    }
    // `a` and `ab` are two.
    ann.append(&add("/resources/a", json!({})))
        .expect("nobody is in the way");
    ben.append(&add("/resources/ab", json!({})))
        .expect("nobody is in the way");
    // Ann's own events are no news to her.
    ann.append(&json!([{"op": "remove", "path": "/resources/a"}]))
        .expect("it is hers");
    let state = site.read();
    assert_eq!(state["resources"].as_object().expect("resources").len(), 41);
    assert_eq!(ann.read(), state);

    // Eight at once, each a process with one event, as upstream's resources end.
    let running: Vec<_> = (0..8)
        .map(|number| {
            let mut provider = Provider::spawn(site.command());
            let patch = add(&format!("/resources/at-once-{number}"), json!({}));
            provider.send(site.event(&patch).to_string());
            provider
        })
        .collect();
    for mut provider in running {
        let request = site.event(&json!([]));
        messages::answer(&request, &provider.answer()).expect("it is written");
    }
    assert_eq!(
        site.read()["resources"]
            .as_object()
            .expect("resources")
            .len(),
        49
    );
}

#[test]
fn killed_at_each_failpoint() {
    Site::each().iter().for_each(killed);
}

fn killed(site: &Site) {
    site.create();
    let passed = {
        let mut command = site.command();
        command
            .env("NIXOPS4_RESOURCES_LOG", "trace")
            .env("NIXOPS4_RESOURCES_LOG_FORMAT", "json");
        let event = site.event(&add("/resources/traced", json!({})));
        let output = oneshot(command, [event.to_string()]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let events = stderr
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let events = events.filter(|event| event["target"] == "failpoint");
        events
            .map(|event| {
                event["fields"]["message"]
                    .as_str()
                    .expect("a name")
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert!(passed.len() >= 3, "{passed:?}");
    let mut written = vec!["traced".to_owned()];
    for (number, point) in passed.iter().enumerate() {
        let name = format!("killed-{number}");
        let event = site.event(&add(&format!("/resources/{name}"), json!({})));
        let _ended = killed_at(site.command(), point, 0, event.to_string());
        // Either all of it was written or nothing, and it can be sent again.
        let state = site.read();
        let names: Vec<_> = state["resources"]
            .as_object()
            .expect("resources")
            .keys()
            .collect();
        let is_there = names.contains(&&name);
        assert_eq!(
            names.len(),
            written.len() + usize::from(is_there),
            "{point}"
        );
        // A file holds it as soon as it is written.
        let from = match site.kind {
            "state_file" => &["state:inserted", "state:committed"][..],
            _ => &["state:committed"],
        };
        assert_eq!(is_there, from.contains(&point.as_str()), "{point}");
        site.send(&event)
            .unwrap_or_else(|error| panic!("{point}: {error}"));
        written.push(name);
    }
    let names = site.read()["resources"]
        .as_object()
        .expect("resources")
        .len();
    assert_eq!(names, written.len());
}

#[test]
fn somebody_writes_for_long() {
    let site = Site::new();
    site.create();
    let mut command = site.command();
    command
        .env("FAILPOINTS", "state:inserted=1*sleep(1500)")
        .env("NIXOPS4_RESOURCES_LOG", "trace");
    let mut slow = Provider::spawn(command);
    let event = site.event(&add("/resources/slow", json!({})));
    slow.send(event.to_string());
    let begun = Instant::now();
    while !String::from_utf8_lossy(&slow.stderr()).contains("state:inserted") {
        assert!(begun.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(5));
    }
    // A reader doesn't wait and sees what is committed; a writer waits.
    let begun = Instant::now();
    assert_eq!(site.read()["resources"], json!({}));
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let quick = site.event(&add("/resources/quick", json!({})));
    site.send(&quick).expect("it waited");
    messages::answer(&event, &slow.answer()).expect("it is written");
    assert_eq!(site.read()["resources"], json!({"slow": {}, "quick": {}}));
}

#[test]
fn two_deployments_in_one_file() {
    let site = Site::new();
    let mut other = object(json!({"deployment": "other", "path": FILE}));
    site.create();
    let request = messages::create(site.kind, &other, false);
    site.send(&request).expect("there is room");
    let resource = messages::resource(site.kind, &other, None);
    let event = messages::state_event(&resource, "create", &add("/resources/theirs", json!({})));
    let ours = site.event(&add("/resources/ours", json!({})));
    for event in [&event, &ours] {
        site.send(event).expect("they are not in each other's way");
    }
    assert_eq!(site.read()["resources"], json!({"ours": {}}));
    let theirs = site
        .send(&messages::read_state(&resource))
        .expect("the state");
    assert_eq!(theirs["state"]["resources"], json!({"theirs": {}}));
    // A deployment that nobody has made is not made by reading it.
    other.insert("deployment".to_owned(), json!("third"));
    let resource = messages::resource(site.kind, &other, None);
    let error = site
        .send(&messages::read_state(&resource))
        .expect_err("there is none");
    assert!(error.starts_with("/deployment: "), "{error}");
    assert!(error.contains("\"third\""), "{error}");
    assert!(error.contains("\nhint: apply first"), "{error}");
    let event = messages::state_event(&resource, "create", &add("/resources/a", json!({})));
    site.send(&event).expect_err("there is none");
    // What is wrong in the inputs is named.
    for (name, value) in [
        ("deployment", json!("two words")),
        ("path", Value::Null),
        ("more", json!(1)),
    ] {
        let mut wrong = site.inputs.clone();
        wrong.insert(name.to_owned(), value);
        let error = site
            .send(&messages::create(site.kind, &wrong, false))
            .expect_err("it is wrong");
        assert!(error.starts_with(&format!("/{name}: ")), "{error}");
    }
}
