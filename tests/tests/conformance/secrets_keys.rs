//! The kinds `secrets_ssh_key`, `secrets_wireguard_key` and `secrets_age_key`.

use nixops4_resources_tests::conformance::{Bad, Verdict};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::secrets::{Kind, Secrets, bad};

mod ssh {
    nixops4_resources_tests::conformance!(super::Secrets<super::SshKey>);
}

mod wireguard {
    nixops4_resources_tests::conformance!(super::Secrets<super::WireguardKey>);
}

mod age {
    nixops4_resources_tests::conformance!(super::Secrets<super::AgeKey>);
}

struct SshKey;

impl Kind for SshKey {
    const TYPE: &'static str = "secrets_ssh_key";

    fn new(_: &Sandbox) -> Self {
        Self
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![
            ("/keyType", json!("ecdsaP256"), Verdict::Refused),
            ("/comment", json!("me@here"), Verdict::Ignored),
            ("/rotateAfter", json!("2w"), Verdict::Ignored),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        vec![
            bad("/keyType", json!("dsa"), &["ed25519"]),
            bad("/comment", json!("two\nlines"), &["one line"]),
        ]
    }

    fn essence(&self, public: &Value) -> Value {
        assert!(
            public["publicKey"]
                .as_str()
                .unwrap()
                .starts_with("ssh-ed25519 ")
        );
        public["keyType"].clone()
    }
}

struct WireguardKey;

impl Kind for WireguardKey {
    const TYPE: &'static str = "secrets_wireguard_key";

    fn new(_: &Sandbox) -> Self {
        Self
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![("/rotateAfter", json!("90d"), Verdict::Ignored)]
    }

    fn essence(&self, public: &Value) -> Value {
        json!(public["publicKey"].as_str().unwrap().len())
    }
}

struct AgeKey;

impl Kind for AgeKey {
    const TYPE: &'static str = "secrets_age_key";

    fn new(_: &Sandbox) -> Self {
        Self
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![("/rotateAfter", json!("90d"), Verdict::Ignored)]
    }

    fn essence(&self, public: &Value) -> Value {
        json!(public["publicKey"].as_str().unwrap().starts_with("age1"))
    }
}
