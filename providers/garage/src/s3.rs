//! The objects of one bucket, over S3: as much of it as emptying one takes.
//!
//! `rusty-s3` builds and signs what is asked and reads what is answered. This must
//! not know whose the bucket is, nor where the key comes from.

use std::time::{Duration, Instant};

use instant_xml::FromXml;
use nixops4_provider_sdk::http::{
    HeaderValue, HttpClient, HttpRequest, Method, StatusCode, header,
};
use nixops4_provider_sdk::{Context, Error, ExposeSecret as _, Result, Retry, SecretString};
use rusty_s3::actions::{DeleteObjects, DeleteObjectsResponse, ListObjectsV2, ObjectIdentifier};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use crate::api::{AccessKeyId, BucketId};

/// Where errors point.
pub(crate) const POINTER: &str = "/connection/s3Endpoint";

/// How long a signed request is good for: until it is sent, whatever the clocks.
const SIGNED: Duration = Duration::from_mins(5);
/// How long a request may take: each object of a page is deleted by itself.
const ANSWER: Duration = Duration::from_mins(5);
/// How long it may take until every node knows a new key.
const KNOWN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// A bucket, as one key sees it.
pub(crate) struct Objects {
    http: HttpClient,
    bucket: Bucket,
    credentials: Credentials,
}

/// Some objects, and where to go on.
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    pub(crate) next: Option<String>,
}

struct Answer {
    status: StatusCode,
    text: String,
}

impl Objects {
    pub(crate) fn new(
        http: HttpClient,
        region: String,
        id: &BucketId,
        (key, secret): (&AccessKeyId, &SecretString),
    ) -> Result<Self> {
        let endpoint = http.server().clone();
        // Garage takes the id of a bucket for a name of it.
        let bucket = Bucket::new(endpoint, UrlStyle::Path, id.to_string(), region)
            .map_err(|error| http.error("this is no address of S3").because(error))?;
        Ok(Self {
            http,
            bucket,
            credentials: Credentials::new(key.as_str(), secret.expose_secret()),
        })
    }

