//! The kind `secrets_token`.

use nixops4_resources_tests::conformance::{Bad, Verdict};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::secrets::{Kind, Secrets, bad};

nixops4_resources_tests::conformance!(Secrets<Token>);

struct Token;

impl Kind for Token {
    const TYPE: &'static str = "secrets_token";

    fn new(_: &Sandbox) -> Self {
        Self
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![
            ("/bytes", json!(64), Verdict::Ignored),
            ("/encoding", json!("base64url"), Verdict::Ignored),
            ("/rotateAfter", json!("1y"), Verdict::Ignored),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        vec![
            bad("/bytes", json!(15), &["16 to 1024"]),
            bad("/bytes", json!(1025), &["16 to 1024"]),
            bad("/encoding", json!("rot13"), &["base64url"]),
            bad("/rotateAfter", json!("0d"), &["no length of time"]),
        ]
    }
}
