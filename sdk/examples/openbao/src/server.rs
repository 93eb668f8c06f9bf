//! A server that is talked to, and which one it is.

use nixops4_provider_sdk::http::{Authentication, Client, Connection, HeaderName};
use nixops4_provider_sdk::{Context, Result};

use crate::api::{self, OpenBao};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

/// A server.
pub(crate) struct Server {
    pub(crate) client: Client,
    /// By this it is recognised, whatever its address is.
    pub(crate) cluster_id: String,
}

impl Server {
    /// The server of a connection. Another one than was recorded is refused.
    pub(crate) async fn of(cx: &Context, at: &Connection, recorded: Option<&str>) -> Result<Self> {
        let authentication =
            |token: &_, pointer: &_| Authentication::header(TOKEN, "", token, pointer);
        let client = at.connect(cx, &OpenBao, authentication).await?;
        let cluster_id = client.call(cx, api::health()).await?.cluster_id;
        if recorded.is_none_or(|recorded| recorded == cluster_id) {
            return Ok(Self { client, cluster_id });
        }
        let problem = format!("the server at {at} is not the one this was created on");
        let error = client.error(problem).because(format!("it is {cluster_id}"));
        Err(error.hint(
            "point connection at the server that is meant; to begin anew on this one, forget the \
             member in the state",
        ))
    }
}
