//! Removes one thing after another, many at once, and forgets what is gone.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use nixops4_protocol::client::ClientError;
use nixops4_protocol::message::{DestroyResourceRequest, ExtantResource, Request, Response};

use super::order::{Node, Order};
use super::target::Target;
use crate::apply::Signals;
use crate::member::MemberPath;
use crate::records::Records;
use crate::report::{self, Event, Fate, Operation, Skip, Summary};
use crate::session::Session;

const KILLED: &str =
    "it was killed in the middle, and may or may not be gone; run the command again to find out";

/// Said by nobody: what has no provider is refused before.
const NOBODY: &str = "its provider is not known";

struct Ended {
    path: MemberPath,
    seconds: f64,
    result: Result<(), Wrong>,
}

enum Wrong {
    /// It is still there, or nobody knows.
    Failed(String),
    /// It is gone, and still recorded.
    NotRecorded(String),
}

/// Removes the targets; what fails leaves what it uses alone.
pub(super) async fn run(
    session: &Session,
    targets: Vec<Target>,
    nodes: BTreeMap<MemberPath, Node>,
    records: &Records,
    event: &'static str,
    signals: &mut Signals,
) -> Summary {
    let begun = Instant::now();
    let targets: BTreeMap<MemberPath, Target> = targets
        .into_iter()
        .map(|target| (target.path.clone(), target))
        .collect();
    let mut order = Order::new(nodes);
    let mut summary = Summary::default();
    let mut jobs: FuturesUnordered<LocalBoxFuture<'_, Ended>> = FuturesUnordered::new();
    loop {
        let room = session.parallel.saturating_sub(jobs.len());
        for path in order.next(room) {
            let Some(target) = targets.get(&path) else {
                continue;
            };
            session.ui.event(&Event::Started {
                path,
                r#type: target.recorded.r#type.clone(),
                operation: operation(target.fate),
            });
            jobs.push(Box::pin(one(session, target, records, event)));
        }
        if jobs.is_empty() {
            break;
        }
        tokio::select! {
            Some(ended) = jobs.next() => {
                if let Some(target) = targets.get(&ended.path) {
                    note(session, &mut order, &mut summary, target, ended);
                }
            }
            () = signals.next() => {
                if order.is_stopping() {
                    jobs.clear();
                    let running: Vec<MemberPath> = order.running().cloned().collect();
                    for path in running {
                        order.failed(&path, KILLED.to_owned());
                    }
                    break;
                }
                summary.interrupted = true;
                order.stop();
                session.providers.retries().stop();
                session.ui.event(&Event::Note {
                    message: "stopping: what is running is finished, nothing new is started; \
                              Ctrl-C again kills it"
                        .to_owned(),
                });
            }
        }
    }
    drop(jobs);
    finish(session, &order, &targets, &mut summary);
    summary.seconds = begun.elapsed().as_secs_f64();
    summary
}

fn operation(fate: Fate) -> Operation {
    match fate {
        Fate::Retain => Operation::Retain,
        Fate::Forget => Operation::Forget,
        Fate::Delete | Fate::Refuse => Operation::Destroy,
    }
}

fn note(
    session: &Session,
    order: &mut Order,
    summary: &mut Summary,
    target: &Target,
    ended: Ended,
) {
    let operation = operation(target.fate);
    let Ended {
        path,
        seconds,
        result,
    } = ended;
    match result {
        Ok(()) => {
            order.gone(&path);
            match operation {
                Operation::Retain => summary.retained += 1,
                Operation::Forget => summary.forgotten += 1,
                _ => summary.destroyed += 1,
            }
            session.ui.event(&Event::Finished {
                path,
                r#type: target.recorded.r#type.clone(),
                operation,
                seconds,
            });
        }
        Err(wrong) => {
            let error = match wrong {
                Wrong::Failed(error) => error,
                Wrong::NotRecorded(error) => {
                    summary.unforgotten.push(path.clone());
                    order.stop();
                    format!(
                        "it is done, but its record could not be removed, so nothing new is \
                         started: {error}"
                    )
                }
            };
            order.failed(&path, error.clone());
            if order.may_be_tried_again(&path) {
                session.ui.event(&Event::Note {
                    message: format!(
                        "{path} could not be removed yet, and is tried again later if that may help"
                    ),
                });
            }
            session.ui.event(&Event::Failed {
                path,
                r#type: target.recorded.r#type.clone(),
                operation,
                error,
                seconds,
            });
        }
    }
}

fn finish(
    session: &Session,
    order: &Order,
    targets: &BTreeMap<MemberPath, Target>,
    summary: &mut Summary,
) {
    let rest = order.rest();
    summary.failed = rest
        .failed
        .into_iter()
        .map(|(path, error)| report::Failure {
            operation: targets
                .get(&path)
                .map_or(Operation::Destroy, |target| operation(target.fate)),
            path,
            error,
        })
        .collect();
    summary.skipped = rest
        .skipped
        .into_iter()
        .map(|(path, reason)| Skip { path, reason })
        .collect();
    for skip in &summary.skipped {
        session.ui.event(&Event::Skipped {
            path: skip.path.clone(),
            reason: skip.reason.clone(),
        });
    }
}

async fn one(session: &Session, target: &Target, records: &Records, event: &'static str) -> Ended {
    let begun = Instant::now();
    let result = destroy(session, target, records, event).await;
    Ended {
        path: target.path.clone(),
        seconds: begun.elapsed().as_secs_f64(),
        result,
    }
}

async fn destroy(
    session: &Session,
    target: &Target,
    records: &Records,
    event: &'static str,
) -> Result<(), Wrong> {
    if target.fate != Fate::Forget {
        let request = Request::Destroy(DestroyResourceRequest {
            resource: ExtantResource::from(target.recorded.clone()),
        });
        let Some(provider) = &target.provider else {
            return Err(Wrong::Failed(NOBODY.to_owned()));
        };
        let answer = session
            .providers
            .ask(provider, &target.path, &request)
            .await;
        match answer {
            Ok(Response::Destroy(_)) => {}
            Ok(_) => {
                let request = "destroyResourceRequest";
                return Err(Wrong::Failed(ClientError::Mismatch { request }.to_string()));
            }
            Err(error) => return Err(Wrong::Failed(error.to_string())),
        }
    }
    let Some(keeper) = &target.keeper else {
        return Ok(());
    };
    let Some(keeper) = records.keeper(keeper) else {
        return Err(Wrong::NotRecorded("its state is not open".to_owned()));
    };
    let mut keeper = keeper.lock().await;
    keeper
        .forget(&target.path, event)
        .await
        .map_err(|error| Wrong::NotRecorded(error.to_string()))
}
