//! A cluster that is talked to: requests go out, answers and refusals come back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use nixops4_provider_sdk::http::{
    Authentication, Client, Failure, Method, Readable, Refusal, Request, StatusCode, Trust, found,
};
use nixops4_provider_sdk::{BulkList, Context, Error, Result, Retry};

use crate::api::{
    self, Absent, AccessKeyId, Bucket, BucketId, Garage, Key, ListedKey, Node, NodeInfo,
};
use crate::connection::{CA_FILE, Connection};

/// How many things are listed at once.
const PAGE: usize = 1000;

/// A cluster, through one of its nodes.
pub(crate) struct Cluster {
    client: Client,
    connection: Connection,
    /// The node that answers.
    node: NodeInfo,
    buckets: BulkList<Bucket>,
    keys: BulkList<Key>,
}

/// The cluster that this process talked to last.
#[derive(Default)]
struct Kept(RefCell<Option<Rc<Cluster>>>);

/// What the node said of itself that this process talked to last, for when it comes
/// back to it after a pause: a third of what a plan asks would be for that.
#[derive(Default)]
struct KnownNode(RefCell<Option<(Connection, NodeInfo)>>);

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
        let client = Client::of(&at.endpoint, &Garage)
            .authentication(Authentication::bearer(&token, "/connection/token")?)
            .trust(at.trust()?, CA_FILE);
        let mut cluster = Self {
            client: client.connect(cx).await?,
            connection: at.clone(),
            node: NodeInfo::default(),
            buckets: BulkList::default(),
            keys: BulkList::default(),
        };
        let met = cx.session::<KnownNode>();
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
        let nodes = self
            .ask(cx, api::node_info(), "unable to identify the node")
            .await?;
        nodes.success.into_values().next().ok_or_else(|| {
            self.client
                .error("the node says nothing of itself")
                .retry(Retry::Briefly)
        })
    }

    async fn refuse_another(&self, cx: &Context, recorded: Option<&str>) -> Result<()> {
        let Some(recorded) = recorded.filter(|recorded| *recorded != self.node.node_id) else {
            return Ok(());
        };
        let doing = "unable to see the nodes of the cluster";
        let status = self.ask(cx, api::cluster_status(), doing).await?;
        if status.nodes.iter().any(|node| node.id == recorded) {
            return Ok(());
        }
        Err(self
            .client
            .error(format!(
                "the cluster at {} is not the one this was created on: node {} is no part of it",
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

    /// By what its servers are recognised with `https`.
    pub(crate) fn trust(&self) -> Result<Trust> {
        self.connection.trust()
    }

    /// Sends a request.
    pub(crate) async fn call<A: Readable>(
        &self,
        cx: &Context,
        request: Request<A>,
    ) -> Result<A, Failure> {
        if *request.method() == Method::POST {
            let body = serde_json::from_slice(request.sent_body()).ok();
            let query = || request.queries().map(|(_, value)| value);
            self.buckets.changed(query(), body.as_ref());
            self.keys.changed(query(), body.as_ref());
        }
        // To be told who is missing is not asked for twice.
        let asks_for_nodes = request.path() == api::cluster_status().path();
        match self.client.call(cx, request).await {
            Err(Failure::Refused(refusal))
                if refusal.status == StatusCode::SERVICE_UNAVAILABLE && !asks_for_nodes =>
            {
                let missing = self.without_quorum(cx, &refusal).await;
                Err(Failure::Failed(missing))
            }
            Err(Failure::Failed(error)) => {
                // Who answers next may be another one.
                cx.connections::<Kept>().0.take();
                cx.session::<KnownNode>().0.take();
                Err(Failure::Failed(error))
            }
            answer => answer,
        }
    }

    /// The answer; any refusal is a failure of what is being done.
    pub(crate) async fn ask<A: Readable>(
        &self,
        cx: &Context,
        request: Request<A>,
        doing: &str,
    ) -> Result<A> {
        Ok(self.call(cx, request.doing(doing)).await?)
    }

    /// The answer; `None` if Garage says that there is no such thing.
    pub(crate) async fn find<A: Readable>(
        &self,
        cx: &Context,
        request: Request<A>,
        what: Absent,
        doing: &str,
    ) -> Result<Option<A>> {
        let answer = self.call(cx, request.doing(doing)).await;
        Ok(found(answer, |refusal| what.is_said_by(refusal))?)
    }

    /// A key, if there is one.
    pub(crate) async fn key(&self, cx: &Context, id: &AccessKeyId) -> Result<Option<Key>> {
        let doing = format!("unable to look for key {id}");
        self.find(cx, api::key_by_id(id), Absent::Key, &doing).await
    }

    /// A bucket, if there is one.
    pub(crate) async fn bucket(&self, cx: &Context, id: &BucketId) -> Result<Option<Bucket>> {
        let doing = format!("unable to look for bucket {id}");
        let bucket = api::bucket_by_id(id);
        self.find(cx, bucket, Absent::Bucket, &doing).await
    }

    /// A bucket, if this process is asked for so many that all of them were looked at
    /// together. `None`: ask for it alone; `Some(None)`: there is none.
    pub(crate) async fn surveyed_bucket(
        &self,
        cx: &Context,
        name: &str,
        find: impl Fn(&[Bucket]) -> Option<&Bucket>,
    ) -> Option<Option<Bucket>> {
        let doing = "unable to look at all buckets together";
        let list = async |limit| self.ask(cx, api::survey_buckets(limit), doing).await;
        self.buckets
            .find(name, find, |bucket| bucket.id.as_str(), list)
            .await
    }

    /// The same of a key.
    pub(crate) async fn surveyed_key(&self, cx: &Context, id: &AccessKeyId) -> Option<Option<Key>> {
        self.find_key(cx, id.as_str(), |keys| {
            keys.iter().find(|key| key.access_key_id == *id)
        })
        .await
    }

    /// The same of the only key that `is_it` knows by this name.
    pub(crate) async fn surveyed_key_called(
        &self,
        cx: &Context,
        name: &str,
        is_it: impl Fn(&Key) -> bool,
    ) -> Option<Option<Key>> {
        let several = Cell::new(false);
        let found = self.find_key(cx, name, |keys| {
            let mut found = keys.iter().filter(|key| is_it(key));
            let first = found.next();
            several.set(found.next().is_some());
            first
        });
        found.await.filter(|_| !several.get())
    }

    async fn find_key(
        &self,
        cx: &Context,
        name: &str,
        find: impl Fn(&[Key]) -> Option<&Key>,
    ) -> Option<Option<Key>> {
        let doing = "unable to look at all keys together";
        let list = async |limit| self.ask(cx, api::survey_keys(limit), doing).await;
        self.keys
            .find(name, find, |key| key.access_key_id.as_str(), list)
            .await
    }

    /// Every key.
    pub(crate) async fn keys(&self, cx: &Context) -> Result<Vec<ListedKey>> {
        let page = |offset: Option<&AccessKeyId>| {
            api::list_keys(offset, PAGE).doing("unable to list the keys")
        };
        let mut is_first = true;
        let all = self
            .client
            .all_by_cursor(cx, page(None), |mut keys: Vec<ListedKey>| {
                let last = keys.last().filter(|_| keys.len() >= PAGE);
                let next = last.map(|last| page(Some(&last.id)));
                // A page begins with the one that the last one ended with.
                if !std::mem::take(&mut is_first) && !keys.is_empty() {
                    keys.remove(0);
                }
                (keys, next)
            });
        Ok(all.await?)
    }

    /// Too few nodes answered the one that was asked. Which ones, it knows itself.
    async fn without_quorum(&self, cx: &Context, refusal: &Refusal) -> Error {
        let error = self
            .client
            .error(format!(
                "too few nodes of the cluster at {} answer for {}",
                self.connection,
                refusal.request()
            ))
            .retry(Retry::Briefly);
        let said = &refusal.words.message;
        // Boxed, because asking for the nodes may be refused in the same way.
        let status = Box::pin(self.call(cx, api::cluster_status())).await;
        let missing: Vec<_> = match &status {
            Ok(status) => status.nodes.iter().filter(|node| !node.is_up).collect(),
            Err(_) => Vec::new(),
        };
        if missing.is_empty() {
            return error
                .because(said)
                .hint("see the log of that node for which ones did not answer");
        }
        let missing: Vec<_> = missing.into_iter().map(described).collect();
        error
            .because(format!("no answer from {} ({said})", missing.join(", ")))
            .hint("start them again; what was done stays, and applying again goes on")
    }
}

/// Whether a refusal has these words in it, where Garage gives no code of its own.
pub(crate) fn says(refusal: &Refusal, words: &str) -> bool {
    refusal.words.message.contains(words)
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
