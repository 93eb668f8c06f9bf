//! The conversation by which a server lets us in.

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use secrecy::ExposeSecret as _;

use crate::authentication::{Method, Standing, may_ask};
use crate::binding;
use crate::failure::{Failure, ServerError};
use crate::target::Target;
use crate::tls::Begun;
use crate::wire::{Duplex, Wire};

/// A session that has begun.
pub(crate) struct LoggedIn {
    pub(crate) stream: Box<dyn Duplex>,
    /// What the server has said since it let us in, for who goes on.
    pub(crate) said: BytesMut,
}

/// What is known of the other end.
struct Peer {
    /// Whether it is known who that is.
    is_known: bool,
    channel: Channel,
}

/// What a login goes over.
enum Channel {
    Clear,
    /// TLS, with the hash of the certificate that a login is bound to, if it has one.
    Encrypted {
        end_point: Option<Vec<u8>>,
    },
}

/// Begins a session on a unix socket.
pub(crate) async fn on_socket(
    stream: Box<dyn Duplex>,
    target: &Target,
) -> Result<LoggedIn, Failure> {
    let peer = Peer {
        is_known: true,
        channel: Channel::Clear,
    };
    log_in(Wire::new(stream), target, &peer).await
}

/// Begins a session on TCP, with or without TLS.
pub(crate) async fn on_tcp(begun: Begun, target: &Target) -> Result<LoggedIn, Failure> {
    match begun {
        Begun::Plain(stream) => {
            let peer = Peer {
                is_known: false,
                channel: Channel::Clear,
            };
            log_in(Wire::new(Box::new(stream)), target, &peer).await
        }
        Begun::Encrypted(stream) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let certificate = certificates.and_then(|chain| chain.first());
            let peer = Peer {
                is_known: target.tls.tells_who(),
                channel: Channel::Encrypted {
                    end_point: certificate.and_then(binding::end_point),
                },
            };
            log_in(Wire::new(stream), target, &peer).await
        }
    }
}

async fn log_in(mut wire: Wire, target: &Target, peer: &Peer) -> Result<LoggedIn, Failure> {
    wire.send(|out| frontend::startup_message(target.parameters(), out))
        .await?;
    let said = authenticate(&mut wire, target, peer).await?;
    begin(wire, said).await
}

/// Answers what the server asks for, once and if it may. Gives back the message that
/// says that we are in.
async fn authenticate(wire: &mut Wire, target: &Target, peer: &Peer) -> Result<BytesMut, Failure> {
    let (asked, bytes) = wire.receive().await?;
    match asked {
        Message::AuthenticationOk => {
            permit(Method::None, target, peer)?;
            return Ok(bytes);
        }
        Message::AuthenticationCleartextPassword => {
            permit(Method::Password, target, peer)?;
            let password = password(target)?;
            wire.send(|out| frontend::password_message(password.as_bytes(), out))
                .await?;
        }
        Message::AuthenticationMd5Password(body) => {
            permit(Method::Md5, target, peer)?;
            let user = target.user.as_bytes();
            let hash = md5_hash(user, password(target)?.as_bytes(), body.salt());
            wire.send(|out| frontend::password_message(hash.as_bytes(), out))
                .await?;
        }
        Message::AuthenticationSasl(body) => {
            permit(Method::ScramSha256, target, peer)?;
            prove(wire, &body, password(target)?, peer).await?;
        }
        Message::ErrorResponse(body) => return Err(refused(&body)),
        other => return Err(unsupported(&other)),
    }
    match wire.receive().await? {
        (Message::AuthenticationOk, bytes) => Ok(bytes),
        (Message::ErrorResponse(body), _) => Err(refused(&body)),
        _ => Err(unexpected()),
    }
}

/// Fails if the server may not ask for this.
fn permit(asked: Method, target: &Target, peer: &Peer) -> Result<(), Failure> {
    let standing = Standing {
        has_password: target.password.is_some(),
        is_known: peer.is_known,
    };
    if may_ask(asked, target.require_auth.as_deref(), standing) {
        return Ok(());
    }
    Err(Failure::Refused {
        asked,
        is_listed: target.require_auth.is_some(),
    })
}

fn password(target: &Target) -> Result<&str, Failure> {
    let password = target.password.as_ref().ok_or(Failure::NoPassword)?;
    Ok(password.expose_secret())
}

