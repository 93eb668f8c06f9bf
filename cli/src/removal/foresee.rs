//! What stands in the way of what is to go: its providers are asked before anybody is.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::client::ClientError;
use nixops4_protocol::message::{
    ExtantResource, PlanDestroyRequest, Request, RequestName, Response,
};

use super::target::Target;
use crate::member::MemberPath;
use crate::report::Fate;
use crate::session::Session;

/// The warnings of those targets whose kinds foresee what may fail.
pub(super) async fn warnings(
    session: &Session,
    targets: &[Target],
) -> BTreeMap<MemberPath, Vec<String>> {
    stream::iter(targets)
        .map(async |target| (target.path.clone(), of(session, target).await))
        .buffer_unordered(session.parallel)
        .collect()
        .await
}

async fn of(session: &Session, target: &Target) -> Vec<String> {
    // What may not be started is asked nothing, and the rest has described itself before.
    let Some(provider) = &target.provider else {
        return Vec::new();
    };
    if !matches!(target.fate, Fate::Delete | Fate::Retain) {
        return Vec::new();
    }
    let description = session.providers.describe(provider).await;
    let foresees = description.ok().flatten().is_some_and(|description| {
        let kind = description.kinds.get(&target.recorded.r#type);
        kind.is_some_and(|kind| kind.offers(RequestName::PlanDestroy))
    });
    if !foresees {
        return Vec::new();
    }
    let request = Request::PlanDestroy(PlanDestroyRequest {
        resource: ExtantResource::from(target.recorded.clone()),
    });
    let asked = session.providers.ask(provider, &target.path, &request);
    let asked = asked.await;
    match asked {
        Ok(Response::PlanDestroy(answer)) => answer.warnings,
        Ok(_) => {
            let request = "nixops4-resources/planDestroyRequest";
            vec![ClientError::Mismatch { request }.to_string()]
        }
        // Destroying it would most likely fail at the same.
        Err(error) => vec![error.to_string()],
    }
}
