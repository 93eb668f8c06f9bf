//! A cluster that is talked to: requests go out, answers and refusals come back.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nixops4_provider_sdk::http::{
    HeaderValue, HttpClient, HttpRequest, Method, StatusCode, bearer, below, header,
};
use nixops4_provider_sdk::{Context, Error, Result, Retry};
use serde::de::DeserializeOwned;

use crate::api::{
    self, Absent, AccessKeyId, Bucket, Key, ListedKey, Node, NodeInfo, Refusal, Request,
};
use crate::connection::Connection;
use crate::survey::{self, Said, Survey};

/// Before a node says that it can't get hold of the others, it waits for them.
const ANSWER: Duration = Duration::from_mins(1);

/// How many things are listed at once.
const PAGE: usize = 1000;

/// A cluster, through one of its nodes.
pub(crate) struct Cluster {
    http: HttpClient,
    token: HeaderValue,
    connection: Connection,
    /// The node that answers.
    node: NodeInfo,
    buckets: Survey<Bucket>,
    keys: Survey<Key>,
}

/// Why a request came to nothing.
pub(crate) enum Failure {
    /// Garage understood it, and says no.
    Refused(Refusal),
    /// Anything else; it says what.
    Failed(Error),
}

/// The cluster that this process talked to last.
#[derive(Default)]
struct Kept(RefCell<Option<Rc<Cluster>>>);

/// What the node said of itself that this process talked to last, for when it comes
/// back to it after a pause: a third of what a plan asks would be for that.
#[derive(Default)]
struct Met(RefCell<Option<(Connection, NodeInfo)>>);

impl Cluster {
    /// The cluster of a connection. `recorded` is the node by which it was known:
    /// a cluster that this node is no part of is refused.
    pub(crate) async fn of(
        cx: &Context,
        at: &Connection,
        recorded: Option<&str>,
    ) -> Result<Rc<Self>> {
        let known = cx.connections::<Kept>().0.borrow().clone();
        let cluster = match known.filter(|cluster| cluster.connection == *at) {
            Some(cluster) => cluster,
            None => Rc::new(Self::connect(cx, at).await?),
        };
        cluster.refuse_another(cx, recorded).await?;
        // Anew: who had to wait for a slot has let go of what was kept before.
        let kept = cx.connections::<Kept>();
        *kept.0.borrow_mut() = Some(Rc::clone(&cluster));
        Ok(cluster)
    }

    async fn connect(cx: &Context, at: &Connection) -> Result<Self> {
        // Secrets may take their time: nobody queues behind them.
        let token = cx.secret(&at.token, "/connection/token").await?;
        let token = bearer(&token, "/connection/token")?;
        cx.slot(&format!("garage {at}")).await?;
        let ca_file = at.ca_file.as_deref();
        let http = HttpClient::new(
            at.endpoint.url().clone(),
            "/connection/endpoint",
            ca_file.map(|path| (path, "/connection/caFile")),
        )?;
        let mut cluster = Self {
            http,
            token,
            connection: at.clone(),
            node: NodeInfo::default(),
            buckets: Survey::default(),
            keys: Survey::default(),
        };
        let met = cx.session::<Met>();
        let known = met.0.borrow().clone();
        let node = match known.filter(|(met, _)| met == at) {
            Some((_, node)) => node,
            None => cluster.ask_who_it_is(cx).await?,
        };
        *met.0.borrow_mut() = Some((at.clone(), node.clone()));
        cluster.node = node;
        Ok(cluster)
    }

    async fn ask_who_it_is(&self, cx: &Context) -> Result<NodeInfo> {
        let answer = self.call(cx, api::node_info()).await;
        let nodes = self.done(answer, "unable to identify the node")?;
        nodes.success.into_values().next().ok_or_else(|| {
            self.http
                .error("the node says nothing of itself")
                .retry(Retry::Briefly)
        })
    }

    async fn refuse_another(&self, cx: &Context, recorded: Option<&str>) -> Result<()> {
        let Some(recorded) = recorded.filter(|recorded| *recorded != self.node.node_id) else {
            return Ok(());
        };
        let answer = self.call(cx, api::cluster_status()).await;
        let status = self.done(answer, "unable to see the nodes of the cluster")?;
        if status.nodes.iter().any(|node| node.id == recorded) {
            return Ok(());
        }
        Err(self
            .http
            .error(format!(
                "the cluster at {} is another one than that on which this was made: node {} is no \
                 part of it",
                self.connection,
                short(recorded)
            ))
            .hint(
                "point connection at the cluster that is meant; to begin anew on this one, or if \
                 every node of it was replaced, forget the member in the state and import it",
            ))
    }

    /// The node by which the cluster is recognised: the recorded one, which was
    /// seen to be part of it, or the one that answers.
    pub(crate) fn known_by(&self, recorded: Option<&str>) -> String {
        recorded.unwrap_or(&self.node.node_id).to_owned()
    }

