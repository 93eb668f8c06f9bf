//! `OpenSSL` judges.

use std::io::Read as _;
use std::process::{Command, Stdio};

use nixops4_provider_sdk::ExposeSecret as _;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::making::tools::Bench;

fn profile(name: &str, purpose: Purpose) -> Profile {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    Profile {
        subject: Subject {
            common_name: Some(name.to_owned()),
            organization: Some("Beispiel-Verein für Tests".to_owned()),
            organizational_unit: None,
            country: Some("DE".to_owned()),
        },
        names: Names::default(),
        purpose,
        not_before: now - Duration::minutes(5),
        not_after: now + Duration::days(30),
    }
}

fn authority(issued: &Issued, key: Key) -> Authority {
    Authority::new(Certificates::read(&issued.chain).unwrap(), key).unwrap()
}

fn leaf() -> Profile {
    let usages = vec![Usage::ServerAuth, Usage::ClientAuth];
    let mut profile = profile("db.example.org", Purpose::End { usages });
    profile.names = Names {
        dns: vec!["DB.example.org".to_owned(), "*.db.example.org".to_owned()],
        addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        emails: vec!["root@example.org".to_owned()],
        uris: vec!["spiffe://example.org/db".to_owned()],
    }
    .normalised()
    .unwrap();
    profile
}

#[test]
fn openssl_verifies_a_chain_of_every_key_type() {
    for key_type in [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
    ] {
        let bench = Bench::new();
        let root_key = Key::make(key_type, &|| false).unwrap();
        let root = profile(
            "root",
            Purpose::Authority {
                path_length: Some(1),
            },
        );
        let root = root.issue(&root_key, None).unwrap();
        assert_eq!(root.chain, root.certificate);
        let root_authority = authority(&root, root_key);
        let middle_key = Key::make(key_type, &|| false).unwrap();
        let middle = profile(
            "middle",
            Purpose::Authority {
                path_length: Some(0),
            },
        );
        let middle = middle.issue(&middle_key, Some(&root_authority)).unwrap();
        let middle_authority = authority(&middle, middle_key);
        let key = Key::make(key_type, &|| false).unwrap();
        let issued = leaf().issue(&key, Some(&middle_authority)).unwrap();
        assert_eq!(
            issued.chain,
            format!("{}{}", issued.certificate, middle.certificate)
        );

        bench.file("root.pem", &root.certificate);
        bench.file("chain.pem", &issued.chain);
        bench.file("leaf.pem", &issued.certificate);
        bench.file("key.pem", key.pem().expose_secret());
        let verify = |more: &[&str]| {
            let mut arguments = vec!["verify", "-x509_strict", "-CAfile", "root.pem"];
            arguments.extend(["-untrusted", "chain.pem"]);
            arguments.extend(more);
            arguments.push("leaf.pem");
            bench.run("openssl", &arguments, "").status.success()
        };
        for good in [
            ["-verify_hostname", "db.example.org"],
            ["-verify_hostname", "a.db.example.org"],
            ["-verify_ip", "::1"],
            ["-verify_email", "root@example.org"],
            ["-purpose", "sslserver"],
            ["-purpose", "sslclient"],
        ] {
            assert!(verify(&good), "{key_type:?} {good:?}");
        }
        for bad in [
            ["-verify_hostname", "other.example.org"],
            ["-verify_ip", "127.0.0.2"],
            ["-purpose", "smimesign"],
        ] {
            assert!(!verify(&bad), "{key_type:?} {bad:?}");
        }
        // The private key in PEM is the certificate's.
        let public = bench.succeed("openssl", &["pkey", "-in", "key.pem", "-pubout"], "");
        let of_leaf = ["x509", "-in", "leaf.pem", "-noout", "-pubkey"];
        assert_eq!(public, bench.succeed("openssl", &of_leaf, ""));
        assert_eq!(public, key.public_pem());
        let again = Key::read(&key.pem()).unwrap();
        assert_eq!(again.public_der(), key.public_der());
        assert_handshake(&bench);
    }
}

