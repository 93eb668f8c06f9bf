//! Garage's admin API, as plain requests: what a test looks with, and how it does
//! what somebody else would do behind our back.
//!
//! This module must not use what the provider uses.

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use super::http::{self, Refusal};

/// One node's admin API, with a token.
#[derive(Debug)]
pub struct Admin {
    agent: Agent,
    url: String,
    token: String,
}

impl Admin {
    /// Sends nothing yet. The URL has no slash at its end.
    #[must_use]
    pub fn new(url: &str, token: &str) -> Self {
        Self {
            agent: http::agent(),
            url: url.to_owned(),
            token: token.to_owned(),
        }
    }

    /// What an endpoint answers, such as `GetClusterHealth`; panics if it refuses.
    #[must_use]
    pub fn get(&self, endpoint: &str, query: &[(&str, &str)]) -> Value {
        self.try_get(endpoint, query)
            .unwrap_or_else(|refusal| panic!("GET {endpoint} {query:?}: {refusal}"))
    }

    /// What an endpoint answers, or how it refuses.
    pub fn try_get(&self, endpoint: &str, query: &[(&str, &str)]) -> Result<Value, Refusal> {
        self.send("GET", endpoint, query, Vec::new())
    }

    /// Has something done; panics if it is refused.
    #[expect(clippy::must_use_candidate, reason = "most are sent for what they do")]
    pub fn post(&self, endpoint: &str, query: &[(&str, &str)], body: &Value) -> Value {
        self.try_post(endpoint, query, body)
            .unwrap_or_else(|refusal| panic!("POST {endpoint} {query:?} {body}: {refusal}"))
    }

    /// Has something done, or gives how it is refused.
    pub fn try_post(
        &self,
        endpoint: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, Refusal> {
        self.send("POST", endpoint, query, body.to_string().into_bytes())
    }

    fn send(
        &self,
        method: &str,
        endpoint: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Value, Refusal> {
        let mut url: url::Url = format!("{}/v2/{endpoint}", self.url)
            .parse()
            .expect("a URL");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header("authorization", format!("Bearer {}", self.token));
        let answer = if method == "GET" {
            http::run(&self.agent, request.body(()).expect("a request"))
        } else {
            http::run(&self.agent, request.body(body).expect("a request"))
        };
        let response = answer.map_err(|error| Refusal::no_answer(&error))?;
        let parsed = serde_json::from_slice(&response.body);
        if response.status == 200 {
            return Ok(parsed.expect("JSON"));
        }
        let error: Value = parsed.unwrap_or_else(|_| json!({"message": response.text()}));
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        Err(Refusal {
            status: response.status,
            code: text("code"),
            message: text("message"),
        })
    }

    /// What of a refusal means that the thing isn't there.
    fn present(answer: Result<Value, Refusal>) -> Option<Value> {
        match answer {
            Ok(value) => Some(value),
            Err(refusal) if refusal.status == 404 => None,
            Err(refusal) => panic!("cannot look: {refusal}"),
        }
    }

    /// A bucket, by its id.
    #[must_use]
    pub fn bucket(&self, id: &str) -> Option<Value> {
        Self::present(self.try_get("GetBucketInfo", &[("id", id)]))
    }

    /// A bucket, by a global alias.
    #[must_use]
    pub fn bucket_called(&self, alias: &str) -> Option<Value> {
        Self::present(self.try_get("GetBucketInfo", &[("globalAlias", alias)]))
    }

    /// A key with its secret, by its id.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<Value> {
        let query = [("id", id), ("showSecretKey", "true")];
        Self::present(self.try_get("GetKeyInfo", &query))
    }

    /// Every bucket: ids and aliases.
    #[must_use]
    pub fn buckets(&self) -> Vec<Value> {
        list(self.get("ListBuckets", &[]))
    }

    /// Every key: ids and names.
    #[must_use]
    pub fn keys(&self) -> Vec<Value> {
        list(self.get("ListKeys", &[]))
    }

    /// The keys that have this very name.
    #[must_use]
    pub fn keys_called(&self, name: &str) -> Vec<Value> {
        let mut keys = self.keys();
        keys.retain(|key| key["name"] == name);
        keys
    }

    /// Every token but those of the configuration.
    #[must_use]
    pub fn tokens(&self) -> Vec<Value> {
        let mut tokens = list(self.get("ListAdminTokens", &[]));
        tokens.retain(|token| token["id"].is_string());
        tokens
    }

    /// Makes a key, as somebody would by hand.
    #[must_use]
    pub fn make_key(&self, name: &str) -> Key {
        let key = self.post("CreateKey", &[], &json!({"name": name}));
        let text = |field: &str| key[field].as_str().expect("a string").to_owned();
        Key {
            id: text("accessKeyId"),
            secret: text("secretAccessKey"),
        }
    }

    /// Makes a bucket with a global alias, as somebody would by hand, and gives its
    /// id.
    #[must_use]
    pub fn make_bucket(&self, alias: &str) -> String {
        let bucket = self.post("CreateBucket", &[], &json!({"globalAlias": alias}));
        bucket["id"].as_str().expect("a string").to_owned()
    }

    /// Changes a bucket.
    pub fn update_bucket(&self, id: &str, changes: &Value) {
        self.post("UpdateBucket", &[("id", id)], changes);
    }

    /// Lets a key do these things in a bucket, and nothing else: letters of `rwo`.
    pub fn permit(&self, bucket: &str, key: &str, permissions: &str) {
        let flags = |given: bool| {
            let flag = |letter| permissions.contains(letter) == given;
            json!({
                "bucketId": bucket,
                "accessKeyId": key,
                "permissions": {"read": flag('r'), "write": flag('w'), "owner": flag('o')},
            })
        };
        self.post("AllowBucketKey", &[], &flags(true));
        self.post("DenyBucketKey", &[], &flags(false));
    }

    /// What a key may do in a bucket: letters of `rwo`.
    #[must_use]
    pub fn permissions(&self, bucket: &str, key: &str) -> String {
        let info = self.bucket(bucket).expect("a bucket");
        let keys = info["keys"].as_array().expect("an array");
        let Some(entry) = keys.iter().find(|entry| entry["accessKeyId"] == key) else {
            return String::new();
        };
        [('r', "read"), ('w', "write"), ('o', "owner")]
            .iter()
            .filter(|(_, name)| entry["permissions"][*name] == true)
            .map(|(letter, _)| *letter)
            .collect()
    }
}

fn list(answer: Value) -> Vec<Value> {
    let Value::Array(items) = answer else {
        panic!("not a list: {answer}");
    };
    items
}

/// An access key. Its `Debug` doesn't show the secret.
#[derive(Clone)]
pub struct Key {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
