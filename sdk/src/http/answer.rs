//! What a server answered.

use std::fmt;
use std::time::SystemTime;

use nixops4_http_client::header::{ETAG, HeaderMap, HeaderName, LINK, RETRY_AFTER};
use nixops4_http_client::{StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, shortened};

/// How much of a text is shown that nobody expected, in characters.
const SHOWN: usize = 200;

/// What a server answered. It may hold a secret: its `Debug` shows status and size.
pub struct Answer {
    pub(super) came: nixops4_http_client::Answer,
    /// What errors call the request.
    pub(super) request: String,
    /// Where it was sent. It may hold a secret.
    pub(super) url: Option<Url>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "answer to {}: {:?}", self.request, self.came)
    }
}

impl Answer {
    /// An answer that no server gave, to test a [`Dialect`](super::Dialect) with.
    #[must_use]
    pub fn made_up(status: u16, body: &str) -> Self {
        let came = nixops4_http_client::Answer {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec().into(),
        };
        Self {
            came,
            request: "GET /made/up".to_owned(),
            url: None,
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.came.status
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.came.headers
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.came.body
    }

    /// Its body as text; what isn't UTF-8 in it is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body()).into_owned()
    }

    /// The beginning of its body, for an error about what nobody expected.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.text().trim() {
            "" => "without a word".to_owned(),
            text => shortened(text, SHOWN),
        }
    }

    /// Its body, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.body()).map_err(|error| {
            // What it says may hold a secret; where it goes wrong does not.
            let place = format!("at line {} column {}", error.line(), error.column());
            Error::new(format!("the answer to {} is not as expected", self.request))
                .because(place)
                .hint("see that the server is of a version that this provider knows")
        })
    }

    /// A header, if it is there and text.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The version of what was read, to be given to
    /// [`Request::if_match`](super::Request::if_match).
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.header(ETAG)
    }

    /// How many seconds the server asks to be left alone for, or until a date.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        let text = self.header(RETRY_AFTER)?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(seconds);
        }
        let until = httpdate::parse_http_date(text).ok()?;
        // One that is past asks for nothing.
        let left = until.duration_since(SystemTime::now()).unwrap_or_default();
        Some(u32::try_from(left.as_secs()).unwrap_or(u32::MAX))
    }

    /// Where the next page is, as its `Link` header says. It may be on another server.
    #[must_use]
    pub fn next_page(&self) -> Option<Url> {
        let links = self.headers().get_all(LINK).iter();
        let next = links
            .filter_map(|link| link.to_str().ok())
            .find_map(next_in)?;
        self.url.as_ref()?.join(next).ok()
    }
}

/// The target of the first link that is `next`. A target stands in angle brackets, and
/// may have commas and semicolons in it.
fn next_in(mut links: &str) -> Option<&str> {
    loop {
        let (_, rest) = links.split_once('<')?;
        let (target, rest) = rest.split_once('>')?;
        let end = end_of_parameters(rest);
        let (parameters, others) = rest.split_at(end);
        if parameters.split(';').any(is_next) {
            return Some(target);
        }
        links = others;
    }
}

/// Where the comma is that ends the parameters of a link: one that isn't quoted.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    let comma = text.find(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    comma.unwrap_or(text.len())
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel") && relations.any(|one| one.eq_ignore_ascii_case("next"))
}

/// What an answer can be read as: JSON of any type, [`Nothing`], or the [`Answer`] itself.
pub trait Readable: Sized {
    /// Reads an answer that is no refusal.
    fn read(answer: Answer) -> Result<Self>;
}

impl<T: DeserializeOwned> Readable for T {
    fn read(answer: Answer) -> Result<Self> {
        answer.json()
    }
}

/// An answer in which there is nothing to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nothing;

impl Readable for Nothing {
    fn read(_: Answer) -> Result<Self> {
        Ok(Self)
    }
}

impl Readable for Answer {
    fn read(answer: Answer) -> Result<Self> {
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page() {
        for (links, next) in [
            (
                "<https://a/?page=2>; rel=\"next\", <https://a/?page=9>; rel=\"last\"",
                "https://a/?page=2",
            ),
            (
                "<https://a/?page=1>; rel=prev,<https://a/?p=1,2;3>;rel=next",
                "https://a/?p=1,2;3",
            ),
            ("</b>; title=\"a, b\"; REL=\"last Next\"", "/b"),
            ("<https://a/?page=9>; rel=\"last\"", ""),
            ("<https://a/>; rel=\"nextish\"; title=\"rel=next\"", ""),
            ("<broken; rel=next", ""),
            ("", ""),
        ] {
            assert_eq!(next_in(links).unwrap_or_default(), next, "{links}");
        }
    }
}
