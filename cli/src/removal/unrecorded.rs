//! What a member of the expression made and no state has: members without state,
//! and what was made just before an apply was killed.
//!
//! Its inputs lead to it, and its provider says whether it is there and ours.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::message::RequestName;
use nixops4_protocol::state::{Extension, RecordedResource};

use super::examples::{Example, Place};
use super::orphans;
use super::target::{self, Target};
use crate::eval::{Evaluation, Member};
use crate::member::MemberPath;
use crate::plan::decision::Decision;
use crate::plan::judge::{self, Judgement};
use crate::plan::survey;
use crate::records::Records;
use crate::report::Action;
use crate::session::Session;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) targets: Vec<Target>,
    pub(super) notes: Vec<String>,
}

/// Looks at the members that no state has.
pub(super) async fn find(session: &Session, evaluation: &Evaluation, records: &Records) -> Found {
    let mut found = Found::default();
    let keepers = survey::keepers(evaluation);
    let members = evaluation.members.values().filter(|member| {
        let path = &member.path;
        !keepers.contains(path) && !records.is_open(path) && records.of(member).is_none()
    });
    let mut judged: Vec<_> = stream::iter(members)
        .map(async |member| (member, look(session, member, records).await))
        .buffer_unordered(session.parallel)
        .collect()
        .await;
    judged.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let mut retained = Retained::default();
    for (member, looked) in judged {
        match looked {
            Ok(None) => {}
            Ok(Some(decision)) if retained.has(session, member, &decision).await => {}
            Ok(Some(decision)) => found.targets.push(of(session, member, decision).await),
            Err(reason) => found
                .notes
                .push(format!("'{}' is left as it is: {reason}", member.path)),
        }
    }
    found
}

/// What its provider says of it, if it is there and ours.
async fn look(
    session: &Session,
    member: &Member,
    records: &Records,
) -> Result<Option<Decision>, String> {
    let kind = judge::check(session, member)
        .await
        .map_err(|problems| problems.join("; "))?;
    let offers = |request| {
        kind.as_ref()
            .is_some_and(|kind| kind.description.offers(request))
    };
    if !offers(RequestName::Destroy) || !offers(RequestName::Plan) {
        return match member.state {
            Some(_) => Ok(None),
            None => Err(
                "it has no state, and its provider cannot destroy it; see to it by hand".to_owned(),
            ),
        };
    }
    match judge::judge(session, member, records).await {
        // Nothing leads to what its own name is not known of.
        Ok(Judgement::Decided(decision)) if !member.is_known() && decision.identity.is_null() => {
            match member.state {
                Some(_) => Ok(None),
                None => Err(unknown(member)),
            }
        }
        Ok(Judgement::Decided(decision)) => Ok(Some(decision).filter(|decision| {
            // What is refused is somebody else's, and what would be made isn't there.
            !matches!(decision.action, Action::Create | Action::Refuse)
        })),
        Ok(Judgement::Later) => Ok(None),
        Ok(Judgement::Failed(reason)) => Err(reason),
        Err(judge::Error::Problems(problems)) => Err(problems.join("; ")),
        Err(judge::Error::Eval(error)) => Err(error.to_string()),
    }
}

fn unknown(member: &Member) -> String {
    let waits: BTreeSet<String> = member.waits_for().map(ToString::to_string).collect();
    let waits: Vec<String> = waits.into_iter().collect();
    format!("its inputs are not known without {}", waits.join(", "))
}

/// What was taken out of service before, by the places that were searched.
#[derive(Default)]
struct Retained(BTreeMap<Place, BTreeSet<String>>);

impl Retained {
    async fn has(&mut self, session: &Session, member: &Member, decision: &Decision) -> bool {
        let example = Example::from(member);
        let place = example.place();
        if !self.0.contains_key(&place) {
            let retained = orphans::retained(session, &example).await;
            self.0.insert(place.clone(), retained);
        }
        self.0[&place].contains(&decision.identity.to_string())
    }
}

async fn of(session: &Session, member: &Member, decision: Decision) -> Target {
    let recorded = RecordedResource {
        r#type: member.kind.clone(),
        input_properties: member.inputs.clone(),
        output_properties: decision.outputs,
        extension: Some(Extension {
            executable: member.executable.clone(),
            args: member.args.clone(),
            ..Extension::default()
        }),
        others: nixops4_protocol::Object::new(),
    };
    let path: MemberPath = member.path.clone();
    let mut target = target::target(session, path, None, recorded, false).await;
    if target.note.is_none() {
        target.note = Some(
            match member.state {
                Some(_) => "it is not recorded: an apply was cut short",
                None => "it has no state; its inputs lead to it",
            }
            .to_owned(),
        );
    }
    target
}
