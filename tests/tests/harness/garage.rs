//! Garage: it starts, is looked at without us, dies and comes back.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nixops4_resources_tests::garage::admin::Admin;
use nixops4_resources_tests::garage::s3::{Client, page, preflight};
use nixops4_resources_tests::garage::{Cluster, Config, Node, is_there};
use serde_json::json;

use super::is_gone;

#[test]
fn a_node_is_administered_by_requests_and_by_its_command() {
    if !is_there() {
        return;
    }
    let cluster = Cluster::start(&Config::default());
    let (node, admin) = (cluster.node(), cluster.admin());
    assert_eq!(node.id().len(), 64);
    let bucket = admin.make_bucket("media");
    let listed = node.run(&["bucket", "list"]);
    assert!(listed.contains("media"), "{listed}");
    node.run(&["bucket", "create", "by-hand"]);
    let by_hand = admin.bucket_called("by-hand").expect("it was made");
    assert_eq!(admin.buckets().len(), 2);

    let key = admin.make_key("app");
    assert_eq!(admin.keys_called("app").len(), 1);
    let info = admin.key(&key.id).expect("it was made");
    assert_eq!(info["secretAccessKey"], key.secret);
    admin.permit(&bucket, &key.id, "rw");
    assert_eq!(admin.permissions(&bucket, &key.id), "rw");
    admin.permit(&bucket, &key.id, "o");
    assert_eq!(admin.permissions(&bucket, &key.id), "o");
    assert!(admin.tokens().is_empty());

    let id = by_hand["id"].as_str().expect("an id");
    admin.post("DeleteBucket", &[("id", id)], &json!({}));
    assert!(admin.bucket(id).is_none() && admin.bucket_called("by-hand").is_none());
    let refused = admin
        .try_post("CreateBucket", &[], &json!({"globalAlias": "media"}))
        .expect_err("it is taken");
    assert_eq!(
        (refused.status, &*refused.code),
        (409, "BucketAlreadyExists")
    );
    let nobody = Admin::new(&node.admin_url(), "wrong");
    let refused = nobody
        .try_get("ListBuckets", &[])
        .expect_err("no such token");
    assert_eq!((refused.status, &*refused.code), (403, "AccessDenied"));
}

#[test]
fn s3_obeys_permissions_and_quotas() {
    if !is_there() {
        return;
    }
    let cluster = Cluster::start(&Config::default());
    let admin = cluster.admin();
    let bucket = admin.make_bucket("media");
    let [writer, reader, stranger] = ["writer", "reader", "stranger"].map(|name| {
        let key = admin.make_key(name);
        let client = Client::new(&cluster.node().s3_url(), "media", &key);
        (key, client)
    });
    admin.permit(&bucket, &writer.0.id, "w");
    admin.permit(&bucket, &reader.0.id, "r");

    assert_eq!(writer.1.put("a/é b.txt", b"one"), Ok(()));
    assert_eq!(reader.1.get("a/é b.txt").as_deref(), Ok(&b"one"[..]));
    assert_eq!(reader.1.list(), Ok(vec!["a/é b.txt".to_owned()]));
    let refusals = [
        writer.1.get("a/é b.txt").err(),
        reader.1.put("b", b"two").err(),
        reader.1.delete("a/é b.txt").err(),
        stranger.1.list().err(),
    ];
    for refusal in refusals {
        let refusal = refusal.expect("it is not permitted");
        assert_eq!((refusal.status, &*refusal.code), (403, "AccessDenied"));
    }

    admin.update_bucket(
        &bucket,
        &json!({"quotas": {"maxObjects": 2, "maxSize": null}}),
    );
    assert_eq!(writer.1.put("b", b"two"), Ok(()));
    let full = writer.1.put("c", b"three").expect_err("there are two");
    assert!(full.message.contains("Object quota is reached"), "{full}");
    admin.update_bucket(
        &bucket,
        &json!({"quotas": {"maxObjects": null, "maxSize": 10}}),
    );
    let full = writer.1.put("c", &[0; 100]).expect_err("it is too much");
    assert!(full.message.contains("size quota is reached"), "{full}");

    assert_eq!(writer.1.delete("b"), Ok(()));
    assert_eq!(reader.1.list(), Ok(vec!["a/é b.txt".to_owned()]));
    let info = admin.bucket(&bucket).expect("it is there");
    assert_eq!((&info["objects"], &info["bytes"]), (&json!(1), &json!(3)));
}

#[test]
fn a_website_and_who_may_ask_for_it() {
    if !is_there() {
        return;
    }
    let cluster = Cluster::start(&Config::default());
    let (node, admin) = (cluster.node(), cluster.admin());
    let bucket = admin.make_bucket("pages");
    let key = admin.make_key("author");
    admin.permit(&bucket, &key.id, "rwo");
    let author = Client::new(&node.s3_url(), "pages", &key);
    for (name, text) in [("start.html", "hello"), ("lost.html", "lost")] {
        author.put(name, text.as_bytes()).expect("it is permitted");
    }
    assert_eq!(page(node.web_address(), "pages", "/").status, 404);
    admin.update_bucket(
        &bucket,
        &json!({
            "websiteAccess":
                {"enabled": true, "indexDocument": "start.html", "errorDocument": "lost.html"},
            "corsRules": [{
                "AllowedOrigin": ["https://shop.example"],
                "AllowedMethod": ["PUT"],
                "AllowedHeader": ["x-thing"],
                "MaxAgeSeconds": 60,
            }],
        }),
    );
    let index = page(node.web_address(), "pages", "/");
    assert_eq!((index.status, &*index.text()), (200, "hello"));
    let lost = page(node.web_address(), "pages", "/nothing");
    assert_eq!((lost.status, &*lost.text()), (404, "lost"));

    let ask = |origin, method| preflight(&node.s3_url(), "pages", origin, method, &["x-thing"]);
    let allowed = ask("https://shop.example", "PUT");
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert_eq!(allowed.header("access-control-allow-methods"), "PUT");
    assert_eq!(ask("https://shop.example", "DELETE").status, 403);
    assert_eq!(ask("https://other.example", "PUT").status, 403);
    let cors = author.configuration("cors").expect("an owner may see it");
    assert!(cors.contains("https://shop.example"), "{cors}");
}

