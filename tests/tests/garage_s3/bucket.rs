//! Buckets: who may do what in them, how much, and what everybody sees.

use nixops4_resources_tests::garage::is_there;
use nixops4_resources_tests::garage::s3::{page, preflight};
use nixops4_resources_tests::messages;
use serde_json::json;

use super::site::{BUCKET, Site, assert_forbidden, output};

#[test]
fn each_key_may_do_what_is_declared_and_no_more() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let [reader, writer, owner, stranger] =
        ["reader", "writer", "owner", "stranger"].map(|name| site.admin().make_key(name));
    let may = |key: &str, read, write, owner| json!({"accessKeyId": key, "read": read, "write": write, "owner": owner});
    let keys = json!([
        may(&reader.id, true, false, false),
        may(&writer.id, false, true, false),
        may(&owner.id, false, false, true),
    ]);
    let inputs = site.inputs("media-rights", &[("/keys", keys)]);
    let recorded = site.made(BUCKET, &inputs);
    let client = |key| site.client("media-rights", key);

    client(&writer)
        .put("cat.jpg", b"meow")
        .expect("it may write");
    assert_forbidden(client(&writer).get("cat.jpg"));
    assert_eq!(client(&reader).get("cat.jpg").as_deref(), Ok(&b"meow"[..]));
    assert_forbidden(client(&reader).put("dog.jpg", b"woof"));
    assert_forbidden(client(&reader).delete("cat.jpg"));
    assert_forbidden(client(&owner).get("cat.jpg"));
    // It may look; there is none.
    assert_eq!(client(&owner).configuration("website"), Ok(String::new()));
    assert_forbidden(client(&reader).configuration("cors"));
    assert_forbidden(client(&stranger).list());

    // By id and by an alias of one key alone as well.
    let id = output(&recorded, "id");
    assert!(site.client(&id, &reader).list().is_ok());
    let alias = json!([{"accessKeyId": reader.id, "alias": "mine"}]);
    let keys = json!([may(&reader.id, true, true, false)]);
    let inputs = site.inputs("media-rights", &[("/keys", keys), ("/localAliases", alias)]);
    site.update(&recorded, &inputs).expect("it is changed");
    let mine = site.client("mine", &reader);
    mine.put("dog.jpg", b"woof").expect("it may write now");
    assert_eq!(mine.list(), Ok(vec!["cat.jpg".into(), "dog.jpg".into()]));
    site.client("mine", &writer)
        .list()
        .expect_err("it is not its alias");
    assert_forbidden(client(&writer).put("x", b"x"));
}

#[test]
fn it_is_full_when_the_quota_says_so() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let key = site.admin().make_key("app");
    let keys = json!([{"accessKeyId": key.id, "read": true, "write": true}]);
    let with = |quotas| {
        let patch = [("/keys", keys.clone()), ("/quotas", quotas)];
        site.inputs("media-full", &patch)
    };
    let recorded = site.made(BUCKET, &with(json!({"maxObjects": 2, "maxSize": "10kB"})));
    let client = site.client("media-full", &key);
    client.put("1", &[0; 4000]).expect("there is room");
    let planned = site.plan(&recorded);
    assert_eq!(planned["action"], "none", "{planned}");
    assert_eq!(
        site.admin()
            .bucket(&output(&recorded, "id"))
            .expect("a bucket")["objects"],
        1
    );
    assert_eq!(
        planned["outputProperties"]["objects"], 0,
        "as it is recorded"
    );
    let refusal = assert_forbidden(client.put("2", &[0; 7000]));
    assert!(refusal.message.contains("size quota"), "{refusal}");
    client.put("2", &[0; 10]).expect("there is room");
    let refusal = assert_forbidden(client.put("3", b""));
    assert!(refusal.message.contains("Object quota"), "{refusal}");

    // Below what is in it already: nobody could write any more.
    for (quotas, pointer) in [
        (json!({"maxObjects": 1}), "/quotas/maxObjects: "),
        (json!({"maxSize": "4kB"}), "/quotas/maxSize: "),
    ] {
        let error = site
            .update(&recorded, &with(quotas))
            .expect_err("there is more in it");
        assert!(error.starts_with(pointer), "{error}");
        assert!(error.contains("\nhint: "), "{error}");
    }
    site.update(&recorded, &with(json!({"maxObjects": 3})))
        .expect("it is changed");
    client
        .put("3", &vec![0; 20_000])
        .expect("there is room again");
}

