//! Somebody in the middle, who has a certificate of its own and passes on what both
//! sides say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use nixops4_postgresql_client::{Failure, Place, Target, TlsMode, connect};
use nixops4_resources_tests::postgres::{Config, Server, Tls};
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{CANARY, encrypted, lets_in, on_tcp, one, target};

fn server() -> Server {
    let server = Server::start(&Config {
        tls: Tls::Required,
        ..Config::default()
    });
    server.sql(&format!("CREATE ROLE proven LOGIN PASSWORD '{CANARY}'"));
    server
}

/// Who believes every server.
#[derive(Debug)]
struct Credulous(CryptoProvider);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What it heard from the client, in clear.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Stands before a server. What the server offers is passed on with `-PLUS` taken
/// out of it, if `strips`.
async fn stand_before(
    server: &Server,
    algorithm: &'static SignatureAlgorithm,
    strips: bool,
) -> (SocketAddr, Heard) {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).expect("names");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let ours = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate and its key");
    let theirs = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(ring::default_provider())))
        .with_no_client_auth();
    let behind = (server.host(), server.port());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heard = Heard::default();
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("somebody comes");
        let mut server = TcpStream::connect(behind).await.expect("the server");
        let mut request = [0; 8];
        client.read_exact(&mut request).await.expect("a request");
        server.write_all(&request).await.expect("it listens");
        assert_eq!(server.read_u8().await.expect("an answer"), b'S');
        client.write_all(b"S").await.expect("it listens");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let connector = TlsConnector::from(Arc::new(theirs));
        let server = connector.connect(name, server).await.expect("TLS");
        let Ok(client) = TlsAcceptor::from(Arc::new(ours)).accept(client).await else {
            return;
        };
        let (mut from_client, mut to_client) = split(client);
        let (mut from_server, mut to_server) = split(server);
        let up = async {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                hearing
                    .lock()
                    .expect("it")
                    .extend_from_slice(&buffer[..read]);
                if to_server.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        };
        let down = async {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                let said = stripped(&buffer[..read], strips);
                if to_client.write_all(&said).await.is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown().await;
        };
        tokio::join!(up, down);
    });
    (address, heard)
}

fn stripped(said: &[u8], strips: bool) -> Vec<u8> {
    let offer = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    if strips && said.ends_with(offer) {
        return [&b"R\0\0\0\x17\0\0\0\x0a"[..], b"SCRAM-SHA-256\0\0"].concat();
    }
    said.to_vec()
}

#[tokio::test]
async fn does_not_get_a_session() {
    let server = server();
    let direct = Target {
        tls: encrypted(TlsMode::Require, None),
        ..on_tcp(&server, "proven")
    };
    lets_in(&direct).await;
    for (algorithm, strips, mechanism) in [
        (
            &rcgen::PKCS_ECDSA_P256_SHA256,
            false,
            Some("SCRAM-SHA-256-PLUS\0"),
        ),
        (
            &rcgen::PKCS_ECDSA_P384_SHA384,
            false,
            Some("SCRAM-SHA-256-PLUS\0"),
        ),
        // Who takes the offer away is found out by the server.
        (
            &rcgen::PKCS_ECDSA_P256_SHA256,
            true,
            Some("SCRAM-SHA-256\0"),
        ),
        // Nothing can be bound to this one.
        (&rcgen::PKCS_ED25519, false, None),
        (&rcgen::PKCS_ED25519, true, None),
    ] {
        let (address, heard) = stand_before(&server, algorithm, strips).await;
        let through = Target {
            place: Place::new("127.0.0.1", address.port()),
            ..direct.clone()
        };
        let failure = connect(&through).await.expect_err("somebody is in between");
        let heard = heard.lock().expect("it").clone();
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(matches!(failure, Failure::Binding(_)), "{failure:?}");
        match mechanism {
            Some(mechanism) => assert!(heard.contains(mechanism), "{heard:?}"),
            None => assert!(!heard.contains("SCRAM"), "{heard:?}"),
        }
        assert!(!heard.contains(CANARY));
    }
}

/// By one who prefers to bind it, as the test above shows, and a server that refuses
/// what is bound to another certificate.
#[tokio::test]
async fn a_login_is_bound_where_tls_offers_it() {
    let server = server();
    let mut session = connect(&Target {
        tls: encrypted(TlsMode::Require, None),
        ..on_tcp(&server, "proven")
    })
    .await
    .expect("it is the server");
    let question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(one::<bool>(&mut session, question).await.expect("a row"));
    session.close().await;
    // Without TLS the same server would be believed, and offers nothing to bind to.
    let plain = Server::start(&Config::default());
    plain.sql(&format!("CREATE ROLE proven LOGIN PASSWORD '{CANARY}'"));
    lets_in(&target(Place::new(&plain.host(), plain.port()), "proven")).await;
}
