//! The kinds `secrets_tls_ca` and `secrets_tls_certificate`.

use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Loss, Verdict};
use nixops4_resources_tests::sandbox::Sandbox;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::secrets::{Kind, Secrets, bad, patched};

mod ca {
    nixops4_resources_tests::conformance!(super::Secrets<super::Ca>);
}

mod certificate {
    nixops4_resources_tests::conformance!(super::Secrets<super::Certificate>);
}

/// An authority of somebody else's, in files.
struct Authority {
    file: PathBuf,
    private: String,
    certificate: String,
}

impl Authority {
    fn new(sandbox: &Sandbox, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let private = key.serialize_pem();
        Self {
            file: sandbox.write(format!("{name}.key"), &private),
            private,
            certificate,
        }
    }

    fn planted(&self) -> (Canary, PathBuf) {
        (Canary::with(&self.private), self.file.clone())
    }
}

fn asked(public: &Value) -> Value {
    let mut asked = public["asked"].clone();
    // Each fixture has authorities of its own.
    asked["/authorityCertificate"] = json!(asked["/authorityCertificate"].is_string());
    asked
}

fn bad_names() -> Vec<Bad> {
    vec![
        bad("/country", json!("Germany"), &["two capitals"]),
        bad("/organization", json!(""), &["1 to 64"]),
        bad("/keyType", json!("dsa"), &["ecdsaP256"]),
        bad("/validity", json!("forever"), &["no length of time"]),
        patched(
            &[("/validity", json!("1d")), ("/renewBefore", json!("24h"))],
            "/renewBefore",
            &["not less than the validity"],
        ),
    ]
}

struct Ca {
    above: Authority,
}

impl Kind for Ca {
    const TYPE: &'static str = "secrets_tls_ca";
    const NEEDS_STATE: bool = false;

    fn new(sandbox: &Sandbox) -> Self {
        Self {
            above: Authority::new(sandbox, "above"),
        }
    }

    fn inputs(&self) -> Value {
        json!({"commonName": "Example root"})
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![
            ("/commonName", json!("Another root"), Verdict::Refused),
            ("/organization", json!("Example"), Verdict::Refused),
            ("/keyType", json!("ed25519"), Verdict::Refused),
            ("/validity", json!("20y"), Verdict::Changed),
            ("/pathLength", json!(0), Verdict::Changed),
            ("/renewBefore", json!("30d"), Verdict::Ignored),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        let above = json!({"file": self.above.file});
        let certificate = json!(self.above.certificate);
        let mut all = bad_names();
        all.extend([
            bad("/commonName", Value::Null, &["needs a name"]),
            bad("/pathLength", json!(33), &["0 to 32"]),
            patched(
                &[("/authority", above.clone())],
                "/authorityCertificate",
                &["its certificate is needed"],
            ),
            patched(
                &[("/authorityCertificate", certificate.clone())],
                "/authority",
                &["private key is needed"],
            ),
            patched(
                &[
                    ("/authority", above.clone()),
                    ("/authorityCertificate", json!("nothing")),
                ],
                "/authorityCertificate",
                &["no certificate"],
            ),
            patched(
                &[
                    ("/authority", above),
                    ("/authorityCertificate", certificate),
                    ("/pathLength", json!(1)),
                ],
                "/pathLength",
                &["not below that of the authority above"],
            ),
        ]);
        all
    }

    fn essence(&self, public: &Value) -> Value {
        asked(public)
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/authority"]
    }

    fn planted(&self) -> Vec<(Canary, PathBuf)> {
        vec![self.above.planted()]
    }
}

struct Certificate {
    authority: Authority,
}

impl Kind for Certificate {
    const TYPE: &'static str = "secrets_tls_certificate";
    const NEEDS_STATE: bool = false;
    const RETAINS: bool = false;
    const LOSS: Loss = Loss::MadeAgain;

    fn new(sandbox: &Sandbox) -> Self {
        Self {
            authority: Authority::new(sandbox, "authority"),
        }
    }

    fn inputs(&self) -> Value {
        json!({
            "dnsNames": ["db.example.org"],
            "authority": {"file": self.authority.file},
            "authorityCertificate": self.authority.certificate,
        })
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![
            ("/commonName", json!("db.example.org"), Verdict::Changed),
            ("/country", json!("DE"), Verdict::Changed),
            (
                "/dnsNames",
                json!(["a.example.org", "*.b.example.org"]),
                Verdict::Changed,
            ),
            ("/dnsNames", json!(["DB.example.org"]), Verdict::Ignored),
            ("/ipAddresses", json!(["::1"]), Verdict::Changed),
            (
                "/usages",
                json!(["clientAuth", "serverAuth"]),
                Verdict::Changed,
            ),
            ("/keyType", json!("ed25519"), Verdict::Changed),
            ("/validity", json!("30d"), Verdict::Changed),
            ("/renewBefore", json!("2d"), Verdict::Ignored),
            ("/renewKey", json!(false), Verdict::Ignored),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        let mut all = bad_names();
        all.extend([
            patched(
                &[("/dnsNames", json!([])), ("/ipAddresses", json!([]))],
                "/dnsNames",
                &["clients look at no other name"],
            ),
            patched(
                &[("/dnsNames", json!(["good.org", "not good"]))],
                "/dnsNames/1",
                &["not a DNS name"],
            ),
            patched(
                &[("/ipAddresses", json!(["10.0.0.256"]))],
                "/ipAddresses/0",
                &["not an IP address"],
            ),
            bad("/usages", json!([]), &["at least one usage"]),
            bad("/authority", Value::Null, &["private key is needed"]),
        ]);
        all
    }

    fn essence(&self, public: &Value) -> Value {
        asked(public)
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/authority"]
    }

    fn planted(&self) -> Vec<(Canary, PathBuf)> {
        vec![self.authority.planted()]
    }
}
