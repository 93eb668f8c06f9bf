//! The objects of one bucket, over S3: as much of it as emptying one takes.
//!
//! `rusty-s3` builds and signs what is asked and reads what is answered. This must
//! not know whose the bucket is, nor where the key comes from.

use std::time::Duration;

use instant_xml::FromXml;
use nixops4_provider_sdk::http::{
    Answer, Client, Dialect, Endpoint, Failure, HeaderName, Method, Refusal, Request, StatusCode,
    Words,
};
use nixops4_provider_sdk::{
    Context, Error, ExposeSecret as _, Result, Retry, SecretString, wait_until,
};
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

/// How S3 speaks.
pub(crate) struct S3;

impl Dialect for S3 {
    fn called(&self) -> &'static str {
        "S3"
    }

    fn usual_place(&self) -> &'static str {
        "see that this is the address of Garage's S3 API, by default on port 3900"
    }

    fn words(&self, answer: &Answer) -> Option<Words> {
        #[derive(FromXml)]
        #[xml(rename = "Error")]
        struct Refused {
            #[xml(rename = "Code")]
            code: String,
            #[xml(rename = "Message")]
            message: String,
        }
        let Refused { code, message } = instant_xml::from_str(&answer.text()).ok()?;
        Some(Words::new(message).coded(code))
    }

    fn explain(&self, refusal: &Refusal, error: Error) -> Error {
        let error = error.at_unless_said(POINTER);
        match refusal.status {
            StatusCode::FORBIDDEN => error.hint(
                "the key that was made for this may have expired or been deleted, or the clocks of \
                 both machines differ; do it again to go on",
            ),
            _ => error,
        }
    }
}

/// A bucket, as one key sees it.
pub(crate) struct Objects {
    client: Client,
    bucket: Bucket,
    credentials: Credentials,
}

/// Some objects, and where to go on.
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    pub(crate) next: Option<String>,
}

impl Objects {
    pub(crate) fn new(
        client: Client,
        endpoint: &Endpoint,
        region: String,
        id: &BucketId,
        (key, secret): (&AccessKeyId, &SecretString),
    ) -> Result<Self> {
        // Garage takes the id of a bucket for a name of it.
        let bucket = Bucket::new(
            endpoint.url().clone(),
            UrlStyle::Path,
            id.to_string(),
            region,
        )
        .map_err(|error| client.error("this is no address of S3").because(error))?;
        Ok(Self {
            client,
            bucket,
            credentials: Credentials::new(key.as_str(), secret.expose_secret()),
        })
    }

    /// Waits until the key is known there: a node tells the others of a new one, and
    /// S3 asks the node alone that it reaches.
    pub(crate) async fn admitted(&self, cx: &Context) -> Result<()> {
        let what = "S3 to know the key that empties the bucket";
        wait_until(cx, what, PAUSE, KNOWN, async || {
            let mut first = self.bucket.list_objects_v2(Some(&self.credentials));
            first.with_max_keys(1);
            match self.send(cx, &first, LISTING).await {
                Err(Failure::Refused(refusal)) if refusal.status == StatusCode::FORBIDDEN => {
                    Err(Error::from(Failure::Refused(refusal)).retry(Retry::Briefly))
                }
                answer => Ok(Some(answer.map(drop)?)),
            }
        })
        .await
    }

    /// Up to a thousand objects, after those of the page before.
    pub(crate) async fn page(&self, cx: &Context, after: Option<String>) -> Result<Page> {
        let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
        if let Some(token) = after {
            action.with_continuation_token(token);
        }
        let text = self.send(cx, &action, LISTING).await?;
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
            self.send(cx, &action, DELETING).await?;
        }
        if together.is_empty() {
            return Ok(());
        }
        let objects: Vec<_> = together.into_iter().map(ObjectIdentifier::new).collect();
        let mut action = DeleteObjects::new(&self.bucket, Some(&self.credentials), objects.iter());
        action.set_quiet(true);
        let url = action.sign(SIGNED);
        let (body, digest) = action.body_with_md5();
        let request = Request::whole(Method::POST, url)
            .body("application/xml", body)
            .header(HeaderName::from_static("content-md5"), &digest);
        let text = self.exchange(cx, request.doing(DELETING)).await?;
        let answer = DeleteObjectsResponse::parse(&text).map_err(|error| self.odd(error))?;
        match answer.errors.first() {
            None => Ok(()),
            Some(error) => {
                let why = format!("{}: {}", error.code, error.message);
                Err(self.undeletable(&error.key, &why).retry(Retry::Briefly))
            }
        }
    }

    async fn send<'a, A: S3Action<'a>>(
        &self,
        cx: &Context,
        action: &A,
        doing: &str,
    ) -> Result<String, Failure> {
        let method = match A::METHOD {
            rusty_s3::Method::Head => Method::HEAD,
            rusty_s3::Method::Get => Method::GET,
            rusty_s3::Method::Post => Method::POST,
            rusty_s3::Method::Put => Method::PUT,
            rusty_s3::Method::Delete => Method::DELETE,
        };
        let request = Request::whole(method, action.sign(SIGNED));
        self.exchange(cx, request.doing(doing)).await
    }

    async fn exchange(&self, cx: &Context, request: Request<Answer>) -> Result<String, Failure> {
        let answer = self.client.call(cx, request.limit(ANSWER)).await?;
        Ok(answer.text())
    }

    fn undeletable(&self, key: &str, why: &str) -> Error {
        let shown: String = key.chars().take(100).collect();
        self.client
            .error(format!("unable to delete the object {shown:?}"))
            .because(why)
    }

    fn odd(&self, error: impl std::fmt::Display) -> Error {
        let server = self.client.server();
        self.client
            .error(format!("{server} does not answer as S3 does"))
            .because(error)
    }
}

const LISTING: &str = "unable to list the bucket over S3";
const DELETING: &str = "unable to delete from the bucket over S3";

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
        let words = S3.words(&Answer::made_up(403, text)).unwrap();
        assert_eq!(
            words,
            Words::new("Forbidden: no & no").coded("AccessDenied")
        );
        assert_eq!(S3.words(&Answer::made_up(403, "<html></html>")), None);
    }
}
