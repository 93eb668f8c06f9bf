//! Messages of PostgreSQL's protocol on a stream, before anybody is trusted: so each
//! has its limit, and all have one together.

use std::io;

use bytes::{Buf as _, BytesMut};
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::failure::Failure;

/// How much a server may say until the session has begun, in bytes. PostgreSQL says
/// some 500.
const MOST: usize = 256 << 10;

/// Both directions of a connection.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection to a server, on which messages are read one by one.
pub(crate) struct Wire {
    pub(crate) stream: Box<dyn Duplex>,
    /// What was read, and is no message yet.
    pub(crate) unread: BytesMut,
    /// How much more may come.
    left: usize,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Duplex>) -> Self {
        Self {
            stream,
            unread: BytesMut::new(),
            left: MOST,
        }
    }

    /// Sends what is written by `write`.
    pub(crate) async fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        write(&mut bytes).map_err(Failure::Io)?;
        let sent = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(Failure::Io)
    }

    /// The next message, and its bytes.
    pub(crate) async fn receive(&mut self) -> Result<(Message, BytesMut), Failure> {
        loop {
            if let Some(whole) = self.whole()? {
                let mut rest = whole.clone();
                let message = Message::parse(&mut rest).map_err(|error| garbage(&error))?;
                return message
                    .map(|message| (message, whole))
                    .ok_or_else(|| Failure::Protocol("half a message".to_owned()));
            }
            let read = self.stream.read_buf(&mut self.unread).await;
            match read.map_err(Failure::Io)? {
                0 => return Err(Failure::Io(io::ErrorKind::UnexpectedEof.into())),
                read => {
                    self.left = self.left.checked_sub(read).ok_or_else(|| {
                        Failure::Protocol(format!("it says more than {MOST} bytes"))
                    })?;
                }
            }
        }
    }

    /// The bytes of the next message, if all of them are there.
    fn whole(&mut self) -> Result<Option<BytesMut>, Failure> {
        let Some(header) = Header::parse(&self.unread).map_err(|error| garbage(&error))? else {
            return Ok(None);
        };
        // Without the byte that says what it is.
        let length = usize::try_from(header.len()).unwrap_or(usize::MAX);
        if length > MOST {
            return Err(Failure::Protocol(format!("a message of {length} bytes")));
        }
        let whole = (self.unread.len() > length).then(|| self.unread.split_to(length + 1));
        Ok(whole)
    }
}

fn garbage(error: &io::Error) -> Failure {
    Failure::Protocol(error.to_string())
}

/// Reads a message of a client that begins a session; it is not looked at.
pub(crate) async fn skip_startup(client: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length).await?;
    let length = (&length[..]).get_u32();
    let mut rest = vec![
        0;
        usize::try_from(length.min(1 << 16))
            .unwrap_or(0)
            .saturating_sub(4)
    ];
    client.read_exact(&mut rest).await?;
    Ok(())
}