#[test]
fn objects_expire() {
    if !is_there() {
        return;
    }
    let cluster = Cluster::start(&Config::default());
    let admin = cluster.admin();
    let bucket = admin.make_bucket("logs");
    let key = admin.make_key("logger");
    admin.permit(&bucket, &key.id, "rwo");
    let logger = Client::new(&cluster.node().s3_url(), "logs", &key);
    for name in ["old/1", "new/1"] {
        logger.put(name, b"x").expect("it is permitted");
    }
    logger.begin_upload("old/2").expect("it is permitted");
    let rule = json!({
        "ID": "old", "Status": "Enabled", "Filter": {"Prefix": "old/"},
        "Expiration": {"Date": "2020-01-01"},
    });
    admin.update_bucket(&bucket, &json!({"lifecycleRules": [rule]}));
    let shown = logger
        .configuration("lifecycle")
        .expect("an owner may see it");
    assert!(shown.contains("2020-01-01"), "{shown}");
    assert_eq!(admin.bucket(&bucket).expect("it")["unfinishedUploads"], 1);

    cluster.node().expire();
    super::until("it doesn't expire", || {
        logger.list().is_ok_and(|names| names == ["new/1"])
    });
}

#[test]
fn a_restart_keeps_ports_and_data() {
    if !is_there() {
        return;
    }
    let cluster = Cluster::start(&Config::default());
    let admin = cluster.admin();
    let bucket = admin.make_bucket("kept");
    let (id, first) = (cluster.node().id().to_owned(), cluster.node().process_id());
    for stop in [Node::stop, Node::kill] {
        stop(cluster.node());
        let refused =
            TcpStream::connect(cluster.node().admin_address()).expect_err("it is stopped");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        cluster.node().start_again();
        assert_eq!(cluster.node().id(), id);
        assert!(admin.bucket(&bucket).is_some());
    }
    assert!(is_gone(first));
    let (last, folder) = (
        cluster.node().process_id(),
        cluster.node().folder().to_owned(),
    );
    drop(cluster);
    assert!(is_gone(last) && !folder.exists());
}

#[test]
fn three_nodes_bear_the_loss_of_one() {
    if !is_there() {
        return;
    }
    let cluster = Cluster::start(&Config {
        nodes: 3,
        rpc_timeout: Duration::from_secs(3),
    });
    let bucket = cluster.admin().make_bucket("kept");
    for index in 0..3 {
        assert!(cluster.admin_of(index).bucket(&bucket).is_some(), "{index}");
    }
    cluster.nodes()[1].kill();
    assert!(cluster.admin().bucket(&bucket).is_some());
    let second = cluster.admin().make_bucket("second");

    cluster.nodes()[2].kill();
    let create = |alias| {
        let body = json!({"globalAlias": alias});
        cluster.admin().try_post("CreateBucket", &[], &body)
    };
    let refused = create("third").expect_err("there is no quorum");
    assert_eq!(
        (refused.status, &*refused.code),
        (503, "ServiceUnavailable")
    );
    assert!(refused.message.contains("quorum"), "{refused}");
    let refused = cluster
        .admin()
        .try_get("GetBucketInfo", &[("id", &bucket)])
        .expect_err("there is no quorum");
    assert_eq!(refused.status, 503, "{refused}");

    for index in [1, 2] {
        cluster.nodes()[index].start_again();
    }
    cluster.wait_until_healthy();
    for index in 0..3 {
        assert!(cluster.admin_of(index).bucket(&second).is_some(), "{index}");
    }
}

#[test]
fn a_node_that_hangs_is_waited_for() {
    if !is_there() {
        return;
    }
    let patience = Duration::from_secs(2);
    let cluster = Cluster::start(&Config {
        nodes: 3,
        rpc_timeout: patience,
    });
    let bucket = cluster.admin().make_bucket("kept");
    for index in [1, 2] {
        cluster.nodes()[index].pause();
    }
    let begun = Instant::now();
    let refused = cluster
        .admin()
        .try_get("GetBucketInfo", &[("id", &bucket)])
        .expect_err("there is no quorum");
    assert_eq!(refused.status, 503, "{refused}");
    assert!(begun.elapsed() < 20 * patience);
    for index in [1, 2] {
        cluster.nodes()[index].resume();
    }
    cluster.wait_until_healthy();
    assert!(cluster.admin().bucket(&bucket).is_some());
}

#[test]
fn clusters_at_once() {
    if !is_there() {
        return;
    }
    let starting = [1, 2, 3].map(|_| thread::spawn(|| Cluster::start(&Config::default())));
    let clusters = starting.map(|cluster| cluster.join().expect("it starts"));
    let _bucket = clusters[0].admin().make_bucket("only-here");
    for other in &clusters[1..] {
        assert!(other.admin().buckets().is_empty());
    }
}
