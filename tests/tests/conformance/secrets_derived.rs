//! The kinds that follow from other secrets: `secrets_password_hash` and
//! `secrets_sealed`.

use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Loss, Verdict};
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_secrets_store::Identities;
use serde_json::{Value, json};

use crate::secrets::{Kind, Secrets, bad, patched};

/// A key that sops-nix could not open with.
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC4+lhSZ/qBuPtCYz2XELgzNxSIharx3P7W1+weJXEB\
    ER3valfsL4WNBsBWZjAkEBnRCIHvKPQHAZ3JArkTg0D/qnVEhYFPo3+H2svbFKOszOkiYMlQ4sBTa3Wp\
    TwtjnAp8ghvKVtgHEeoAMaHStTsiazQ9tiOwNAabG5OBI5vHDpJBFo7dsPR0VSsXpv3pcVJL7Slc8Dr1\
    EgFzuegshCdaI29p5X1RXtU7M1c6LJYM6kF4lTNnIFEiSw0CVmDcG1nq2onzM0uRcRNVqfOPU7zG9Beq\
    9K8EZtXRcMCz9dd+lHUqwN3bWbxHvdr1YFCtsLeMewZfJ4+gugh3hJPCfqnf";

mod password_hash {
    nixops4_resources_tests::conformance!(super::Secrets<super::PasswordHash>);
}

mod sealed {
    nixops4_resources_tests::conformance!(super::Secrets<super::Sealed>);
}

/// A secret in a file.
struct Planted {
    file: PathBuf,
    value: String,
}

impl Planted {
    fn new(sandbox: &Sandbox, name: &str) -> Self {
        let value = Canary::new().value().to_owned();
        Self {
            file: sandbox.write(name, &value),
            value,
        }
    }

    fn reference(&self) -> Value {
        json!({"file": self.file})
    }

    fn planted(&self) -> (Canary, PathBuf) {
        (Canary::with(&self.value), self.file.clone())
    }
}

struct PasswordHash {
    password: Planted,
    other: Planted,
}

impl Kind for PasswordHash {
    const TYPE: &'static str = "secrets_password_hash";
    const RETAINS: bool = false;
    const LOSS: Loss = Loss::MadeAgain;
    const IS_SECRET: bool = false;

    fn new(sandbox: &Sandbox) -> Self {
        Self {
            password: Planted::new(sandbox, "password"),
            other: Planted::new(sandbox, "other"),
        }
    }

    fn inputs(&self) -> Value {
        json!({
            "secret": self.password.reference(),
            "algorithm": "sha512crypt",
            "cost": 5000,
        })
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![
            ("/algorithm", json!("scramSha256"), Verdict::Changed),
            ("/cost", json!(6000), Verdict::Changed),
            ("/secret", self.other.reference(), Verdict::Changed),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        vec![
            bad("/secret", Value::Null, &["missing field"]),
            bad("/algorithm", json!("md5"), &["bcrypt"]),
            bad("/cost", json!(10), &["5000 to 10000000 rounds"]),
        ]
    }

    fn essence(&self, public: &Value) -> Value {
        json!([public["algorithm"], public["cost"]])
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/secret"]
    }

    fn planted(&self) -> Vec<(Canary, PathBuf)> {
        vec![self.password.planted(), self.other.planted()]
    }
}

struct Sealed {
    one: Planted,
    other: Planted,
    recipients: [String; 2],
}

impl Kind for Sealed {
    const TYPE: &'static str = "secrets_sealed";
    const RETAINS: bool = false;
    const LOSS: Loss = Loss::MadeAgain;

    fn new(sandbox: &Sandbox) -> Self {
        let recipient = |name: &str| {
            let made = Identities::generate(sandbox.work().join(name)).expect("an identity");
            made.recipients()[0].to_string()
        };
        Self {
            one: Planted::new(sandbox, "one"),
            other: Planted::new(sandbox, "other"),
            recipients: [recipient("machine.age"), recipient("another.age")],
        }
    }

    fn inputs(&self) -> Value {
        json!({
            "secrets": {"db": self.one.reference()},
            "recipients": [self.recipients[0]],
        })
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        let two = json!({"db": self.other.reference(), "mail": self.one.reference()});
        let spelt = format!(" {} ", self.recipients[0]);
        vec![
            ("/recipients", json!(self.recipients), Verdict::Changed),
            ("/recipients", json!([spelt]), Verdict::Ignored),
            ("/format", json!("sops"), Verdict::Changed),
            ("/format", json!("age"), Verdict::Ignored),
            ("/secrets/db", self.other.reference(), Verdict::Changed),
            ("/secrets", two, Verdict::Changed),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        vec![
            bad("/secrets", Value::Null, &["missing field"]),
            bad("/secrets", json!({}), &["nothing to encrypt"]),
            bad("/recipients", json!([]), &["nobody"]),
            patched(
                &[("/recipients", json!(["age1nonsense"]))],
                "/recipients/0",
                &["age public key"],
            ),
            bad("/format", json!("yaml"), &["age", "sops"]),
            patched(
                &[("/format", json!("sops")), ("/recipients", json!([RSA]))],
                "/recipients/0",
                &["RSA"],
            ),
            patched(
                &[
                    ("/format", json!("sops")),
                    (
                        "/secrets",
                        json!({"a/b": self.one.reference(), "a": self.one.reference()}),
                    ),
                ],
                "/secrets/a~1b",
                &["another secret is on this one"],
            ),
        ]
    }

    fn essence(&self, public: &Value) -> Value {
        let files = public["files"].as_object().expect("files");
        json!([
            files.keys().collect::<Vec<_>>(),
            public["sops"]["names"],
            public["recipients"].as_array().expect("recipients").len(),
        ])
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/secrets/db"]
    }

    fn planted(&self) -> Vec<(Canary, PathBuf)> {
        vec![self.one.planted(), self.other.planted()]
    }
}
