//! `docs/guides/garage.md`, on two clusters, with a token that has the scope which it
//! says.

use std::process::Command;

use nixops4_resources_tests::garage::admin::Key;
use nixops4_resources_tests::garage::s3::{self, Client};
use nixops4_resources_tests::garage::{self, Cluster, Config};
use nixops4_resources_tests::required;

use crate::document::{Block, Document};
use crate::workshop::Workshop;

const BUCKET: &str = "mastodon-media";

fn guide() -> Document {
    Document::read("docs/guides/garage.md")
}

/// What a reader sees, in order.
struct Reading {
    workshop: Workshop,
    first: Cluster,
    second: Cluster,
    /// How many blocks of commands were run.
    runs: usize,
    /// The key that the machine had before the last deployment.
    old: Option<Key>,
}

impl Reading {
    fn new() -> Self {
        let [first, second] = [(); 2].map(|()| Cluster::start(&Config::default()));
        let places = [
            ("http://garage1.example.org:3903", first.node().admin_url()),
            ("https://s3.example.org", first.node().s3_url()),
            ("http://garage2.example.org:3903", second.node().admin_url()),
            ("https://s3-2.example.org", second.node().s3_url()),
        ];
        let places = places.map(|(page, test)| (page.to_owned(), test));
        let workshop = Workshop::at(places.into(), None);
        workshop.key("garage2-deployer", second.admin_token());
        workshop.stand_in(
            "garage",
            &format!(
                "#!/bin/sh\nexec {} -c {} \"$@\"\n",
                garage::executable().display(),
                first.node().config_file().display()
            ),
        );
        // The machine that it reaches takes what comes for a file.
        workshop.stand_in(
            "ssh",
            "#!/bin/sh\n[ \"$1\" = root@web1.example.org ] && exec cat > delivered\n",
        );
        Self {
            workshop,
            first,
            second,
            runs: 0,
            old: None,
        }
    }

    fn follow(&mut self, block: &Block) {
        match (block.language.as_str(), block.note.as_str()) {
            ("sh", "") => {
                if block.body.contains("rclone") && !has_rclone() {
                    return;
                }
                let said = self.workshop.run(&block.body);
                self.runs += 1;
                self.look(block, &said);
            }
            ("diff", note) => {
                let file = note.strip_prefix("change: ").expect("the file to change");
                self.workshop.change(file, &block.body);
            }
            ("nix", note) if note.starts_with("from: ") => {}
            _ => panic!("what is to be done with {block:?}?"),
        }
    }

    /// What was delivered to the machine, with the id that its configuration has.
    fn machine(&self) -> Key {
        let delivered = std::fs::read_to_string(self.workshop.work().join("delivered")).unwrap();
        let secret = delivered.strip_prefix("AWS_SECRET_ACCESS_KEY=").unwrap();
        let keys = self.first.admin().keys().into_iter().filter_map(|listed| {
            let id = listed["id"].as_str()?;
            self.first.admin().key(id)
        });
        let mut keys = keys.filter(|key| key["secretAccessKey"] == secret.trim_end());
        let key = keys.next().expect("a key with this secret");
        Key {
            id: key["accessKeyId"].as_str().unwrap().to_owned(),
            secret: secret.trim_end().to_owned(),
        }
    }

    fn client(&self, key: &Key) -> Client {
        Client::new(&self.first.node().s3_url(), BUCKET, key)
    }

    /// What each block of commands should have done.
    fn look(&mut self, block: &Block, said: &str) {
        let is_about = |text: &str| block.body.contains(text);
        let bucket = |name: &str| self.first.admin().bucket_called(name);
        match self.runs {
            1 => assert!(is_about("admin-token create")),
            2 => {
                assert!(said.contains("media"), "{said}");
                let bucket = bucket(BUCKET).expect("it was made");
                assert_eq!(bucket["quotas"]["maxSize"], 200_u64 << 30, "{bucket}");
            }
            3 => {
                let client = self.client(&self.machine());
                client.put("cat.png", b"a cat").unwrap();
                let page = s3::page(self.first.node().web_address(), BUCKET, "/cat.png");
                assert_eq!((page.status, &*page.body), (200, &b"a cat"[..]));
                self.old = Some(self.machine());
            }
            4 => assert!(
                said.contains("nixops4-resources: owner=hosting type=garage_tenant"),
                "{said}"
            ),
            5 => {
                let (old, new) = (self.old.as_ref().expect("a key"), self.machine());
                assert_ne!(old.id, new.id);
                for key in [old, &new] {
                    self.client(key).put("dog.png", b"a dog").unwrap();
                }
            }
            6 => {
                let old = self.old.as_ref().expect("a key");
                assert_eq!(self.client(old).get("dog.png").unwrap_err().status, 403);
                self.client(&self.machine()).get("dog.png").unwrap();
            }
            7 => {
                let bucket = bucket("pixelfed-media").expect("it was adopted");
                let keys = bucket["keys"].as_array().unwrap();
                let has = |name: &str, read: bool| {
                    let mut keys = keys.iter();
                    let is =
                        |key: &&serde_json::Value| key["name"].as_str().unwrap().contains(name);
                    keys.find(is).expect("a key")["permissions"]["read"] == read
                };
                assert!(
                    has("pixelfed", true) && has("owner=hosting", false),
                    "{bucket}"
                );
            }
            8 => assert!(said.contains("pixelfed-media"), "{said}"),
            9 => {
                let refused = self.client(&self.machine()).get("cat.png").unwrap_err();
                assert_eq!(refused.status, 403);
            }
            10 => {
                let cat = self.client(&self.machine()).get("cat.png").unwrap();
                assert_eq!(cat, b"a cat");
            }
            11 if is_about("rclone") => {
                let page = s3::page(self.second.node().web_address(), BUCKET, "/cat.png");
                assert_eq!((page.status, &*page.body), (200, &b"a cat"[..]));
            }
            11 | 12 => {
                assert!(is_about("garage-remover"));
                assert!(bucket(BUCKET).is_none());
            }
            _ => panic!("nothing is known of what this should have done"),
        }
    }
}

fn has_rclone() -> bool {
    let has = Command::new("rclone").arg("version").output().is_ok();
    assert!(
        has || !required::is_required("rclone"),
        "rclone is required"
    );
    has
}

#[test]
fn it_works_as_it_stands() {
    if !garage::is_there() {
        return;
    }
    let guide = guide();
    let mut reading = Reading::new();
    for block in guide.blocks() {
        guide.check_origin(&block);
        reading.follow(&block);
    }
    assert_eq!(reading.runs, if has_rclone() { 12 } else { 11 });
}

#[test]
fn its_links_lead_somewhere() {
    guide().check_links();
}

#[test]
fn its_errors_are_ours() {
    guide().check_errors(&["providers/garage/src", "sdk/src"]);
}
