//! S3 itself: what a key may do in a bucket, and what everybody sees of one.
//!
//! This module must not know how the bucket and the key came to be.

use std::net::SocketAddr;
use std::time::Duration;

use rusty_s3::actions::{CreateMultipartUpload, ListObjectsV2, S3Action};
use rusty_s3::{Bucket, Credentials, Method, UrlStyle};
use ureq::Agent;
use ureq::http::Request;

use super::admin::Key;
use super::http::{self, Refusal, Response};
use super::{REGION, WEB_DOMAIN};

/// How long a signed request is valid.
const VALID: Duration = Duration::from_mins(5);

/// One bucket, as one key sees it.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    bucket: Bucket,
    credentials: Credentials,
}

impl Client {
    /// Sends nothing yet. `bucket` is an alias, global or the key's own, or an id.
    #[must_use]
    pub fn new(endpoint: &str, bucket: &str, key: &Key) -> Self {
        let endpoint = endpoint.parse().expect("a URL");
        let bucket = Bucket::new(endpoint, UrlStyle::Path, bucket.to_owned(), REGION);
        Self {
            agent: http::agent(),
            bucket: bucket.expect("an endpoint"),
            credentials: Credentials::new(&*key.id, &*key.secret),
        }
    }

    /// Puts an object.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<(), Refusal> {
        let action = self.bucket.put_object(Some(&self.credentials), name);
        self.send(&action, content).map(drop)
    }

    /// An object's content.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        let action = self.bucket.get_object(Some(&self.credentials), name);
        Ok(self.send(&action, b"")?.body)
    }

    /// Deletes an object; that there is none is no failure.
    pub fn delete(&self, name: &str) -> Result<(), Refusal> {
        let action = self.bucket.delete_object(Some(&self.credentials), name);
        self.send(&action, b"").map(drop)
    }

    /// The names of all objects.
    pub fn list(&self) -> Result<Vec<String>, Refusal> {
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let answer = self.send(&action, b"")?;
            let page = ListObjectsV2::parse_response(&answer.text()).expect("a list");
            names.extend(page.contents.into_iter().map(|object| object.key));
            match page.next_continuation_token {
                Some(next) => token = Some(next),
                None => return Ok(names),
            }
        }
    }

    /// Begins an upload in parts that nobody completes, and gives its id.
    pub fn begin_upload(&self, name: &str) -> Result<String, Refusal> {
        let credentials = Some(&self.credentials);
        let begin = self.bucket.create_multipart_upload(credentials, name);
        let answer = self.send(&begin, b"")?;
        let answer = CreateMultipartUpload::parse_response(&answer.text()).expect("an upload");
        let id = answer.upload_id().to_owned();
        let part = self.bucket.upload_part(credentials, name, 1, &id);
        self.send(&part, b"a part")?;
        Ok(id)
    }

    /// The bucket's configuration as S3 shows it: `cors`, `lifecycle` or
    /// `website`. It takes an owner's key.
    pub fn configuration(&self, what: &'static str) -> Result<String, Refusal> {
        // An object without a name is the bucket.
        let mut action = self.bucket.get_object(Some(&self.credentials), "");
        action.query_mut().insert(what, "");
        Ok(self.send(&action, b"")?.text())
    }

    fn send<'a, A: S3Action<'a>>(&self, action: &A, body: &[u8]) -> Result<Response, Refusal> {
        let url = action.sign(VALID);
        let method = match A::METHOD {
            Method::Head => "HEAD",
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        };
        let request = Request::builder().method(method).uri(url.as_str());
        let answer = if body.is_empty() && A::METHOD != Method::Put {
            http::run(&self.agent, request.body(()).expect("a request"))
        } else {
            http::run(&self.agent, request.body(body).expect("a request"))
        };
        let response = answer.map_err(|error| Refusal::no_answer(&error))?;
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        let text = response.text();
        Err(Refusal {
            status: response.status,
            code: element(&text, "Code"),
            message: element(&text, "Message"),
        })
    }
}

/// The text of the first element of a name; empty if there is none.
fn element(xml: &str, name: &str) -> String {
    let begin = format!("<{name}>");
    let rest = xml.split_once(&begin).map_or("", |(_, rest)| rest);
    let text = rest.split_once("</").map_or("", |(text, _)| text);
    text.to_owned()
}

/// What a browser gets from the website of a bucket.
#[must_use]
pub fn page(web: SocketAddr, bucket: &str, path: &str) -> Response {
    let request = Request::get(format!("http://{web}{path}"))
        .header("host", format!("{bucket}{WEB_DOMAIN}"))
        .body(())
        .expect("a request");
    http::run(&http::agent(), request).expect("an answer")
}

/// What a browser is told that asks whether a page of `origin` may send a request
/// to a bucket over S3.
#[must_use]
pub fn preflight(
    endpoint: &str,
    bucket: &str,
    origin: &str,
    method: &str,
    headers: &[&str],
) -> Response {
    let mut request = Request::options(format!("{endpoint}/{bucket}/object"))
        .header("origin", origin)
        .header("access-control-request-method", method);
    if !headers.is_empty() {
        request = request.header("access-control-request-headers", headers.join(", "));
    }
    let request = request.body(()).expect("a request");
    http::run(&http::agent(), request).expect("an answer")
}

#[test]
fn an_element_of_an_error() {
    let error = "<Error><Code>AccessDenied</Code><Message>no &amp; no</Message></Error>";
    assert_eq!(element(error, "Code"), "AccessDenied");
    assert_eq!(element(error, "Message"), "no &amp; no");
    assert_eq!(element(error, "Region"), "");
}
