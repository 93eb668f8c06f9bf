//! One node, whose answers are spoiled or which is killed in the middle.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nixops4_resources_tests::garage::{Config, is_there};
use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::killed_at;
use nixops4_resources_tests::proxy::Fault;
use serde_json::json;

use super::site::{BUCKET, Site, faults, losses, sweep};

/// More often than anybody asks.
const ALWAYS: usize = 1000;

#[test]
fn what_is_not_known_is_not_absent() {
    if !is_there() {
        return;
    }
    let site = Site::start(&Config::default());
    let recorded = site.made(&site.bucket("recorded"));
    let _ = site.changes();
    for (what, fault) in faults() {
        site.proxy.fail("GET /v2/", ALWAYS, fault);
        let error = site
            .create(&site.bucket("unknown"))
            .expect_err("nobody knows whether it is there");
        assert_says_where(&error, what);
        let error = site
            .update(&recorded, &site.bucket("recorded"))
            .expect_err("nobody knows whether it is there");
        assert_says_where(&error, what);
        site.send(&messages::destroy(&recorded))
            .expect_err("nobody knows whether it is there");
        assert!(site.changes().is_empty(), "{what}: something was changed");
        site.proxy.heal();
    }
    site.assert_whole("recorded");
    // Once in a while it is only a moment.
    for (what, fault) in faults() {
        site.proxy.fail_later("GET /v2/", 1, 1, fault);
        let planned = site.create(&site.bucket("recorded"));
        assert!(planned.is_ok() || site.changes().is_empty(), "{what}");
        site.proxy.heal();
    }
    site.assert_whole("recorded");
}

fn assert_says_where(error: &str, what: &str) {
    assert!(
        error.starts_with("/connection/endpoint: "),
        "{what}: {error}"
    );
    assert!(error.contains("127.0.0.1"), "{what}: {error}");
}

#[test]
fn a_lost_answer_makes_nothing_twice() {
    if !is_there() {
        return;
    }
    let site = Site::start(&Config::default());
    let inputs = site.bucket("media");
    site.made(&inputs);
    let changes = site.changes();
    assert!(changes.len() > 3, "{changes:?}");
    site.clear();
    for change in changes {
        for (what, fault) in losses() {
            site.proxy.fail(&change, 1, fault);
            // It may get over it by itself.
            let first = site.create(&inputs);
            site.proxy.heal();
            if let Err(error) = &first {
                assert_says_where(error, what);
            }
            let recorded = site.made(&inputs);
            site.assert_whole("media");
            if let Ok(first) = first {
                assert_eq!(first, recorded, "{change} {what}");
            }
            site.clear();
        }
    }
}

#[test]
fn a_permission_is_not_lost() {
    if !is_there() {
        return;
    }
    let site = Site::start(&Config::default());
    let inputs = site.bucket("media");
    let recorded = site.made(&inputs);
    let mut other = inputs.clone();
    other.insert(
        "keys".to_owned(),
        json!([{"accessKeyId": site.key.id, "write": true, "owner": true}]),
    );
    let _ = site.changes();
    site.updated(&recorded, &other);
    let changes = site.changes();
    assert_eq!(changes.len(), 2, "{changes:?}");
    for change in changes {
        for (what, fault) in losses() {
            site.proxy.fail(&change, 1, fault);
            let back = site.update(&recorded, &inputs);
            site.proxy.heal();
            if let Err(error) = back {
                assert_says_where(&error, what);
                site.updated(&recorded, &inputs);
            }
            site.assert_whole("media");
            site.updated(&recorded, &other);
        }
    }
}

#[test]
fn the_node_is_restarted_in_the_middle_of_each_request() {
    if !is_there() {
        return;
    }
    disturbed_at_each_change(|site, after| {
        let node = Arc::clone(site.cluster.node());
        let restart = move || {
            thread::sleep(after);
            node.kill();
            node.start_again();
        };
        Fault::Meanwhile(Box::new(restart))
    });
}

/// Garage gives up what nobody waits for any more.
#[test]
fn the_client_leaves_in_the_middle_of_each_request() {
    if !is_there() {
        return;
    }
    disturbed_at_each_change(|_, after| Fault::CutDuring(after));
}

/// Has a bucket made once for each change that this takes and each moment of it,
/// which is disturbed; in the end it is there, and nothing else.
fn disturbed_at_each_change(fault: impl Fn(&Site, Duration) -> Fault) {
    let site = Site::start(&Config::default());
    let inputs = site.bucket("media");
    site.made(&inputs);
    let changes = site.changes();
    site.clear();
    for (change, after) in sweep(changes) {
        site.proxy.fail(&change, 1, fault(&site, after));
        if let Err(error) = site.create(&inputs) {
            assert_says_where(&error, &change);
            site.made(&inputs);
        }
        site.remove_what_was_begun(&change);
        site.assert_whole("media");
        site.clear();
    }
}

#[test]
fn killed_after_the_key_that_stands_for_the_owner_was_made() {
    if !is_there() {
        return;
    }
    let site = Site::start(&Config::default());
    let inputs = site.bucket("media");
    let request = messages::create(BUCKET, &inputs, true).to_string();
    let _ended = killed_at(site.command(), "bucket:stand-in", 0, request);
    site.assert_none_but(&[]);
    let keys = site.admin().keys().len();
    site.made(&inputs);
    site.assert_whole("media");
    // It is made once.
    assert_eq!(site.admin().keys().len(), keys);
}
