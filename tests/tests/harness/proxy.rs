//! The proxy: what it spoils goes wrong, and nothing else.

use std::sync::mpsc;
use std::time::Duration;

use nixops4_resources_tests::garage::admin::Admin;
use nixops4_resources_tests::garage::{Cluster, Config, is_there};
use nixops4_resources_tests::proxy::{Fault, Proxy};
use serde_json::json;

#[test]
fn what_goes_wrong_goes_wrong_once() {
    if !is_there() {
        return;
    }
    let cluster = Cluster::start(&Config::default());
    let direct = cluster.admin();
    let proxy = Proxy::before(cluster.node().admin_address());
    let through = Admin::new(&proxy.url(), cluster.admin_token());
    let create = |alias| through.try_post("CreateBucket", &[], &json!({"globalAlias": alias}));
    let is_made = |alias| direct.bucket_called(alias).is_some();

    create("plain").expect("nothing goes wrong");
    assert!(is_made("plain"));
    assert_eq!(proxy.requests(), ["POST /v2/CreateBucket"]);

    let busy = || Fault::Answer {
        status: 503,
        body: r#"{"code": "ServiceUnavailable", "message": "made up"}"#.to_owned(),
    };
    proxy.fail_later("POST /v2/CreateBucket", 1, 2, busy());
    create("passed").expect("the first one passes");
    for alias in ["second", "third"] {
        let refused = create(alias).expect_err("it is made up");
        assert_eq!((refused.status, &*refused.message), (503, "made up"));
        assert!(!is_made(alias));
    }
    create("fourth").expect("it is over");
    assert_eq!(proxy.requests().len(), 4);

    for (alias, fault, is_done) in [
        ("cut-before", Fault::CutBefore, false),
        ("cut-after", Fault::CutAfter, true),
        ("cut-within", Fault::CutWithin, true),
    ] {
        proxy.fail("POST", 1, fault);
        assert!(through.try_get("ListBuckets", &[]).is_ok());
        assert_eq!(create(alias).expect_err("no answer").status, 0, "{alias}");
        assert_eq!(is_made(alias), is_done, "{alias}");
    }

    let (told, hears) = mpsc::channel();
    let act = move || told.send(()).expect("somebody waits");
    proxy.fail("POST", 1, Fault::Meanwhile(Box::new(act)));
    create("meanwhile").expect("the server is still there");
    assert!(is_made("meanwhile"));
    assert_eq!(hears.recv_timeout(Duration::ZERO), Ok(()));

    proxy.fail("GET", 9, busy());
    assert!(through.try_get("ListBuckets", &[]).is_err());
    proxy.heal();
    assert!(through.try_get("ListBuckets", &[]).is_ok());
}

#[test]
fn whoever_hangs_is_let_go() {
    if !is_there() {
        return;
    }
    let cluster = Cluster::start(&Config::default());
    let proxy = Proxy::before(cluster.node().admin_address());
    let (url, token) = (proxy.url(), cluster.admin_token().to_owned());
    proxy.fail("POST", 1, Fault::HangAfter);
    let waiting = std::thread::spawn(move || {
        let body = json!({"globalAlias": "made"});
        Admin::new(&url, &token).try_post("CreateBucket", &[], &body)
    });
    let admin = cluster.admin();
    super::until("it isn't made", || admin.bucket_called("made").is_some());
    assert!(!waiting.is_finished());
    drop(proxy);
    let refused = waiting.join().expect("it ends").expect_err("no answer");
    assert_eq!(refused.status, 0, "{refused}");
}
