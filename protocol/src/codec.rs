//! Lines of JSON, with a limit on their length.
//!
//! A line that is too long or is not UTF-8 is skipped to its end and reported,
//! so that whoever reads can answer it and go on with the next one.

use std::io::{self, BufRead};

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// How large a message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// One about a resource: 64 MiB and a million values, far more than any needs.
    /// Whoever sends more wants to fill the memory.
    Message,
    /// One with a whole state in it, or with events of one: 1 GiB, which is what the
    /// places that keep states take as one value.
    State,
}

impl Size {
    /// How many bytes a line of it may have.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Message => 64 << 20,
            Self::State => 1 << 30,
        }
    }

    /// How many values may be in it, if that is bounded: each takes some 100 bytes of
    /// memory, however few it has on the line.
    #[must_use]
    pub(crate) const fn values(self) -> Option<usize> {
        match self {
            Self::Message => Some(1 << 20),
            Self::State => None,
        }
    }
}

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line was skipped.
    #[error("a line of over {limit} bytes was skipped: send less in one message")]
    TooLong {
        /// The limit that it went over, in bytes.
        limit: usize,
    },
    /// The line was skipped.
    #[error("a line is not UTF-8 (byte {at} is wrong): messages are JSON in UTF-8")]
    NotUtf8 {
        /// Offset of the first wrong byte.
        at: usize,
    },
    /// The stream itself failed.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
}

impl LineError {
    /// Whether the next line can still be read.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

/// Collects one line from the chunks of a buffered reader; holds no more of it
/// than the limit.
struct Line {
    bytes: Vec<u8>,
    limit: usize,
    over: bool,
}

impl Line {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            over: false,
        }
    }

    /// Takes what belongs to this line from `chunk`; says how much of the chunk
    /// was used and whether the line has ended.
    fn take(&mut self, chunk: &[u8]) -> (usize, bool) {
        let (part, used, ended) = match chunk.iter().position(|byte| *byte == b'\n') {
            Some(at) => (&chunk[..at], at + 1, true),
            None => (chunk, chunk.len(), false),
        };
        let kept = part.len().min(self.limit - self.bytes.len());
        let needed = self.bytes.len() + kept;
        if self.bytes.capacity() < needed {
            let wanted = (self.bytes.len() * 2).clamp(needed, self.limit);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(&part[..kept]);
        self.over |= kept < part.len();
        (used, ended)
    }

    fn finish(self) -> Result<String, LineError> {
        if self.over {
            return Err(LineError::TooLong { limit: self.limit });
        }
        String::from_utf8(self.bytes).map_err(|error| LineError::NotUtf8 {
            at: error.utf8_error().valid_up_to(),
        })
    }

    fn finish_text(self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.over {
            text.push_str(" [cut]");
        }
        text
    }
}

/// Reads the next line, without its end. `None` at the end of the stream; a last
/// line without a newline counts.
pub fn read_line(reader: &mut impl BufRead, limit: usize) -> Result<Option<String>, LineError> {
    let mut line = Line::new(limit);
    let mut begun = false;
    loop {
        let chunk = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            return if begun {
                line.finish().map(Some)
            } else {
                Ok(None)
            };
        }
        begun = true;
        let (used, ended) = line.take(chunk);
        reader.consume(used);
        if ended {
            return line.finish().map(Some);
        }
    }
}

/// [`read_line`], for a stream that is read asynchronously. Not safe to cancel:
/// what was read of a line is lost.
pub async fn read_line_async(
    reader: &mut (impl AsyncBufRead + Unpin),
    limit: usize,
) -> Result<Option<String>, LineError> {
    match collect(reader, limit).await? {
        Some(line) => line.finish().map(Some),
        None => Ok(None),
    }
}

/// Reads the next line of text that is meant for people: a long one is cut, and
/// what is not UTF-8 is replaced.
pub(crate) async fn read_text_async(
    reader: &mut (impl AsyncBufRead + Unpin),
    limit: usize,
) -> io::Result<Option<String>> {
    Ok(collect(reader, limit).await?.map(Line::finish_text))
}

async fn collect(
    reader: &mut (impl AsyncBufRead + Unpin),
    limit: usize,
) -> io::Result<Option<Line>> {
    let mut line = Line::new(limit);
    let mut begun = false;
    loop {
        let chunk = match reader.fill_buf().await {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            return Ok(begun.then_some(line));
        }
        begun = true;
        let (used, ended) = line.take(chunk);
        reader.consume(used);
        if ended {
            return Ok(Some(line));
        }
    }
}

/// One message as a line, its newline included.
///
/// Fails only for a message that JSON cannot carry, which none of this crate's
/// are.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
