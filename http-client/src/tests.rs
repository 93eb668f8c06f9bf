//! On a server on loopback, in clear and over TLS.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy";

/// A server that answers each request with the same, over TLS if it is to.
async fn server(answer: &'static [u8], tls: Option<Arc<ServerConfig>>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scheme = if tls.is_some() { "https" } else { "http" };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            match &tls {
                None => serve(stream, answer).await,
                Some(tls) => {
                    // A client that does not trust us goes away.
                    if let Ok(stream) = TlsAcceptor::from(Arc::clone(tls)).accept(stream).await {
                        serve(stream, answer).await;
                    }
                }
            }
        }
    });
    format!("{scheme}://localhost:{port}/canary")
        .parse()
        .unwrap()
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let _ = stream.read(&mut [0; 4096]).await;
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

async fn ask(server: &Url, trust: &Trust) -> Result<Answer, Failure> {
    let request = Request {
        method: Method::GET,
        url: server.clone(),
        headers: HeaderMap::new(),
        body: Vec::new(),
        limit: Duration::from_secs(20),
        most: 1000,
    };
    Client::new(server, trust).unwrap().send(request).await
}

#[tokio::test]
async fn whatever_is_answered_comes_back() {
    let server = server(ANSWER, None).await;
    let answer = ask(&server, &Trust::System).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &**answer.body),
        (503, &b"busy"[..])
    );
    assert_eq!(answer.headers[header::RETRY_AFTER], "7");
    assert!(!format!("{answer:?}").contains("busy"));
}

#[tokio::test]
async fn why_there_is_no_answer() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        format!("http://127.0.0.1:{port}/canary").parse().unwrap()
    };
    let failure = ask(&nobody, &Trust::System).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
    let cut: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\nbroken";
    for answer in [cut, b""] {
        let failure = ask(&server(answer, None).await, &Trust::System).await;
        let failure = failure.unwrap_err();
        assert!(matches!(failure, Failure::BrokenOff(_)), "{failure:?}");
        assert!(!failure.to_string().contains("canary"), "{failure}");
    }
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1001));
    let long = server(long.leak().as_bytes(), None).await;
    let failure = ask(&long, &Trust::System).await.unwrap_err();
    assert!(matches!(failure, Failure::TooLarge { most: 1000 }));
    assert!(!failure.may_pass());
    // TLS is spoken to one who does not.
    let mut clear = server(ANSWER, None).await;
    clear.set_scheme("https").unwrap();
    let failure = ask(&clear, &Trust::System).await.unwrap_err();
    assert!(matches!(failure, Failure::Tls(_)), "{failure:?}");
}

#[tokio::test]
async fn who_is_trusted() {
    let certified = |name: &str| generate_simple_self_signed([name.to_owned()]).unwrap();
    let CertifiedKey { cert, signing_key } = certified("localhost");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let server = server(ANSWER, Some(Arc::new(tls))).await;
    let mut elsewhere = server.clone();
    elsewhere.set_host(Some("127.0.0.1")).unwrap();
    let own = Trust::authorities(cert.pem().as_bytes()).unwrap();
    let another = certified("localhost").cert;
    let fingerprint = Fingerprint::of(cert.der());
    let pinned = Trust::Certificate(fingerprint.to_string().parse().unwrap());
    let wrong = Fingerprint::of(another.der());
    for (server, trust, is_trusted) in [
        (&server, &own, true),
        (&server, &pinned, true),
        // Whatever the name is.
        (&elsewhere, &pinned, true),
        (&elsewhere, &own, false),
        (&server, &Trust::System, false),
        (
            &server,
            &Trust::authorities(another.pem().as_bytes()).unwrap(),
            false,
        ),
        (&server, &Trust::Certificate(wrong), false),
    ] {
        let answer = ask(server, trust).await;
        match answer {
            Ok(answer) => assert!(is_trusted, "{answer:?} by {trust:?}"),
            Err(Failure::Untrusted(why)) => assert!(!is_trusted, "{why} by {trust:?}"),
            Err(failure) => panic!("{failure:?} by {trust:?}"),
        }
    }
    // Who pins is told what is there.
    let failure = ask(&server, &Trust::Certificate(wrong)).await.unwrap_err();
    assert!(failure.to_string().contains(&fingerprint.to_string()));
}

#[test]
fn what_is_no_authority() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let missing = Trust::read(&path).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    std::fs::write(&path, "nothing").unwrap();
    let empty = Trust::read(&path).unwrap_err();
    assert!(empty.to_string().contains("no certificate in it"));
    assert!(empty.to_string().contains("ca.pem"), "{empty}");
}

#[test]
fn what_is_a_fingerprint() {
    let plain = "0f".repeat(32);
    let with_colons = vec!["0F"; 32].join(":");
    let fingerprint: Fingerprint = plain.parse().unwrap();
    assert_eq!(Ok(fingerprint), with_colons.parse());
    assert_eq!(fingerprint.to_string(), with_colons);
    for bad in ["", "0f", &plain[1..], &"xy".repeat(32)] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}