/// A server with this chain and a client that trusts the root alone.
fn assert_handshake(bench: &Bench) {
    let folder = bench.path(".");
    let socket = bench.path("tls.sock");
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-unix",
            "tls.sock",
            "-cert",
            "leaf.pem",
            "-cert_chain",
            "chain.pem",
        ])
        .args(["-key", "key.pem", "-naccept", "1", "-www"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..200 {
        if socket.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let connect = [
        "s_client",
        "-unix",
        "tls.sock",
        "-CAfile",
        "root.pem",
        "-verify_return_error",
        "-verify_hostname",
        "db.example.org",
        "-brief",
    ];
    let output = bench.run("openssl", &connect, "GET / HTTP/1.0\r\n\r\n");
    let _ = server.kill();
    server.wait().unwrap();
    let mut log = String::new();
    server
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Verification: OK"), "{said}\n{log}");
    assert!(said.contains("Verified peername: db.example.org"), "{said}");
}

#[test]
fn what_a_certificate_says() {
    let bench = Bench::new();
    let root_key = Key::make(KeyType::EcdsaP256, &|| false).unwrap();
    let root = profile(
        "root",
        Purpose::Authority {
            path_length: Some(0),
        },
    );
    let root = root.issue(&root_key, None).unwrap();
    let authority = authority(&root, root_key);
    let key = Key::make(KeyType::Rsa2048, &|| false).unwrap();
    let profile = leaf();
    let issued = profile.issue(&key, Some(&authority)).unwrap();
    bench.file("root.pem", &root.certificate);
    bench.file("leaf.pem", &issued.certificate);
    let text = |file: &str| bench.succeed("openssl", &["x509", "-in", file, "-noout", "-text"], "");
    let identifier = |text: &str, which: &str| {
        let after = text.split_once(which).unwrap().1;
        let line = after.lines().nth(1).unwrap().trim();
        line.trim_start_matches("keyid:").to_owned()
    };
    let (root_text, leaf_text) = (text("root.pem"), text("leaf.pem"));
    let root_id = identifier(&root_text, "Subject Key Identifier");
    assert_eq!(identifier(&leaf_text, "Authority Key Identifier"), root_id);
    assert_ne!(identifier(&leaf_text, "Subject Key Identifier"), root_id);
    for says in [
        "CA:FALSE",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "DNS:*.db.example.org, DNS:db.example.org, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, email:root@example.org, URI:spiffe://example.org/db",
        "C = DE, O = Beispiel-Verein f\\C3\\BCr Tests, CN = db.example.org",
    ] {
        assert!(leaf_text.contains(says), "{says}: {leaf_text}");
    }
    assert!(root_text.contains("CA:TRUE, pathlen:0"), "{root_text}");
    assert!(
        root_text.contains("Certificate Sign, CRL Sign"),
        "{root_text}"
    );
    let ask = |what: &[&str]| {
        let mut arguments = vec!["x509", "-in", "leaf.pem", "-noout"];
        arguments.extend(what);
        bench
            .succeed("openssl", &arguments, "")
            .trim_end()
            .to_owned()
    };
    let fingerprint = ask(&["-fingerprint", "-sha256"]).replace(':', "");
    let fingerprint = fingerprint.rsplit_once('=').unwrap().1.to_lowercase();
    assert_eq!(fingerprint, issued.fingerprint);
    assert_eq!(
        ask(&["-serial"]).to_lowercase(),
        format!("serial={}", issued.serial)
    );
    let end = profile.not_after.unix_timestamp() - OffsetDateTime::now_utc().unix_timestamp();
    for (seconds, stays) in [(end - 60, true), (end + 60, false)] {
        let check = [
            "x509",
            "-in",
            "leaf.pem",
            "-noout",
            "-checkend",
            &seconds.to_string(),
        ];
        assert_eq!(bench.run("openssl", &check, "").status.success(), stays);
    }
    // Two of the same key differ in their serial.
    let other = profile.issue(&key, Some(&authority)).unwrap();
    assert_ne!(other.serial, issued.serial);
}

#[test]
fn a_renewed_authority_verifies_what_the_old_one_signed() {
    let bench = Bench::new();
    let key = Key::make(KeyType::EcdsaP256, &|| false).unwrap();
    let wanted = profile("root", Purpose::Authority { path_length: None });
    let root = wanted.issue(&key, None).unwrap();
    let renewed = wanted.issue(&key, None).unwrap();
    assert_ne!(root.fingerprint, renewed.fingerprint);
    let leaf_key = Key::make(KeyType::EcdsaP256, &|| false).unwrap();
    let issued = leaf()
        .issue(&leaf_key, Some(&authority(&root, key)))
        .unwrap();
    bench.file("root.pem", &renewed.certificate);
    bench.file("leaf.pem", &issued.certificate);
    bench.succeed(
        "openssl",
        &["verify", "-x509_strict", "-CAfile", "root.pem", "leaf.pem"],
        "",
    );
}

#[test]
fn what_is_no_authority() {
    let key = Key::make(KeyType::EcdsaP256, &|| false).unwrap();
    let root = profile("root", Purpose::Authority { path_length: None });
    let root = root.issue(&key, None).unwrap();
    let other = Key::make(KeyType::EcdsaP256, &|| false).unwrap();
    let certificates = Certificates::read(&root.certificate).unwrap();
    let error = Authority::new(certificates, other).err().unwrap();
    assert!(
        error.to_string().contains("is not that of its certificate"),
        "{error}"
    );
    let end = leaf().issue(&key, None).unwrap();
    let private = key.pem();
    for (pem, says) in [
        ("", "no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n",
            "can't be read",
        ),
        (&end.certificate, "CA:FALSE"),
        (private.expose_secret(), "something else than certificates"),
    ] {
        let error = Certificates::read(pem).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = Key::read(&"no key".into()).err().unwrap().to_string();
    assert!(
        error.contains("PKCS #8") && !error.contains("no key"),
        "{error}"
    );
}

#[test]
fn names_that_cant_be_used() {
    for (dns, fits) in [
        ("example.org", true),
        ("*.example.org", true),
        ("localhost", true),
        ("xn--bcher-kva.example", true),
        ("_srv.example.org", true),
        ("a.*.org", false),
        ("*", false),
        ("", false),
        ("-a.org", false),
        ("bücher.example", false),
        ("a..b", false),
        ("example.org.", false),
        ("10.0.0.1", false),
        ("a b", false),
    ] {
        let names = Names {
            dns: vec!["good.org".to_owned(), dns.to_owned()],
            ..Names::default()
        };
        match names.normalised() {
            Ok(_) => assert!(fits, "{dns}"),
            Err(error) => {
                assert!(!fits, "{dns}");
                assert!(error.to_string().starts_with("/dnsNames/1: "), "{error}");
            }
        }
    }
    for (subject, pointer) in [
        (
            Subject {
                country: Some("de".to_owned()),
                ..Subject::default()
            },
            "/country",
        ),
        (
            Subject {
                common_name: Some(String::new()),
                ..Subject::default()
            },
            "/commonName",
        ),
        (
            Subject {
                organization: Some("x".repeat(65)),
                ..Subject::default()
            },
            "/organization",
        ),
    ] {
        let error = subject.check().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{pointer}: ")), "{error}");
    }
}
