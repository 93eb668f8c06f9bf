//! A session with a server, in this process: what a check asks many times would
//! take most of its time to start `psql` for.
//!
//! This module must not know which sessions are kept.

use std::io::{self, Read, Write};
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use socket2::{Domain, SockAddr, Socket, Type};

/// How long a login may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What `ReadyForQuery` says outside of a transaction.
const IDLE: u8 = b'I';

/// A session. Logged out when dropped; its backend is gone by then.
#[derive(Debug)]
pub(super) struct Session {
    socket: Socket,
    to_server: BytesMut,
    from_server: BytesMut,
}

impl Session {
    /// Logs in with a password; an error is what the server says.
    pub(super) fn login(
        address: &SockAddr,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<Self, String> {
        let connect = || {
            let socket = Socket::new(
                Domain::from(i32::from(address.family())),
                Type::STREAM,
                None,
            )?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(LOGIN_TIMEOUT))?;
            Ok(socket)
        };
        let mut session = Self {
            socket: connect().map_err(|error: io::Error| format!("cannot connect: {error}"))?,
            to_server: BytesMut::new(),
            from_server: BytesMut::new(),
        };
        let parameters = [("user", user), ("database", database)];
        session.send(|buffer| frontend::startup_message(parameters, buffer))?;
        session.authenticate(password)?;
        let forever = session.socket.set_read_timeout(None);
        forever.map_err(|error| error.to_string())?;
        Ok(session)
    }

    fn authenticate(&mut self, password: &str) -> Result<(), String> {
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        loop {
            let happened = match self.receive()? {
                Message::AuthenticationSasl(_) => self.send(|buffer| {
                    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), buffer)
                }),
                Message::AuthenticationSaslContinue(body) => self.send(|buffer| {
                    scram.update(body.data())?;
                    frontend::sasl_response(scram.message(), buffer)
                }),
                Message::AuthenticationSaslFinal(body) => scram
                    .finish(body.data())
                    .map_err(|error| format!("the server did not prove itself: {error}")),
                Message::ReadyForQuery(_) => return Ok(()),
                Message::ErrorResponse(body) => Err(described(&body)),
                Message::AuthenticationOk
                | Message::BackendKeyData(_)
                | Message::ParameterStatus(_)
                | Message::NoticeResponse(_) => Ok(()),
                _ => Err("the server asks for another way to log in".to_owned()),
            };
            happened?;
        }
    }

    /// Runs statements as `psql` runs a script, each by itself up to the first that
    /// fails, and gives their rows: columns separated by `|`.
    pub(super) fn run(&mut self, script: &str) -> Result<String, String> {
        let mut rows = Vec::new();
        for statement in super::script::statements(script) {
            self.run_one(statement, &mut rows)?;
        }
        Ok(rows.join("\n"))
    }

    /// Whether there was no transaction open in the end.
    fn run_one(&mut self, statement: &str, rows: &mut Vec<String>) -> Result<bool, String> {
        self.send(|buffer| frontend::query(statement, buffer))?;
        let mut failed = None;
        loop {
            let message = match (self.receive(), failed.take()) {
                (Ok(message), before) => {
                    failed = before;
                    message
                }
                // After what is fatal it says no more.
                (Err(_), Some(error)) => return Err(error),
                (Err(ended), None) => return Err(ended),
            };
            match message {
                Message::DataRow(body) => rows.push(row(&body).map_err(|error| error.to_string())?),
                Message::ErrorResponse(body) => failed = Some(described(&body)),
                Message::ReadyForQuery(body) => match failed {
                    Some(error) => return Err(error),
                    None => return Ok(body.status() == IDLE),
                },
                Message::CopyInResponse(_) | Message::CopyOutResponse(_) => {
                    return Err("there is nobody to copy from or to".to_owned());
                }
                _ => {}
            }
        }
    }

    /// As good as new: whether it can be used again, whatever was run in it.
    pub(super) fn forget(&mut self) -> bool {
        // In a transaction that was left open it is refused.
        self.run_one("DISCARD ALL", &mut Vec::new()).is_ok()
    }

    /// Whether the server has not ended it: then nothing would be there to read.
    pub(super) fn is_open(&self) -> bool {
        let peek = || {
            self.socket.set_nonblocking(true)?;
            let peeked = self.socket.peek(&mut [std::mem::MaybeUninit::uninit()]);
            self.socket.set_nonblocking(false)?;
            peeked
        };
        peek().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn send(
        &mut self,
        message: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), String> {
        self.to_server.clear();
        message(&mut self.to_server)
            .and_then(|()| self.socket.write_all(&self.to_server))
            .or_else(|error| match error.kind() {
                // It has hung up, and what it said before is still to be read.
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(()),
                _ => Err(format!("cannot tell the server: {error}")),
            })
    }

    fn receive(&mut self) -> Result<Message, String> {
        let mut receive = || {
            loop {
                if let Some(message) = Message::parse(&mut self.from_server)? {
                    return Ok(message);
                }
                let mut bytes = [0; 8192];
                match self.socket.read(&mut bytes) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(count) => self.from_server.extend_from_slice(&bytes[..count]),
                    // A signal came, such as that a child has ended.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        };
        receive().map_err(|error: io::Error| format!("the server ended the session: {error}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Once its end is closed, the backend is no user of its database any more,
        // which could then be dropped or copied.
        let _gone_already = self
            .send(|buffer| {
                frontend::terminate(buffer);
                Ok(())
            })
            .map(|()| while self.receive().is_ok() {});
    }
}

fn row(body: &DataRowBody) -> io::Result<String> {
    let values = body.ranges().map(|range| {
        let value = range.map_or(&[][..], |range| &body.buffer()[range]);
        Ok(String::from_utf8_lossy(value).into_owned())
    });
    Ok(values.collect::<Vec<_>>()?.join("|"))
}

/// `ERROR:  what` and its details, as `psql` shows them.
fn described(body: &ErrorResponseBody) -> String {
    let mut fields = body.fields();
    let mut shown = [const { String::new() }; 4];
    while let Ok(Some(field)) = fields.next() {
        let text = String::from_utf8_lossy(field.value_bytes());
        match field.type_() {
            b'S' => shown[0] = format!("{text}:  "),
            b'M' => shown[1] = text.into_owned(),
            b'D' => shown[2] = format!("\nDETAIL:  {text}"),
            b'H' => shown[3] = format!("\nHINT:  {text}"),
            _ => {}
        }
    }
    shown.concat()
}
