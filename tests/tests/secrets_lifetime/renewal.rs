//! Certificates: renewed ahead of their expiry, and with their authority.

use serde_json::{Value, json};

use crate::{Site, wait};

const CA: &str = "secrets_tls_ca";
const CERTIFICATE: &str = "secrets_tls_certificate";

/// Due three seconds after it was made.
fn soon(hours: u64) -> [(&'static str, Value); 2] {
    [
        ("validity", json!(format!("{hours}h"))),
        ("renewBefore", json!(format!("{}s", hours * 3600 - 3))),
    ]
}

fn with(mut inputs: Value, more: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    for (name, value) in more {
        inputs[name] = value;
    }
    inputs
}

fn leaf(ca: &Value) -> Value {
    json!({
        "name": "web",
        "dnsNames": ["web.example.org"],
        "authority": ca["secret"],
        "authorityCertificate": ca["chain"],
        "validity": "1h",
        "renewBefore": "1m",
    })
}

fn assert_verifies(site: &Site, trusted: &Value, certificate: &Value) {
    site.write("trusted.pem", trusted);
    site.write("chain.pem", &certificate["chain"]);
    site.succeed(
        "openssl",
        &[
            "verify",
            "-x509_strict",
            "-verify_hostname",
            "web.example.org",
            "-CAfile",
            "trusted.pem",
            "-untrusted",
            "chain.pem",
            "chain.pem",
        ],
    );
}

fn public_key(site: &Site, certificate: &Value) -> String {
    site.write("one.pem", certificate);
    site.succeed("openssl", &["x509", "-in", "one.pem", "-noout", "-pubkey"])
}

#[test]
fn a_certificate_is_renewed_ahead_of_its_expiry() {
    let site = Site::new();
    let ca = site.make(CA, &json!({"name": "ca", "commonName": "Root"}));
    for (renew_key, name) in [(true, "a"), (false, "b")] {
        let inputs = with(leaf(&ca), soon(1));
        let more = [("renewKey", json!(renew_key)), ("name", json!(name))];
        let inputs = with(inputs, more);
        let made = site.make(CERTIFICATE, &inputs);
        assert_eq!(site.plan(CERTIFICATE, &inputs), [""; 0]);
        assert_eq!(site.make(CERTIFICATE, &inputs), made);
        wait(3);
        assert_eq!(site.plan(CERTIFICATE, &inputs), ["/renewBefore"]);
        let renewed = site.make(CERTIFICATE, &inputs);
        assert_ne!(renewed["serialNumber"], made["serialNumber"]);
        assert!(renewed["notAfter"].as_str() > made["notAfter"].as_str());
        let (old, new) = (
            public_key(&site, &made["certificate"]),
            public_key(&site, &renewed["certificate"]),
        );
        assert_eq!(old != new, renew_key);
        for certificate in [&made, &renewed] {
            assert_verifies(&site, &ca["certificate"], certificate);
        }
        // The key in the store is the certificate's.
        site.sandbox
            .write("key.pem", site.reveal(&renewed["secret"]).unwrap());
        let of_key = site.succeed("openssl", &["pkey", "-in", "key.pem", "-pubout"]);
        assert_eq!(of_key, new);
    }
}

#[test]
fn an_authority_keeps_its_key_and_what_it_signed_follows() {
    let site = Site::new();
    let wanted = with(json!({"name": "ca", "commonName": "Root"}), soon(2));
    let ca = site.make(CA, &wanted);
    let made = site.make(CERTIFICATE, &leaf(&ca));
    wait(3);
    assert_eq!(site.plan(CA, &wanted), ["/renewBefore"]);
    let renewed = site.make(CA, &wanted);
    assert_ne!(renewed["fingerprint"], ca["fingerprint"]);
    assert_verifies(&site, &renewed["certificate"], &made);
    let following = leaf(&renewed);
    assert_eq!(
        site.plan(CERTIFICATE, &following),
        ["/authorityCertificate"]
    );
    let followed = site.make(CERTIFICATE, &following);
    assert_ne!(followed["serialNumber"], made["serialNumber"]);
    assert_eq!(site.plan(CERTIFICATE, &following), [""; 0]);

    // A new key on purpose: both are trusted meanwhile.
    let wanted = with(
        json!({"name": "ca", "commonName": "Root", "generation": 3}),
        soon(2),
    );
    let replaced = site.make(CA, &wanted);
    assert_ne!(
        public_key(&site, &replaced["certificate"]),
        public_key(&site, &renewed["certificate"])
    );
    let newest = site.make(CERTIFICATE, &leaf(&replaced));
    for certificate in [&followed, &newest] {
        assert_verifies(&site, &replaced["trustedCertificates"], certificate);
    }
}

#[test]
fn an_intermediate_stands_between() {
    let site = Site::new();
    let root = site.make(
        CA,
        &json!({"name": "root", "commonName": "Root", "pathLength": 1}),
    );
    let middle = json!({
        "name": "middle", "commonName": "Middle", "pathLength": 0, "validity": "1y",
        "authority": root["secret"], "authorityCertificate": root["chain"],
    });
    let middle = site.make(CA, &middle);
    let made = site.make(CERTIFICATE, &leaf(&middle));
    assert_verifies(&site, &root["certificate"], &made);
    assert_eq!(made["chain"].as_str().unwrap().matches("BEGIN").count(), 2);
    // No further authority below.
    let below = json!({
        "name": "below", "commonName": "Below",
        "authority": middle["secret"], "authorityCertificate": middle["chain"],
    });
    let error = site.try_make(CA, &below).unwrap_err();
    assert!(error.starts_with("/authorityCertificate: "), "{error}");
}

#[test]
fn what_an_authority_cannot_sign() {
    let site = Site::new();
    let ca = site.make(
        CA,
        &json!({"name": "ca", "commonName": "Root", "validity": "2h"}),
    );
    let other = site.make(CA, &json!({"name": "other", "commonName": "Other"}));
    let longer = with(leaf(&ca), [("validity", json!("3h"))]);
    let error = site.try_make(CERTIFICATE, &longer).unwrap_err();
    assert!(error.starts_with("/validity: "), "{error}");
    assert!(error.contains("renew the authority first"), "{error}");
    let mixed = with(
        leaf(&ca),
        [("authorityCertificate", other["chain"].clone())],
    );
    let error = site.try_make(CERTIFICATE, &mixed).unwrap_err();
    assert!(error.starts_with("/authority: "), "{error}");
    // A file that holds no key: nothing of it is repeated.
    let file = site.sandbox.write("nonsense", "hunter2hunter2");
    let odd = with(leaf(&ca), [("authority", json!({"file": file}))]);
    let error = site.try_make(CERTIFICATE, &odd).unwrap_err();
    assert!(
        error.contains("PKCS #8") && !error.contains("hunter2"),
        "{error}"
    );
    // Nothing was kept of all this.
    let made = site.make(CERTIFICATE, &leaf(&ca));
    assert_eq!(made["secret"]["generation"], 1);
}
