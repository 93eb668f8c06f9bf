//! Real Garage servers on loopback: a cluster of one node, or of three that keep
//! three copies, each node with a temporary folder and ports of its own.
//!
//! A node can be killed and started again with the same ports and data. Whoever
//! wants to know what is there without the provider asks [`admin`], the `garage`
//! command ([`Node::run`]), or S3 itself ([`s3`]). This module must not know what
//! a test does with its servers.

pub mod admin;
mod http;
mod installation;
mod node;
pub mod s3;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lifeline;
use admin::Admin;
pub use http::{Refusal, Response};
pub use installation::{executable, is_there};
pub use node::Node;

/// The address that every server listens on.
const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The region that every cluster says it is in.
pub const REGION: &str = "garage";

/// What comes after a bucket's name in the `Host` of a request for its website.
pub const WEB_DOMAIN: &str = ".web.garage.localhost";

/// How long a cluster may take until it answers.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// What a cluster is like: `Config { nodes: 3, ..Config::default() }`.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many nodes there are, each with a copy of everything.
    pub nodes: usize,
    /// How long a node waits for another one's answer. Garage's own default is
    /// five minutes.
    pub rpc_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: 1,
            rpc_timeout: Duration::from_secs(10),
        }
    }
}

/// A cluster. Its nodes are killed when it is dropped, and its folder removed.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Arc<Node>>,
    admin_token: String,
    /// Last: the folder goes after what uses it.
    folder: TempDir,
}

impl Cluster {
    /// Starts a cluster and waits until all of its nodes say that it is healthy.
    #[must_use]
    pub fn start(config: &Config) -> Self {
        let folder = lifeline::folder("garage-");
        lifeline::set_mode(folder.path(), 0o700);
        let admin_token = format!("admin-{:032x}", rand::random::<u128>());
        let rpc_secret = format!("{:064x}", rand::random::<u128>());
        let node = |number| Arc::new(Node::new(folder.path(), number, config));
        let cluster = Self {
            nodes: (1..=config.nodes).map(node).collect(),
            admin_token,
            folder,
        };
        node::write_private(&cluster.admin_token_file(), &cluster.admin_token);
        node::write_private(&cluster.folder.path().join("rpc-secret"), &rpc_secret);
        for node in &cluster.nodes {
            node.spawn();
        }
        for node in &cluster.nodes {
            node.wait_until_it_answers(&cluster.admin_token);
        }
        cluster.lay_out();
        cluster.wait_until_healthy();
        cluster
    }

    /// Makes the nodes know each other and gives each its part.
    fn lay_out(&self) {
        let peers = self.peers();
        for node in &self.nodes {
            node.write_config(&peers);
        }
        self.connect();
        let admin = self.admin();
        let role = |node: &Arc<Node>| json!({"id": node.id(), "zone": "here", "capacity": 1_000_000_000, "tags": []});
        let roles: Vec<_> = self.nodes.iter().map(role).collect();
        admin.post("UpdateClusterLayout", &[], &json!({"roles": roles}));
        admin.post("ApplyClusterLayout", &[], &json!({"version": 1}));
    }

    /// What nodes call each other.
    fn peers(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.peer()).collect()
    }

    /// Lets each node look for the others now. By itself it tries twice a minute.
    fn connect(&self) {
        for index in 0..self.nodes.len() {
            let mut others = self.peers();
            others.remove(index);
            let admin = self.admin_of(index);
            let connected = admin.post("ConnectClusterNodes", &[], &json!(others));
            let all = connected.as_array().expect("an answer for each node");
            assert!(all.iter().all(|one| one["success"] == true), "{connected}");
        }
    }

    /// Waits until every node sees all others, and that each has its part.
    pub fn wait_until_healthy(&self) {
        let start = Instant::now();
        self.connect();
        for index in 0..self.nodes.len() {
            let admin = self.admin_of(index);
            loop {
                let health = admin.try_get("GetClusterHealth", &[]);
                let is_healthy = |health: &Value| {
                    health["status"] == "healthy" && health["storageNodes"] == self.nodes.len()
                };
                if health.as_ref().is_ok_and(is_healthy) {
                    break;
                }
                assert!(
                    start.elapsed() < START_TIMEOUT,
                    "the cluster is not healthy after {START_TIMEOUT:?}: {health:?}\n{}",
                    self.log()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Its nodes. A test may keep one beyond the borrow, to kill it meanwhile.
    #[must_use]
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The first node.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.nodes[0]
    }

    /// What administers it, through its first node.
    #[must_use]
    pub fn admin(&self) -> Admin {
        self.admin_of(0)
    }

    /// The same through another node.
    #[must_use]
    pub fn admin_of(&self, index: usize) -> Admin {
        Admin::new(&self.nodes[index].admin_url(), &self.admin_token)
    }

    /// The token that may do everything.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The file that holds that token and nothing else, readable by its owner
    /// only.
    #[must_use]
    pub fn admin_token_file(&self) -> PathBuf {
        self.folder.path().join("admin-token")
    }

    /// All that its nodes have logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.nodes.iter().map(|node| node.log()).collect()
    }
}