/// Proves by SCRAM that we know the password, and has the server prove it too.
async fn prove(
    wire: &mut Wire,
    offer: &AuthenticationSaslBody,
    password: &str,
    peer: &Peer,
) -> Result<(), Failure> {
    let (mechanism, binding) = choose(offer, peer)?;
    let mut scram = ScramSha256::new(password.as_bytes(), binding);
    wire.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out))
        .await?;
    match wire.receive().await?.0 {
        Message::AuthenticationSaslContinue(body) => scram
            .update(body.data())
            .map_err(|error| Failure::Protocol(error.to_string()))?,
        Message::ErrorResponse(body) => return Err(unbound(refused(&body), peer)),
        _ => return Err(unexpected()),
    }
    wire.send(|out| frontend::sasl_response(scram.message(), out))
        .await?;
    match wire.receive().await?.0 {
        Message::AuthenticationSaslFinal(body) => {
            scram.finish(body.data()).map_err(|_| Failure::Unproven)
        }
        Message::ErrorResponse(body) => Err(unbound(refused(&body), peer)),
        _ => Err(Failure::Unproven),
    }
}

/// What it means that a server ends a login in the middle of the proof: by these
/// codes it says that it sees another TLS connection than we do.
fn unbound(failure: Failure, peer: &Peer) -> Failure {
    match failure {
        Failure::Server(error)
            if matches!(peer.channel, Channel::Encrypted { .. })
                && ["28000", "08P01"].contains(&&*error.code) =>
        {
            Failure::Binding(format!(
                "{}: somebody is between us and the server, with a certificate of their own",
                error.message
            ))
        }
        other => other,
    }
}

/// Which of the offered mechanisms, and what binds it to this connection. What we
/// say of it is part of the proof, so that the server notices an offer that somebody
/// in between has changed.
fn choose(
    offer: &AuthenticationSaslBody,
    peer: &Peer,
) -> Result<(&'static str, ChannelBinding), Failure> {
    let offered: Vec<_> = offer
        .mechanisms()
        .map(|name| Ok(name.to_owned()))
        .collect()
        .map_err(|error| Failure::Protocol(error.to_string()))?;
    let plain = offered.iter().any(|name| name == SCRAM_SHA_256);
    let bound = offered.iter().any(|name| name == SCRAM_SHA_256_PLUS);
    match &peer.channel {
        Channel::Encrypted {
            end_point: Some(hash),
        } if bound => Ok((
            SCRAM_SHA_256_PLUS,
            ChannelBinding::tls_server_end_point(hash.clone()),
        )),
        Channel::Clear if bound => Err(Failure::Binding(
            "the server offers to bind the login to a TLS connection that there is none of: somebody \
             is between us and the server"
                .to_owned(),
        )),
        _ if !plain => Err(Failure::Unsupported(format!("SASL {}", offered.join(", ")))),
        // We could bind, and were not offered it.
        Channel::Encrypted { end_point: Some(_) } => Ok((SCRAM_SHA_256, ChannelBinding::unrequested())),
        Channel::Encrypted { end_point: None } if !peer.is_known => Err(Failure::Binding(
            "the login can't be bound to the server's certificate, which is signed without a hash \
             (as with Ed25519), and the certificate is not verified"
                .to_owned(),
        )),
        Channel::Encrypted { end_point: None } | Channel::Clear => Ok((SCRAM_SHA_256, ChannelBinding::unsupported())),
    }
}

/// Waits until the session is ready, and keeps what the server says until then.
async fn begin(mut wire: Wire, mut said: BytesMut) -> Result<LoggedIn, Failure> {
    loop {
        let (message, bytes) = wire.receive().await?;
        match message {
            Message::ErrorResponse(body) => return Err(refused(&body)),
            Message::ReadyForQuery(_) => {
                said.extend_from_slice(&bytes);
                said.extend_from_slice(&wire.unread);
                return Ok(LoggedIn {
                    stream: wire.stream,
                    said,
                });
            }
            Message::BackendKeyData(_)
            | Message::NoticeResponse(_)
            | Message::ParameterStatus(_) => said.extend_from_slice(&bytes),
            _ => return Err(unexpected()),
        }
    }
}

fn refused(body: &ErrorResponseBody) -> Failure {
    let mut error = ServerError {
        code: String::new(),
        message: String::new(),
    };
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => error.code = value,
            b'M' => error.message = value,
            _ => {}
        }
    }
    Failure::Server(error)
}

fn unsupported(asked: &Message) -> Failure {
    match asked {
        Message::AuthenticationGss | Message::AuthenticationGssContinue(_) => {
            Failure::Unsupported("GSSAPI".to_owned())
        }
        Message::AuthenticationSspi => Failure::Unsupported("SSPI".to_owned()),
        Message::AuthenticationKerberosV5 => Failure::Unsupported("Kerberos".to_owned()),
        Message::AuthenticationScmCredential => Failure::Unsupported("a credential".to_owned()),
        _ => unexpected(),
    }
}

fn unexpected() -> Failure {
    Failure::Protocol("it says something else than is its turn".to_owned())
}