#[test]
fn it_is_a_website() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let key = site.admin().make_key("author");
    let keys = json!([{"accessKeyId": key.id, "read": true, "write": true, "owner": true}]);
    let website = json!({"indexDocument": "home.html", "errorDocument": "oops.html"});
    let inputs = site.inputs("pages", &[("/keys", keys.clone()), ("/website", website)]);
    let recorded = site.made(BUCKET, &inputs);
    let author = site.client("pages", &key);
    for name in ["home.html", "oops.html", "a/home.html"] {
        author.put(name, name.as_bytes()).expect("it may write");
    }
    let host = output(&recorded, "websiteHost");
    assert_eq!(host, "pages.web.garage.localhost");
    let get = |path| page(site.node().web_address(), "pages", path);
    for (path, status, body) in [
        ("/", 200, "home.html"),
        ("/a/", 200, "a/home.html"),
        ("/nothing", 404, "oops.html"),
    ] {
        let answer = get(path);
        assert_eq!((answer.status, &*answer.text()), (status, body), "{path}");
    }
    site.update(&recorded, &site.inputs("pages", &[("/keys", keys)]))
        .expect("it is changed");
    let gone = get("/");
    assert_eq!(gone.status, 404);
    assert!(!gone.text().contains("home.html"), "{}", gone.text());
}

#[test]
fn browsers_are_told_who_may() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let key = site.admin().make_key("owner");
    let rules = json!([{
        "id": "uploads",
        "allowedOrigins": ["https://social.example.org"],
        "allowedMethods": ["GET", "PUT"],
        "allowedHeaders": ["content-type"],
        "exposeHeaders": ["etag"],
    }]);
    let keys = json!([{"accessKeyId": key.id, "owner": true}]);
    let inputs = site.inputs(
        "media-cors",
        &[("/keys", keys.clone()), ("/corsRules", rules)],
    );
    let recorded = site.made(BUCKET, &inputs);
    let ask = |origin, method| {
        let s3 = site.node().s3_url();
        preflight(&s3, "media-cors", origin, method, &["content-type"])
    };
    let allowed = ask("https://social.example.org", "PUT");
    assert_eq!(allowed.status, 200);
    for (header, value) in [
        ("access-control-allow-origin", "https://social.example.org"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "content-type"),
        ("access-control-expose-headers", "etag"),
    ] {
        assert_eq!(allowed.header(header), value, "{header}");
    }
    assert_eq!(ask("https://social.example.org", "DELETE").status, 403);
    assert_eq!(ask("https://evil.example.org", "PUT").status, 403);
    let client = site.client("media-cors", &key);
    let shown = client.configuration("cors").expect("an owner may look");
    assert!(shown.contains("<ID>uploads</ID>"), "{shown}");

    site.update(&recorded, &site.inputs("media-cors", &[("/keys", keys)]))
        .expect("it is changed");
    assert_eq!(ask("https://social.example.org", "PUT").status, 403);
    let none = client.configuration("cors").expect_err("there is none");
    assert_eq!(none.code, "NoSuchCORSConfiguration");
}

