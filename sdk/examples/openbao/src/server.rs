//! A server that is talked to, and which one it is.

use nixops4_provider_sdk::http::{Authentication, Client, Connection, HeaderName};
use nixops4_provider_sdk::reach::{Place, ReachInputs};
use nixops4_provider_sdk::{Context, Result};
use serde::Deserialize;

use crate::api::{self, OpenBao};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

/// What reaches everything that is on a server.
#[derive(Deserialize)]
pub(crate) struct Reach {
    #[expect(dead_code, reason = "that it can be read is what counts")]
    connection: Connection,
}

impl ReachInputs for Reach {
    const NAMES: &'static [&'static str] = &["connection"];
    const TO: Place = Place::Server;
}

/// A server.
pub(crate) struct Server {
    pub(crate) client: Client,
    /// By this it is recognised, whatever its address is.
    pub(crate) server_id: String,
}

impl Server {
    /// The server of a connection. Another one than was recorded is refused.
    pub(crate) async fn of(cx: &Context, at: &Connection, recorded: Option<&str>) -> Result<Self> {
        let authentication =
            |token: &_, pointer: &_| Authentication::header(TOKEN, "", token, pointer);
        let client = at.connect(cx, &OpenBao, authentication).await?;
        let server_id = client.call(cx, api::health()).await?.cluster_id;
        if recorded.is_none_or(|recorded| recorded == server_id) {
            return Ok(Self { client, server_id });
        }
        let problem = format!("the server at {at} is not the one this was created on");
        let error = client.error(problem).because(format!("it is {server_id}"));
        Err(error.hint(
            "point connection at the server that is meant; to begin anew on this one, forget the \
             member in the state",
        ))
    }
}
