//! Secrets made by the hundred, beside `openssl` making the same.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nixops4_resources_tests::messages::{create, object};
use serde_json::{Value, json};

use crate::Settings;
use crate::place::{Place, succeed};
use crate::report::{Section, thousands};
use crate::sample;

const OWNER: &str = "bench";
const PROVIDER: &str = "nixops4-resources-secrets";

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    let passwords = settings.members;
    let certificates = settings.members.div_ceil(5);
    let mut section = Section::new(
        "Secrets, made and kept encrypted by one provider process; openssl keeps nothing, and has a \
         process for each",
        &["all", "each"],
    );
    let mut row = |name: String, number: usize, time: Duration| {
        let each = time / u32::try_from(number).expect("some thousand");
        section.row([name, sample::show(time), sample::show(each)]);
    };

    let name = |what: &str, number| format!("{what}: {}", thousands(number));
    let time = timed(|| {
        for _ in 0..passwords {
            succeed(openssl(place).args(["rand", "-base64", "24"]));
        }
    });
    row(name("openssl rand", passwords), passwords, time);
    let requests: Vec<_> = (0..passwords)
        .map(|number| {
            request(
                "secrets_password",
                &json!({"name": format!("bench/{number}")}),
            )
        })
        .collect();
    let time = timed(|| serve(place, &requests));
    row(name("secrets_password", passwords), passwords, time);
    let time = timed(|| serve(place, &requests));
    row(name("the same, there already", passwords), passwords, time);

    root_by_openssl(place);
    let time = timed(|| {
        for _ in 0..certificates {
            certificate_by_openssl(place);
        }
    });
    row(
        name("openssl req and x509, P-256", certificates),
        certificates,
        time,
    );
    let authority = request(
        "secrets_tls_ca",
        &json!({"name": "ca", "commonName": "bench"}),
    );
    let authority = serve(place, &[authority]).remove(0);
    let requests: Vec<_> = (0..certificates)
        .map(|number| {
            let inputs = json!({
                "name": format!("tls/{number}"),
                "dnsNames": [format!("host{number}.example.org")],
                "authority": authority["secret"],
                "authorityCertificate": authority["chain"],
            });
            request("secrets_tls_certificate", &inputs)
        })
        .collect();
    let time = timed(|| serve(place, &requests));
    row(
        name("secrets_tls_certificate, P-256", certificates),
        certificates,
        time,
    );
    let time = timed(|| serve(place, &requests));
    row(
        name("the same, there already", certificates),
        certificates,
        time,
    );
    section.show()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    drop(work());
    begun.elapsed()
}

fn request(kind: &str, inputs: &Value) -> String {
    let mut inputs = object(inputs.clone());
    inputs.insert("owner".to_owned(), json!(OWNER));
    create(kind, &inputs, true).to_string()
}

/// Sends the requests to one process, each after the answer to the one before;
/// gives the outputs.
fn serve(place: &Place, requests: &[String]) -> Vec<Value> {
    let mut child = place
        .command(PROVIDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the provider starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut outputs = Vec::with_capacity(requests.len());
    for request in requests {
        writeln!(stdin, "{request}").expect("it reads");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it answers");
        let mut answer: Value = serde_json::from_str(&line).expect("JSON");
        let made = answer["createResourceResponse"]["outputProperties"].take();
        assert!(made.is_object(), "{line}");
        outputs.push(made);
    }
    drop(stdin);
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{status}");
    outputs
}

fn openssl(place: &Place) -> Command {
    place.foreign("openssl")
}

fn root_by_openssl(place: &Place) {
    let mut root = openssl(place);
    root.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    root.args([
        "-nodes",
        "-subj",
        "/CN=bench",
        "-keyout",
        "root.key",
        "-out",
        "root.pem",
    ]);
    succeed(&mut root);
}

fn certificate_by_openssl(place: &Place) {
    let mut request = openssl(place);
    request.args([
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    request.args([
        "-nodes",
        "-subj",
        "/CN=host.example.org",
        "-keyout",
        "leaf.key",
    ]);
    request.args([
        "-addext",
        "subjectAltName=DNS:host.example.org",
        "-out",
        "leaf.csr",
    ]);
    succeed(&mut request);
    let mut sign = openssl(place);
    sign.args([
        "x509", "-req", "-in", "leaf.csr", "-CA", "root.pem", "-CAkey", "root.key",
    ]);
    sign.args([
        "-CAcreateserial",
        "-copy_extensions",
        "copy",
        "-days",
        "90",
        "-out",
        "leaf.pem",
    ]);
    succeed(&mut sign);
}