#[test]
fn objects_go_when_their_time_has_come() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let key = site.admin().make_key("logger");
    let keys = json!([{"accessKeyId": key.id, "read": true, "write": true, "owner": true}]);
    let rules = json!([
        {"id": "tmp", "prefix": "tmp/", "largerThan": "1kB", "expireOn": "2020-01-01"},
        {"id": "uploads", "abortUploadsAfterDays": 7},
        {"id": "off", "enable": false, "expireOn": "2020-01-01"},
    ]);
    let inputs = site.inputs("logs", &[("/keys", keys), ("/lifecycleRules", rules)]);
    site.made(BUCKET, &inputs);
    let client = site.client("logs", &key);
    for (name, size) in [("tmp/large", 2000), ("tmp/small", 10), ("kept", 2000)] {
        client.put(name, &vec![0; size]).expect("it may write");
    }
    let shown = client
        .configuration("lifecycle")
        .expect("an owner may look");
    for words in [
        "<ID>tmp</ID>",
        "<Prefix>tmp/</Prefix>",
        "<ObjectSizeGreaterThan>1000</ObjectSizeGreaterThan>",
        "<Date>2020-01-01</Date>",
        "<DaysAfterInitiation>7</DaysAfterInitiation>",
        "<Status>Disabled</Status>",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    site.node().expire();
    let begun = std::time::Instant::now();
    while client.list() != Ok(vec!["kept".into(), "tmp/small".into()]) {
        assert!(begun.elapsed().as_secs() < 60, "{:?}", client.list());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn what_is_in_it_stays() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    let key = site.admin().make_key("app");
    let keys = json!([{"accessKeyId": key.id, "read": true, "write": true}]);
    let inputs = site.inputs("media-kept", &[("/keys", keys), ("/website", json!({}))]);
    let mut recorded = site.made(BUCKET, &inputs);
    let client = site.client("media-kept", &key);
    client.put("index.html", b"precious").expect("it may write");

    // By default nobody gets in any more, and all is there.
    site.send(&messages::destroy(&recorded))
        .expect("it is retained");
    assert_forbidden(client.get("index.html"));
    assert_eq!(
        page(site.node().web_address(), "media-kept", "/").status,
        404
    );
    recorded = site.made(BUCKET, &inputs);
    assert_eq!(client.get("index.html").as_deref(), Ok(&b"precious"[..]));

    // Deleting is refused while something is in it.
    recorded["inputProperties"]["deletionPolicy"] = json!("delete");
    let error = site
        .send(&messages::destroy(&recorded))
        .expect_err("it is not empty");
    assert!(error.contains("\nhint: "), "{error}");
    assert_eq!(client.get("index.html").as_deref(), Ok(&b"precious"[..]));
    client.delete("index.html").expect("it may write");
    site.send(&messages::destroy(&recorded))
        .expect("it is empty");
    assert!(site.admin().bucket_called("media-kept").is_none());
}

#[test]
fn one_that_was_made_by_hand_is_adopted_with_all_that_is_in_it() {
    if !is_there() {
        return;
    }
    let site = Site::new();
    site.node().run(&["bucket", "create", "by-hand"]);
    site.node().run(&["key", "create", "of-old"]);
    let keys = site.admin().keys_called("of-old");
    let id = keys[0]["id"].as_str().expect("an id");
    site.node().run(&[
        "bucket", "allow", "by-hand", "--read", "--write", "--key", id,
    ]);
    let info = site.admin().key(id).expect("a key");
    let key = nixops4_resources_tests::garage::admin::Key {
        id: id.to_owned(),
        secret: info["secretAccessKey"].as_str().expect("it").to_owned(),
    };
    let client = site.client("by-hand", &key);
    client.put("old", b"data").expect("it may write");

    let inputs = site.inputs("by-hand", &[]);
    let error = site.create(BUCKET, &inputs).expect_err("it is foreign");
    assert!(error.starts_with("/adopt: "), "{error}");
    let inputs = site.inputs("by-hand", &[("/adopt", json!(true))]);
    let recorded = site.made(BUCKET, &inputs);
    // Who could do something still can: `keys` says nothing.
    assert_eq!(client.get("old").as_deref(), Ok(&b"data"[..]));
    let shown = site.node().run(&["bucket", "info", "by-hand"]);
    assert!(shown.contains(&output(&recorded, "id")[..16]), "{shown}");
}