    /// Waits until the key is known there: a node tells the others of a new one, and
    /// S3 asks the node alone that it reaches.
    pub(crate) async fn admitted(&self, cx: &Context) -> Result<()> {
        let until = Instant::now() + KNOWN;
        loop {
            cx.checkpoint()?;
            let mut first = self.bucket.list_objects_v2(Some(&self.credentials));
            first.with_max_keys(1);
            let answer = self.send(cx, &first).await?;
            if answer.status != StatusCode::FORBIDDEN || Instant::now() >= until {
                return self.done(answer, "list").map(|_| ());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Up to a thousand objects, after those of the page before.
    pub(crate) async fn page(&self, cx: &Context, after: Option<String>) -> Result<Page> {
        let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
        if let Some(token) = after {
            action.with_continuation_token(token);
        }
        let answer = self.send(cx, &action).await?;
        let text = self.done(answer, "list")?;
        let page = ListObjectsV2::parse_response(&text).map_err(|error| self.odd(error))?;
        Ok(Page {
            keys: page.contents.into_iter().map(|object| object.key).collect(),
            next: page.next_continuation_token,
        })
    }

    /// Deletes objects, at most a thousand. What is gone already is no failure.
    pub(crate) async fn delete(&self, cx: &Context, keys: Vec<String>) -> Result<()> {
        let (together, alone): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| fits_into_xml(key));
        for key in alone {
            if !fits_into_a_path(&key) {
                return Err(self.undeletable(&key, "S3 has no way to name it"));
            }
            cx.checkpoint()?;
            let action = self.bucket.delete_object(Some(&self.credentials), &key);
            let answer = self.send(cx, &action).await?;
            self.done(answer, "delete from")?;
        }
        if together.is_empty() {
            return Ok(());
        }
        let objects: Vec<_> = together.into_iter().map(ObjectIdentifier::new).collect();
        let mut action = DeleteObjects::new(&self.bucket, Some(&self.credentials), objects.iter());
        action.set_quiet(true);
        let url = action.sign(SIGNED);
        let (body, digest) = action.body_with_md5();
        let mut request = HttpRequest::new(Method::POST, url);
        let digest = HeaderValue::from_str(&digest).map_err(|error| self.odd(error))?;
        let name = header::HeaderName::from_static("content-md5");
        request.headers.insert(name, digest);
        request.body = body.into_bytes();
        let answer = self.exchange(cx, request).await?;
        let text = self.done(answer, "delete from")?;
        let answer = DeleteObjectsResponse::parse(&text).map_err(|error| self.odd(error))?;
        match answer.errors.first() {
            None => Ok(()),
            Some(error) => {
                let why = format!("{}: {}", error.code, error.message);
                Err(self.undeletable(&error.key, &why).retry(Retry::Briefly))
            }
        }
    }

    async fn send<'a, A: S3Action<'a>>(&self, cx: &Context, action: &A) -> Result<Answer> {
        let method = match A::METHOD {
            rusty_s3::Method::Head => Method::HEAD,
            rusty_s3::Method::Get => Method::GET,
            rusty_s3::Method::Post => Method::POST,
            rusty_s3::Method::Put => Method::PUT,
            rusty_s3::Method::Delete => Method::DELETE,
        };
        self.exchange(cx, HttpRequest::new(method, action.sign(SIGNED)))
            .await
    }

    async fn exchange(&self, cx: &Context, mut request: HttpRequest) -> Result<Answer> {
        request.limit = Some(ANSWER);
        let answer = self.http.send(cx, request).await?;
        Ok(Answer {
            status: answer.status,
            text: String::from_utf8_lossy(&answer.body).into_owned(),
        })
    }

    fn done(&self, answer: Answer, doing: &str) -> Result<String> {
        let Answer { status, text } = answer;
        if status.is_success() {
            return Ok(text);
        }
        let server = self.http.server();
        let error = self
            .http
            .error(format!("unable to {doing} the bucket over S3 at {server}"));
        let Ok(refusal) = instant_xml::from_str::<Refusal>(&text) else {
            return Err(error
                .because(format!("{status}, and not as S3 says it"))
                .hint("see that this is the address of Garage's S3 API, by default on port 3900"));
        };
        let error = error.because(format!("{status}: {}", refusal.message));
        Err(match status {
            StatusCode::FORBIDDEN => error.hint(
                "the key that was made for this may have expired or been deleted, or the clocks of \
                 both machines differ; do it again to go on",
            ),
            status if status.is_server_error() => error
                .hint(
                    "see the log of that node; what is gone stays gone, and doing it again goes on",
                )
                .retry(Retry::Briefly),
            _ => error,
        })
    }

    fn undeletable(&self, key: &str, why: &str) -> Error {
        let shown: String = key.chars().take(100).collect();
        self.http
            .error(format!("unable to delete the object {shown:?}"))
            .because(why)
    }

    fn odd(&self, error: impl std::fmt::Display) -> Error {
        let server = self.http.server();
        self.http
            .error(format!("{server} does not answer as S3 does"))
            .because(error)
    }
}

/// How S3 says no.
#[derive(Debug, FromXml)]
#[xml(rename = "Error")]
struct Refusal {
    #[xml(rename = "Message")]
    message: String,
}

/// Whether a list of objects to delete can have it: XML has no way to write most
/// control characters, and reads a carriage return as the end of a line.
fn fits_into_xml(key: &str) -> bool {
    let bad = |c: char| c.is_ascii_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    !key.chars().any(bad)
}

/// Whether the address of an object can have it: `.` and `..` are no names there.
fn fits_into_a_path(key: &str) -> bool {
    key.split('/').all(|part| part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_s3_can_name() {
        for (key, xml, path) in [
            ("a/b c&<>\u{fc}", true, true),
            ("a/../b", true, false),
            ("./a", true, false),
            ("a..b/.c", true, true),
            ("line\rfeed\n", false, true),
            ("\u{1}", false, true),
            ("\u{ffff}", false, true),
        ] {
            assert_eq!(
                (fits_into_xml(key), fits_into_a_path(key)),
                (xml, path),
                "{key:?}"
            );
        }
    }

    #[test]
    fn a_refusal_as_garage_words_it() {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code>\
                    <Message>Forbidden: no &amp; no</Message><Resource>/b</Resource>\
                    <Region>garage</Region></Error>";
        let refusal: Refusal = instant_xml::from_str(text).unwrap();
        assert_eq!(refusal.message, "Forbidden: no & no");
        assert!(instant_xml::from_str::<Refusal>("<html></html>").is_err());
    }
}
