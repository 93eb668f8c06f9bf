//! What a server leaves open to those who own something on it: told once for each
//! server, to whoever plans.
//!
//! It must not know any kind.

use std::cell::RefCell;
use std::collections::BTreeSet;

use nixops4_provider_sdk::{Context, Result};

use crate::connection::Connection;
use crate::failure;
use crate::server::{Server, column};
use crate::sql::Ident;
use crate::witness::HAS_PLACE;

/// The servers that something was told of, by their identifiers.
#[derive(Default)]
struct Told(RefCell<BTreeSet<String>>);

/// Tells what is open on this server.
pub(crate) async fn tell(cx: &Context, at: &Connection, server: &mut Server) -> Result<()> {
    let told = cx.session::<Told>();
    if !cx.is_plan() || !told.0.borrow_mut().insert(server.id.clone()) {
        return Ok(());
    }
    let question = format!(
        "SELECT ARRAY(SELECT quote_ident(datname) FROM pg_database
                      WHERE datname IN ('postgres', 'template1') AND datallowconn
                        AND has_database_privilege('public', oid, 'CONNECT')
                      ORDER BY datname), {HAS_PLACE}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(question))
        .fetch_one(&mut server.connection)
        .await
        .map_err(|error| failure::stating("unable to see what the server leaves open", &error))?;
    let (open, has_place): (Vec<String>, bool) = (column(&row, 0)?, column(&row, 1)?);
    let me = Ident(&server.admin.name);
    if !open.is_empty() {
        let all = open.join(", ");
        let mut cure = format!("REVOKE CONNECT ON DATABASE {all} FROM PUBLIC");
        if !server.admin.superuser && open.iter().any(|name| name == "postgres") {
            cure = format!("GRANT CONNECT ON DATABASE postgres TO {me}; {cure}");
        }
        tracing::warn!(
            "at {at} everybody may connect to {all}, and so hold up whoever manages the server; as a \
             superuser run: {cure}"
        );
    }
    if !has_place {
        tracing::warn!(
            "at {at} an owner can remove or forge the mark on what it owns; as a superuser run: GRANT \
             SET ON PARAMETER nixops4_resources.database, nixops4_resources.inside TO {me}"
        );
    }
    Ok(())
}
