//! Lists that come in pages.

use std::collections::HashSet;

use nixops4_http_client::Method;
use serde::de::DeserializeOwned;

use super::answer::{Answer, Readable};
use super::client::Client;
use super::refusal::Failure;
use super::request::Request;
use crate::context::Context;
use crate::error::Result;

/// How many pages a list may have. Of a server that always has one more, nobody
/// wants to see the end.
const MOST: usize = 10_000;

impl Client {
    /// All of a list whose pages are numbered from 1: the last one is not full.
    pub async fn all_by_number<T: DeserializeOwned>(
        &self,
        cx: &Context,
        full: usize,
        page: impl Fn(usize) -> Request<Vec<T>>,
    ) -> Result<Vec<T>, Failure> {
        let mut number = 1;
        self.all_by_cursor(cx, page(1), |items: Vec<T>| {
            number += 1;
            let is_full = items.len() >= full;
            (items, is_full.then(|| page(number)))
        })
        .await
    }

    /// All of a list whose pages name the next one in their `Link` header. It has to be
    /// on the same server.
    pub async fn all_by_link<T: DeserializeOwned>(
        &self,
        cx: &Context,
        first: Request<Vec<T>>,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        let mut next: Option<Request<Answer>> = Some(first.clone().answered_by());
        let mut seen = HashSet::new();
        while let Some(request) = next.take() {
            cx.checkpoint()?;
            let answer = self.call(cx, request).await?;
            if let Some(url) = answer.next_page() {
                if !seen.insert(url.clone()) || seen.len() > MOST {
                    return Err(self.endless());
                }
                let further = Request::whole(Method::GET, url);
                next = Some(first.parts.doing.iter().fold(further, Request::doing));
            }
            all.extend(answer.json::<Vec<T>>()?);
        }
        Ok(all)
    }

    /// All of a list each page of which says how to ask for the next one. `read` takes
    /// the items from a page.
    pub async fn all_by_cursor<P: Readable, T>(
        &self,
        cx: &Context,
        first: Request<P>,
        mut read: impl FnMut(P) -> (Vec<T>, Option<Request<P>>),
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        let mut next = Some(first);
        for _ in 0..MOST {
            let Some(request) = next.take() else {
                return Ok(all);
            };
            cx.checkpoint()?;
            let (items, further) = read(self.call(cx, request).await?);
            all.extend(items);
            next = further;
        }
        match next {
            None => Ok(all),
            Some(_) => Err(self.endless()),
        }
    }

    fn endless(&self) -> Failure {
        let summary = format!("{} gives a list without an end", self.server());
        let error = self.error(summary);
        Failure::Failed(error.hint("see what is wrong with the server, or with a proxy before it"))
    }
}