    /// What names it to other processes of this machine, whatever address they use.
    pub(crate) fn named(&self) -> String {
        format!("garage node {}", self.node.node_id)
    }

    /// The name of the region that clients of S3 have to give.
    pub(crate) fn region(&self) -> String {
        match &self.node.connection_parameters {
            Some(parameters) => parameters.region.clone(),
            // What Garage itself assumes.
            None => "garage".to_owned(),
        }
    }

    /// Where clients reach S3, if it is known.
    pub(crate) fn s3_endpoint(&self) -> Option<String> {
        let own = || {
            let parameters = self.node.connection_parameters.as_ref()?;
            parameters.s3_endpoint.clone()
        };
        match &self.connection.s3_endpoint {
            Some(endpoint) => Some(endpoint.to_string()),
            None => own(),
        }
    }

    /// The authorities to trust with `https`, if not those of the system.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.connection.ca_file.as_deref()
    }

    /// Sends a request.
    pub(crate) async fn call<A: DeserializeOwned>(
        &self,
        cx: &Context,
        request: Request<A>,
    ) -> Result<A, Failure> {
        let endpoint = request.endpoint;
        let mut url = below(self.http.server(), &format!("v2/{endpoint}"));
        for (name, value) in &request.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut sent = HttpRequest::new(request.method, url);
        sent.headers
            .insert(header::AUTHORIZATION, self.token.clone());
        sent.limit = Some(ANSWER);
        if let Some(body) = &request.body {
            sent.body = body.to_string().into_bytes();
            let json = HeaderValue::from_static("application/json");
            sent.headers.insert(header::CONTENT_TYPE, json);
        }
        if sent.method == Method::POST {
            let query = || request.query.iter().map(|(_, value)| value.as_str());
            self.buckets.changed(query(), request.body.as_ref());
            self.keys.changed(query(), request.body.as_ref());
        }
        let answer = self.http.send(cx, sent).await.inspect_err(|_| {
            // Who answers next may be another one.
            cx.connections::<Kept>().0.take();
            cx.session::<Met>().0.take();
        })?;
        tracing::debug!(endpoint, status = answer.status.as_u16());
        if answer.status.is_success() {
            return serde_json::from_slice(&answer.body).map_err(|error| {
                // What it says may hold a secret; where it goes wrong does not.
                let place = format!("at line {} column {}", error.line(), error.column());
                Failure::Failed(self.odd(endpoint).because(place))
            });
        }
        let refusal = Refusal::read(answer.status, &answer.body);
        Err(self.judge(cx, endpoint, refusal).await)
    }

    /// A bucket, if this process is asked for so many that all of them were looked at
    /// together. `None`: ask for it alone; `Some(None)`: there is none.
    pub(crate) async fn surveyed_bucket(
        &self,
        cx: &Context,
        name: &str,
        find: impl Fn(&[Bucket]) -> Option<&Bucket>,
    ) -> Option<Option<Bucket>> {
        let ask = || self.buckets.ask(name, &find, |bucket| bucket.id.as_str());
        let list = api::survey_buckets;
        self.surveyed(cx, &self.buckets, ask, list).await
    }

    /// The same of a key.
    pub(crate) async fn surveyed_key(&self, cx: &Context, id: &AccessKeyId) -> Option<Option<Key>> {
        let ask = || {
            self.keys.ask(
                id.as_str(),
                |keys| keys.iter().find(|key| key.access_key_id == *id),
                |key| key.access_key_id.as_str(),
            )
        };
        self.surveyed(cx, &self.keys, ask, api::survey_keys).await
    }

    /// The same of the only key that `is_it` knows by this name.
    pub(crate) async fn surveyed_key_called(
        &self,
        cx: &Context,
        name: &str,
        is_it: impl Fn(&Key) -> bool,
    ) -> Option<Option<Key>> {
        let several = Cell::new(false);
        let ask = || {
            self.keys.ask(
                name,
                |keys| {
                    let mut found = keys.iter().filter(|key| is_it(key));
                    let first = found.next();
                    several.set(found.next().is_some());
                    first
                },
                |key| key.access_key_id.as_str(),
            )
        };
        let found = self.surveyed(cx, &self.keys, ask, api::survey_keys).await;
        found.filter(|_| !several.get())
    }

    async fn surveyed<T: Clone + DeserializeOwned>(
        &self,
        cx: &Context,
        survey: &Survey<T>,
        ask: impl Fn() -> Said<T>,
        list: impl FnOnce(usize) -> Request<Vec<T>>,
    ) -> Option<Option<T>> {
        let said = match ask() {
            Said::List => {
                let begun = Instant::now();
                let answer = self.call(cx, list(survey::MOST)).await;
                let listed = match self.done(answer, "unable to look at all together") {
                    Ok(listed) => Some(listed),
                    Err(error) => {
                        // An older Garage, or a token that may not: one by one, then.
                        tracing::debug!("{}", error.summary());
                        None
                    }
                };
                survey.listed(begun, listed);
                ask()
            }
            said => said,
        };
        match said {
            Said::This(found) => Some(found),
            Said::Nothing | Said::List => None,
        }
    }

    /// Every key.
    pub(crate) async fn keys(&self, cx: &Context) -> Result<Vec<ListedKey>> {
        let mut all: Vec<ListedKey> = Vec::new();
        loop {
            let offset = all.last().map(|key| &key.id);
            let answer = self.call(cx, api::list_keys(offset, PAGE)).await;
            let page = self.done(answer, "unable to list the keys")?;
            let is_last = page.len() < PAGE;
            // A page begins with the one that the last one ended with.
            let further = page.into_iter().skip(usize::from(!all.is_empty()));
            all.extend(further);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// What a refusal means, wherever it comes from.
    async fn judge(&self, cx: &Context, endpoint: &str, refusal: Refusal) -> Failure {
        let failed = match refusal.status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Error::input(
                "/connection/token",
                format!("{} refuses {endpoint} to this token", self.connection),
            )
            .because(&refusal.message)
            .hint(
                "see that it is the token of this cluster, that it hasn't expired, and that its \
                     scope has this endpoint (`garage admin-token info`)",
            ),
            // To be told who is missing is not asked for twice.
            StatusCode::SERVICE_UNAVAILABLE
                if refusal.code.is_some() && endpoint != api::cluster_status().endpoint =>
            {
                self.without_quorum(cx, endpoint, &refusal).await
            }
            StatusCode::TOO_MANY_REQUESTS => self
                .http
                .error(format!("{} is busy", self.connection))
                .because(&refusal.message)
                .retry(Retry::UntilDeadline),
            status if status.is_server_error() => self
                .http
                .error(format!("{} failed at {endpoint}", self.connection))
                .because(format!("{status}: {}", refusal.message))
                .hint("see the log of that node; what was done stays, and applying again goes on")
                .retry(Retry::Briefly),
            status if refusal.code.is_none() => self
                .odd(endpoint)
                .because(format!("{status}: {}", refusal.message)),
            _ => return Failure::Refused(refusal),
        };
        Failure::Failed(failed)
    }

    /// Too few nodes answered the one that was asked. Which ones, it knows itself.
    async fn without_quorum(&self, cx: &Context, endpoint: &str, refusal: &Refusal) -> Error {
        let error = self
            .http
            .error(format!(
                "too few nodes of the cluster at {} answer for {endpoint}",
                self.connection
            ))
            .retry(Retry::Briefly);
        // Boxed, because asking for the nodes may be refused in the same way.
        let status = Box::pin(self.call(cx, api::cluster_status())).await;
        let missing: Vec<_> = match &status {
            Ok(status) => status.nodes.iter().filter(|node| !node.is_up).collect(),
            Err(_) => Vec::new(),
        };
        if missing.is_empty() {
            return error
                .because(&refusal.message)
                .hint("see the log of that node for which ones did not answer");
        }
        let missing: Vec<_> = missing.into_iter().map(described).collect();
        error
            .because(format!(
                "no answer from {} ({})",
                missing.join(", "),
                refusal.message
            ))
            .hint("start them again; what was done stays, and applying again goes on")
    }

    fn odd(&self, endpoint: &str) -> Error {
        self.http
            .error(format!(
                "{} does not answer {endpoint} as Garage's admin API does",
                self.connection
            ))
            .hint("it is that of Garage 2.0 and newer, by default on port 3903; check the address")
    }

    /// The answer; a refusal is a failure of what was being done.
    #[expect(clippy::unused_self, reason = "it reads as a sentence")]
    pub(crate) fn done<A>(&self, answer: Result<A, Failure>, doing: &str) -> Result<A> {
        answer.map_err(|failure| match failure {
            Failure::Failed(error) => error,
            Failure::Refused(refusal) => Error::new(doing).because(refusal.message),
        })
    }

    /// The answer; `None` if Garage says that there is no such thing.
    pub(crate) fn found<A>(
        &self,
        answer: Result<A, Failure>,
        what: Absent,
        doing: &str,
    ) -> Result<Option<A>> {
        match answer {
            Err(Failure::Refused(refusal)) if refusal.says_absent(what) => Ok(None),
            answer => self.done(answer, doing).map(Some),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The beginning of a node's id, as `garage status` shows it.
fn short(id: &str) -> &str {
    id.get(..16).unwrap_or(id)
}

fn described(node: &Node) -> String {
    let mut text = format!("node {}", short(&node.id));
    for more in [&node.hostname, &node.addr].into_iter().flatten() {
        text = format!("{text} {more}");
    }
    match node.last_seen_secs_ago {
        Some(seconds) => format!("{text} for {seconds} s"),
        None => text,
    }
}
