//! Who listens in a server's place.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nixops4_postgresql_client::{Failure, Method, Place, Target, TlsMode, connect};

use crate::{CANARY, encrypted, target};

/// A message of a server.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn asks(method: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&method.to_be_bytes()[..], rest].concat())
}

/// What lets somebody in without a question.
fn welcome() -> Vec<u8> {
    [asks(0, b""), message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
}

fn offers_scram() -> Vec<u8> {
    asks(10, b"SCRAM-SHA-256\0\0")
}

/// The next thing that it says, given what was said to it so far.
type Turn = fn(&[u8]) -> Vec<u8>;

/// Listens once and answers each thing that is said with the next turn; gives back
/// all that was said.
fn listens(turns: Vec<Turn>) -> (Target, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let serving = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("somebody comes");
        let mut heard = Vec::new();
        for turn in turns {
            if hear(&mut client, &mut heard) == 0 {
                return heard;
            }
            // Whoever leaves has heard enough.
            let _ = client.write_all(&turn(&heard));
        }
        while hear(&mut client, &mut heard) > 0 {}
        heard
    });
    let target = Target {
        tls: encrypted(TlsMode::Disable, None),
        ..target(Place::new("127.0.0.1", port), "postgres")
    };
    (target, serving)
}

fn hear(client: &mut TcpStream, heard: &mut Vec<u8>) -> usize {
    let mut buffer = [0; 4096];
    let read = client.read(&mut buffer).unwrap_or(0);
    heard.extend_from_slice(&buffer[..read]);
    read
}

/// A proof that whoever says this has seen the client's nonce, and nothing else.
fn continues(heard: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(heard);
    let nonce = text.rsplit(",r=").next().expect("a nonce");
    asks(
        11,
        format!("r={nonce}mine,s={},i=1", STANDARD.encode("salt")).as_bytes(),
    )
}

async fn fails(turns: Vec<Turn>) -> (Failure, Vec<u8>) {
    let (target, serving) = listens(turns);
    let failure = connect(&target).await.expect_err("it is no server");
    let heard = serving.join().expect("it has listened");
    assert!(
        !String::from_utf8_lossy(&heard).contains(CANARY),
        "it has the password"
    );
    (failure, heard)
}

#[tokio::test]
async fn gets_no_password_and_is_not_believed() {
    let cases: [(Turn, Method); 3] = [
        (|_| asks(3, b""), Method::Password),
        (|_| asks(5, b"salt"), Method::Md5),
        (|_| welcome(), Method::None),
    ];
    for (turn, wanted) in cases {
        let (failure, heard) = fails(vec![turn]).await;
        match failure {
            Failure::Refused { asked, .. } => assert_eq!(asked, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
        // Nothing came after what every session begins with.
        assert_eq!(heard.len(), usize::from(heard[3]), "{wanted}");
        assert!(!String::from_utf8_lossy(&heard).contains("md5"));
    }
}

#[tokio::test]
async fn has_to_prove_that_it_knows_the_password() {
    let wrong: Turn = |_| asks(12, format!("v={}", STANDARD.encode([0; 32])).as_bytes());
    let both: Turn = |_| {
        let proof = asks(12, format!("v={}", STANDARD.encode([0; 32])).as_bytes());
        [proof, welcome()].concat()
    };
    let never: Turn = |_| welcome();
    for last in [wrong, both, never] {
        let (failure, _) = fails(vec![|_| offers_scram(), continues, last]).await;
        assert!(matches!(failure, Failure::Unproven), "{failure:?}");
    }
    // Having asked for one thing it doesn't get another.
    for next in [3, 5] {
        let clear: Turn = |_| asks(3, b"");
        let hashed: Turn = |_| asks(5, b"salt");
        let turn = if next == 3 { clear } else { hashed };
        fails(vec![|_| offers_scram(), turn]).await;
        fails(vec![|_| offers_scram(), continues, turn]).await;
    }
}

#[tokio::test]
async fn offers_what_can_not_be() {
    let (failure, _) = fails(vec![|_| asks(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")]).await;
    assert!(matches!(failure, Failure::Binding(_)), "{failure:?}");
    let (failure, _) = fails(vec![|_| asks(10, b"PLAIN\0\0")]).await;
    assert!(matches!(failure, Failure::Unsupported(_)), "{failure:?}");
    for method in [2, 7, 9] {
        let turn: Turn = match method {
            2 => |_| asks(2, b""),
            7 => |_| asks(7, b""),
            _ => |_| asks(9, b""),
        };
        let (failure, _) = fails(vec![turn]).await;
        assert!(matches!(failure, Failure::Unsupported(_)), "{failure:?}");
    }
}

#[tokio::test]
async fn speaks_of_something_else() {
    let cases: [Turn; 7] = [
        |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        |_| message(b'Z', b"I"),
        |_| message(b'E', b"Snonsense"),
        |_| b"R\0\0\0\x02".to_vec(),
        // More than anybody has to say.
        |_| b"R\x7f\xff\xff\xff".to_vec(),
        |_| b"R\xff\xff\xff\xff".to_vec(),
        |_| asks(99, b""),
    ];
    for turn in cases {
        let (failure, _) = fails(vec![turn]).await;
        assert!(
            matches!(failure, Failure::Protocol(_) | Failure::Server(_)),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn says_more_than_fits() {
    let (target, _serving) = listens(vec![|_| {
        let one = message(
            b'S',
            &[b"name\0".to_vec(), vec![b'x'; 9000], vec![0]].concat(),
        );
        [asks(0, b""), one.repeat(60)].concat()
    }]);
    let target = Target {
        require_auth: Some(vec![Method::None]),
        ..target
    };
    let failure = connect(&target).await.expect_err("it does not end");
    assert!(matches!(failure, Failure::Protocol(_)), "{failure:?}");
}

/// Of TLS: whoever says something else than yes or no, or goes on in clear.
#[tokio::test]
async fn answers_oddly_when_asked_for_encryption() {
    let cases: [Turn; 4] = [
        |_| b"E".to_vec(),
        |_| b"?".to_vec(),
        |_| [b"S".to_vec(), welcome()].concat(),
        |_| [b"N".to_vec(), asks(3, b"")].concat(),
    ];
    for turn in cases {
        let (target, serving) = listens(vec![turn]);
        let target = Target {
            tls: encrypted(TlsMode::Prefer, None),
            ..target
        };
        let connecting = tokio::time::timeout(Duration::from_secs(20), connect(&target));
        connecting
            .await
            .expect("it says something")
            .expect_err("it is no server");
        let heard = serving.join().expect("it has listened");
        assert!(!String::from_utf8_lossy(&heard).contains(CANARY));
    }
}
