//! HTTP to the server of a kind.
//!
//! A [`Request`] is built without IO, in a function that says what comes back. A
//! [`Client`] knows who it is to the server ([`Authentication`]) and how the server says
//! no ([`Dialect`]); it sends the request and gives the typed answer, or a [`Failure`]
//! that says what a [`Refusal`] means. What a thing is, and what its absence looks like,
//! is the kind's to say. It must not know any server's API.
//!
//! ```no_run
//! use nixops4_provider_sdk::http::{
//!     Answer, Authentication, Connection, Dialect, Request, Words,
//! };
//! use nixops4_provider_sdk::{Context, Result};
//! use serde::Deserialize;
//!
//! struct Shop;
//!
//! impl Dialect for Shop {
//!     fn called(&self) -> &'static str {
//!         "the shop's API"
//!     }
//!     fn words(&self, answer: &Answer) -> Option<Words> {
//!         #[derive(Deserialize)]
//!         struct Refused {
//!             code: String,
//!             message: String,
//!         }
//!         let Refused { code, message } = answer.json().ok()?;
//!         Some(Words::new(message).coded(code))
//!     }
//! }
//!
//! #[derive(Deserialize)]
//! struct Article {
//!     price: u32,
//! }
//!
//! fn article(name: &str) -> Request<Article> {
//!     Request::get(["v1", "articles", name]).doing(format!("unable to look for {name}"))
//! }
//!
//! async fn price(cx: &Context, at: &Connection) -> Result<Option<u32>> {
//!     let client = at.connect(cx, &Shop, Authentication::bearer).await?;
//!     let found = client.find(cx, article("apple"), |refusal| refusal.is("no-such-article"));
//!     Ok(found.await?.map(|article| article.price))
//! }
//! ```

mod answer;
mod authentication;
mod client;
mod inputs;
mod pages;
mod refusal;
mod request;

#[cfg(test)]
mod loopback;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Nothing, Readable};
pub use authentication::{Authentication, LogIn, Session};
pub use client::{Builder, Client};
pub use inputs::{Connection, Endpoint, Tls, read_authorities};
pub use nixops4_http_client::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use nixops4_http_client::{Fingerprint, Method, StatusCode, Trust, Url};
pub use refusal::{Dialect, Failure, Refusal, Words, found};
pub use request::Request;
