//! One request, built without IO.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use nixops4_http_client::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use nixops4_http_client::{Method, Url};
use serde::Serialize;
use url::form_urlencoded;

use super::answer::Nothing;

/// One request, and the type of its answer. Its body may hold a secret: it has no
/// `Debug`.
///
/// Building it never fails. What can't be sent is said when it is sent.
pub struct Request<A = Nothing> {
    pub(super) parts: Parts,
    answer: PhantomData<fn() -> A>,
}

/// A request, whatever its answer.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) method: Method,
    target: Target,
    query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) limit: Option<Duration>,
    pub(super) doing: Option<String>,
    /// Why it can't be sent.
    problem: Option<String>,
}

#[derive(Clone)]
enum Target {
    /// Below the server's own address, each part encoded.
    Path(Vec<String>),
    /// The whole address.
    Url(Url),
}

impl<A> Request<A> {
    fn to(method: Method, target: Target) -> Self {
        Self {
            parts: Parts {
                method,
                target,
                query: Vec::new(),
                headers: HeaderMap::new(),
                body: Vec::new(),
                limit: None,
                doing: None,
                problem: None,
            },
            answer: PhantomData,
        }
    }

    /// A request for what these segments lead to, below the server's address. Whatever
    /// is in a segment stays in it: `a/b` is one segment of a path.
    pub fn new<S: AsRef<str>>(method: Method, segments: impl IntoIterator<Item = S>) -> Self {
        let segments = segments.into_iter();
        let segments: Vec<_> = segments
            .map(|segment| segment.as_ref().to_owned())
            .collect();
        let bad = segments
            .iter()
            .find(|segment| matches!(segment.as_str(), "" | "." | ".."));
        let problem = bad.map(|bad| format!("{bad:?} can't stand in the path of an address"));
        let mut request = Self::to(method, Target::Path(segments));
        request.parts.problem = problem;
        request
    }

    /// A read.
    pub fn get<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::GET, segments)
    }

    /// A change.
    pub fn post<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::POST, segments)
    }

    /// Puts something there, in place of what is there.
    pub fn put<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::PUT, segments)
    }

    /// Changes a part of what is there.
    pub fn patch<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::PATCH, segments)
    }

    /// Removes something.
    pub fn delete<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::DELETE, segments)
    }

    /// A request for a whole address, such as a signed one. It has to be on the server
    /// of the client that sends it.
    #[must_use]
    pub fn whole(method: Method, url: Url) -> Self {
        Self::to(method, Target::Url(url))
    }

    /// Adds a parameter to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Self {
        let pair = (name.to_owned(), value.to_string());
        self.parts.query.push(pair);
        self
    }

    /// Adds a parameter to the query if it has a value.
    #[must_use]
    pub fn query_if(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds a header. One that holds a secret is [`Authentication`](super::Authentication)'s.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.parts.headers.insert(name, value);
        } else {
            let problem = format!("the header {name} can't hold the value that it is given");
            self.parts.problem.get_or_insert(problem);
        }
        self
    }

    /// Only if the thing is as it was when it was read with this `ETag`.
    #[must_use]
    pub fn if_match(self, etag: &str) -> Self {
        self.header(IF_MATCH, etag)
    }

    /// A body in JSON.
    #[must_use]
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body("application/json", body),
            Err(error) => {
                let problem = format!("its body can't be written as JSON: {error}");
                self.parts.problem.get_or_insert(problem);
                self
            }
        }
    }

    /// A body as a form of a web page has it. Whatever stands in a value stays in it:
    /// `;`, `=`, `&` and `+` are encoded.
    #[must_use]
    pub fn form<N, V>(self, fields: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.body("application/x-www-form-urlencoded", form.finish())
    }

    /// A body of any type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        self.parts.headers.insert(CONTENT_TYPE, content_type);
        self.parts.body = body.into();
        self
    }

    /// How long it may take; 30 s if nothing is said.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.parts.limit = Some(limit);
        self
    }

    /// What fails if it is refused, such as `unable to create the zone example.org`.
    #[must_use]
    pub fn doing(mut self, doing: impl Into<String>) -> Self {
        self.parts.doing = Some(doing.into());
        self
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The path below the server's address, as it was given.
    #[must_use]
    pub fn path(&self) -> String {
        match &self.parts.target {
            Target::Path(segments) => segments.join("/"),
            Target::Url(url) => url.path().to_owned(),
        }
    }

    /// The parameters of its query.
    pub fn queries(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.parts.query.iter();
        query.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What it sends.
    #[must_use]
    pub fn sent_body(&self) -> &[u8] {
        &self.parts.body
    }

    /// The same request, with its answer read as another type.
    #[must_use]
    pub fn answered_by<B>(self) -> Request<B> {
        Request {
            parts: self.parts,
            answer: PhantomData,
        }
    }
}

impl<A> Clone for Request<A> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            answer: PhantomData,
        }
    }
}

impl Parts {
    /// Its address on this server, or why there is none.
    pub(super) fn url(&self, server: &Url) -> Result<Url, String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let mut url = match &self.target {
            Target::Url(url) if url.origin() == server.origin() => url.clone(),
            // The credentials would go along.
            Target::Url(url) => {
                let elsewhere = url.host_str().unwrap_or_default();
                return Err(format!("it leads to another server, {elsewhere}"));
            }
            Target::Path(segments) => {
                let mut url = server.clone();
                url.path_segments_mut()
                    .map_err(|()| "the server's address can't have a path".to_owned())?
                    .pop_if_empty()
                    .extend(segments);
                url
            }
        };
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }

    /// What errors call it: a query or a body may hold a secret.
    pub(super) fn name(&self, url: &Url) -> String {
        format!("{} {}", self.method, url.path())
    }
}
