//! Three nodes, of which some are dead or don't answer.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nixops4_resources_tests::garage::{Config, Node, is_there};
use nixops4_resources_tests::messages;
use nixops4_resources_tests::proxy::Fault;
use serde_json::json;

use super::site::Site;

/// When Garage has looked at the token of a request, and does what it asks for.
const INTO: Duration = Duration::from_millis(20);

fn three() -> Site {
    Site::start(&Config {
        nodes: 3,
        rpc_timeout: Duration::from_secs(2),
    })
}

/// The beginning of a node's id, as `garage status` shows it.
fn short(node: &Node) -> &str {
    &node.id()[..16]
}

#[test]
fn all_changes_go_to_one_node() {
    if !is_there() {
        return;
    }
    let site = three();
    let inputs = site.bucket("media");
    let recorded = site.made(&inputs);
    site.updated(&recorded, &inputs);
    assert!(site.changes().len() > 3);
    for other in &site.cluster.nodes()[1..] {
        assert!(!other.log().contains(" /v2/CreateBucket"));
        assert!(!other.log().contains(" /v2/AddBucketAlias"));
    }
    // Each of them knows it.
    for index in 0..3 {
        let admin = site.cluster.admin_of(index);
        assert!(admin.bucket_called("media").is_some(), "{index}");
    }
}

#[test]
fn the_death_of_one_node_is_borne() {
    if !is_there() {
        return;
    }
    let site = three();
    let recorded = site.made(&site.bucket("before"));
    site.cluster.nodes()[2].kill();
    site.made(&site.bucket("after"));
    site.updated(&recorded, &site.bucket("before"));
    site.cluster.nodes()[2].start_again();
    site.cluster.wait_until_healthy();
    // The one that was away has heard of it as well, by and by.
    let begun = Instant::now();
    let late = site.cluster.admin_of(2);
    while late.bucket_called("after").is_none() {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never hears");
    }
    site.assert_none_but(&["before", "after"]);
}

#[test]
fn without_a_quorum_nothing_is_made_and_it_says_who_is_missing() {
    if !is_there() {
        return;
    }
    let site = three();
    let inputs = site.bucket("kept");
    let recorded = site.made(&inputs);
    let [_, second, third] = site.cluster.nodes() else {
        panic!("there are three");
    };
    for node in [second, third] {
        node.kill();
    }
    let _ = site.changes();
    let errors = [
        site.create(&site.bucket("new")).map(drop),
        site.create(&inputs).map(drop),
        site.update(&recorded, &inputs).map(drop),
    ];
    for error in errors {
        let error = error.expect_err("one of three is too few");
        assert!(error.starts_with("/connection/endpoint: "), "{error}");
        for node in [second, third] {
            assert!(error.contains(short(node)), "{error}");
        }
        assert!(!error.contains(short(site.cluster.node())), "{error}");
        assert!(error.contains("\nhint: "), "{error}");
    }
    assert!(site.changes().is_empty(), "something was changed");

    for node in [second, third] {
        node.start_again();
    }
    site.cluster.wait_until_healthy();
    site.assert_whole("kept");
    site.made(&site.bucket("new"));
    site.assert_none_but(&["kept", "new"]);
}

#[test]
fn a_quorum_that_is_lost_in_the_middle() {
    if !is_there() {
        return;
    }
    let site = three();
    let inputs = site.bucket("media");
    site.made(&inputs);
    let changes = site.changes();
    site.clear();
    for change in changes {
        let others: Vec<_> = site.cluster.nodes()[1..].iter().map(Arc::clone).collect();
        let dying = others.clone();
        let die = move || {
            thread::sleep(INTO);
            for node in &dying {
                node.kill();
            }
        };
        site.proxy.fail(&change, 1, Fault::Meanwhile(Box::new(die)));
        // Done before they died, or not: the rest can't be.
        let first = site.create(&inputs);
        // Where everything is slow, it may have given up before that.
        site.proxy.heal();
        for node in others {
            node.kill();
            node.start_again();
        }
        site.cluster.wait_until_healthy();
        if let Err(error) = &first {
            assert!(error.starts_with("/connection/endpoint: "), "{error}");
        }
        site.made(&inputs);
        site.remove_what_was_begun(&change);
        site.assert_whole("media");
        site.clear();
    }
}

#[test]
fn nodes_that_hang_are_not_waited_for_for_ever() {
    if !is_there() {
        return;
    }
    let site = three();
    let inputs = site.bucket("kept");
    let recorded = site.made(&inputs);
    let others = &site.cluster.nodes()[1..];
    for node in others {
        node.pause();
    }
    let begun = Instant::now();
    let error = site
        .update(&recorded, &inputs)
        .expect_err("one of three is too few");
    assert!(begun.elapsed() < Duration::from_secs(40), "{error}");
    assert!(error.starts_with("/connection/endpoint: "), "{error}");
    for node in others {
        node.resume();
    }
    site.cluster.wait_until_healthy();
    site.updated(&recorded, &inputs);
    site.assert_whole("kept");
}

#[test]
fn the_node_that_is_asked_is_restarted_in_the_middle() {
    if !is_there() {
        return;
    }
    let site = three();
    let inputs = site.bucket("media");
    site.made(&inputs);
    let changes = site.changes();
    site.clear();
    for change in changes {
        let node = Arc::clone(site.cluster.node());
        let restart = move || {
            node.kill();
            node.start_again();
        };
        site.proxy
            .fail(&change, 1, Fault::Meanwhile(Box::new(restart)));
        if let Err(error) = site.create(&inputs) {
            assert!(error.starts_with("/connection/endpoint: "), "{error}");
            site.cluster.wait_until_healthy();
            site.made(&inputs);
        }
        site.cluster.wait_until_healthy();
        site.remove_what_was_begun(&change);
        site.assert_whole("media");
        site.clear();
    }
}

#[test]
fn a_cluster_is_known_through_any_of_its_nodes_and_no_other() {
    if !is_there() {
        return;
    }
    let site = three();
    let inputs = site.bucket("media");
    let recorded = site.made(&inputs);
    // Another node of it, and a node of another one.
    let other = Site::start(&Config::default());
    other.made(&other.bucket("media"));
    let at = |url: String| {
        let mut inputs = inputs.clone();
        inputs["connection"]["endpoint"] = json!(url);
        let mut recorded = recorded.clone();
        recorded["inputProperties"]["connection"]["endpoint"] = json!(url);
        (recorded, inputs)
    };
    let (recorded, inputs) = at(site.cluster.nodes()[1].admin_url());
    site.updated(&recorded, &inputs);
    let (mut recorded, mut inputs) = at(other.proxy.url());
    // With the wrong token it would be refused for that alone.
    inputs["connection"] = other.connection();
    recorded["inputProperties"]["connection"] = other.connection();
    let _ = other.changes();
    for error in [
        other.update(&recorded, &inputs),
        other.send(&messages::destroy(&recorded)),
    ] {
        let error = error.expect_err("it is another cluster");
        assert!(error.starts_with("/connection/endpoint: "), "{error}");
        assert!(error.contains("is another one than"), "{error}");
        assert!(error.contains(short(site.cluster.node())), "{error}");
        assert!(error.contains("\nhint: "), "{error}");
    }
    assert!(other.changes().is_empty(), "something was changed");
}
