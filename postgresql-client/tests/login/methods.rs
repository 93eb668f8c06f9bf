//! What a real server may ask for.

use nixops4_postgresql_client::{Failure, Method, Place, Target, TlsMode, connect};
use nixops4_resources_tests::postgres::{Config, Server, Tls};

use crate::{CANARY, encrypted, lets_in, on_tcp, refuses, target};

const OLD: [(&str, Method); 3] = [
    ("clear", Method::Password),
    ("hashed", Method::Md5),
    ("trusted", Method::None),
];

fn server() -> Server {
    let of = |place: &str| {
        [
            format!("{place} password").replace("USER", "clear"),
            format!("{place} md5").replace("USER", "hashed"),
            format!("{place} trust").replace("USER", "trusted"),
        ]
    };
    let server = Server::start(&Config {
        tls: Tls::Offered,
        hba: [of("host all USER 127.0.0.1/32"), of("local all USER")].concat(),
        ..Config::default()
    });
    server.sql(&format!(
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE proven LOGIN PASSWORD '{CANARY}';
         CREATE ROLE clear LOGIN PASSWORD '{CANARY}'; CREATE ROLE trusted LOGIN;
         SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD '{CANARY}'"
    ));
    server
}

#[tokio::test]
async fn with_a_password_scram_or_a_server_that_is_known() {
    let server = server();
    let authority = server.ca_file();
    lets_in(&on_tcp(&server, "proven")).await;
    for (user, method) in OLD {
        let it = on_tcp(&server, user);
        let with = |mode, authority| Target {
            tls: encrypted(mode, authority),
            ..it.clone()
        };
        // Encrypted or not, nobody has said who that is.
        for mode in [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require] {
            refuses(&with(mode, None), method).await;
        }
        for mode in [
            TlsMode::Prefer,
            TlsMode::Require,
            TlsMode::VerifyCa,
            TlsMode::VerifyFull,
        ] {
            lets_in(&with(mode, Some(&authority))).await;
        }
        // There is nothing to verify.
        refuses(&with(TlsMode::Disable, Some(&authority)), method).await;
        // On a unix socket the system has said who that is.
        let folder = server.socket_dir();
        let socket = Place::new(&folder.to_string_lossy(), server.port());
        let on_socket = target(socket, user);
        lets_in(&on_socket).await;
        // Whoever lists methods means them everywhere.
        for other in Method::ALL {
            for place in [&it, &on_socket] {
                let listed = Target {
                    require_auth: Some(vec![other]),
                    ..place.clone()
                };
                if other == method {
                    lets_in(&listed).await;
                } else {
                    refuses(&listed, method).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn without_a_password_there_is_nothing_to_lose() {
    let server = server();
    let without = |user| Target {
        password: None,
        ..on_tcp(&server, user)
    };
    lets_in(&without("trusted")).await;
    for user in ["clear", "hashed", "proven"] {
        let failure = connect(&without(user)).await.expect_err("it has one");
        assert!(matches!(failure, Failure::NoPassword), "{user}: {failure}");
    }
}

#[tokio::test]
async fn a_server_says_why_it_lets_nobody_in() {
    let server = server();
    for (target, code) in [
        (
            Target {
                password: Some("another".into()),
                ..on_tcp(&server, "proven")
            },
            "28P01",
        ),
        (
            Target {
                database: "none".to_owned(),
                ..on_tcp(&server, "proven")
            },
            "3D000",
        ),
    ] {
        match connect(&target).await {
            Err(Failure::Server(error)) => assert_eq!(error.code, code, "{error:?}"),
            other => panic!("{code}: {:?}", other.err()),
        }
    }
}

#[tokio::test]
async fn whoever_verifies_finds_another_authority() {
    let (server, stranger) = (server(), server());
    for mode in [
        TlsMode::Prefer,
        TlsMode::Require,
        TlsMode::VerifyCa,
        TlsMode::VerifyFull,
    ] {
        let target = Target {
            tls: encrypted(mode, Some(&stranger.ca_file())),
            ..on_tcp(&server, "proven")
        };
        let failure = connect(&target).await.expect_err("it is another's");
        assert!(matches!(failure, Failure::Tls(_)), "{mode:?}: {failure:?}");
    }
}
