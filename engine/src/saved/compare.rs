//! Makes what is saved from what a refresh found, and says what of it moved on.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_protocol::message::{Change, HistoryEvent};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::file::SavedError;
use super::member::{hash, words};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::plan::decision::Work;
use crate::plan::planner::PlannedAction;
use crate::plan::refresh::Refreshed;
use crate::records::Records;
use crate::report::saved::{FORMAT, SavedMember, SavedPlan, SavedRecord, SavedState, VERSION};
use crate::report::{Action, PlanReport, PlannedResource};
use crate::session::Session;

/// How many of those who changed the state since are named.
const TOLD: usize = 5;

impl SavedPlan {
    /// What a refresh found, and everything that it goes by.
    pub(crate) async fn of(
        session: &Session,
        refreshed: &Refreshed,
        plan: PlanReport,
    ) -> Result<Self, Failure> {
        let touched = refreshed.propagated.iter().filter(|(_, planned)| {
            !matches!(planned, PlannedAction::Decided(decision) if decision.work == Work::Nothing)
        });
        let made = OffsetDateTime::now_utc().format(&Rfc3339);
        Ok(Self {
            format: FORMAT,
            version: VERSION.to_owned(),
            made: made.unwrap_or_default(),
            deployment: session.evaluator.root()?.path().to_owned(),
            states: states(&refreshed.records).await?,
            targets: session.targets.clone(),
            members: touched.map(|(member, _)| SavedMember::of(member)).collect(),
            plan,
        })
    }

    /// Fails unless `now` is the same plan of the same deployment, and says what moved.
    pub(crate) async fn compare(&self, now: &Self, records: &Records) -> Result<(), SavedError> {
        if self.is_of_another(now) {
            return Err(SavedError::Another {
                planned: self.deployment.clone(),
                here: now.deployment.clone(),
            });
        }
        let mut moved = self.moved_states(now, records).await;
        let members = self.moved_members(now);
        moved.extend(moved_resources(&self.plan, &now.plan, &members));
        moved.extend(members.into_values());
        if moved.is_empty() {
            return Ok(());
        }
        Err(SavedError::Moved {
            made: self.made.clone(),
            moved,
            is_done: !now.plan.has_work(),
        })
    }

    /// A deployment is known by its states, and one without any by its file: who plans and
    /// who applies may have it in different places.
    fn is_of_another(&self, now: &Self) -> bool {
        if self.deployment == now.deployment {
            return false;
        }
        let places = |plan: &Self| {
            let places = plan.states.iter().map(|state| state.place.clone());
            places.collect::<BTreeSet<String>>()
        };
        let (planned, here) = (places(self), places(now));
        planned.is_disjoint(&here)
    }

    async fn moved_states(&self, now: &Self, records: &Records) -> Vec<String> {
        let mut moved = Vec::new();
        for planned in &self.states {
            let label = &planned.path;
            let Some(here) = now.states.iter().find(|state| state.path == *label) else {
                moved.push(format!("the state that '{label}' keeps is no longer open"));
                continue;
            };
            if planned.place != here.place {
                moved.push(format!(
                    "the state that '{label}' keeps is at {}, and was at {}",
                    here.place, planned.place
                ));
            } else if planned.hash != here.hash {
                let what = moved_records(&planned.resources, &here.resources);
                let who = match planned.events {
                    Some(events) => changed_since(records, label, events).await,
                    None => String::new(),
                };
                moved.push(format!("the state that '{label}' keeps: {what}{who}"));
            }
        }
        for here in &now.states {
            if !self.states.iter().any(|state| state.path == here.path) {
                moved.push(format!("the state that '{}' keeps is new", here.path));
            }
        }
        moved
    }

    /// Members of which the expression says something else, and what.
    fn moved_members(&self, now: &Self) -> BTreeMap<&MemberPath, String> {
        let here: BTreeMap<_, _> = now.members.iter().map(|it| (&it.path, it)).collect();
        let mut moved = BTreeMap::new();
        for planned in &self.members {
            // One that is not touched now has another action.
            let Some(here) = here.get(&planned.path) else {
                continue;
            };
            let differing = planned.differing(here);
            if !differing.is_empty() {
                let what = differing.join(", ");
                let told = format!("'{}': the expression has another {what} now", planned.path);
                moved.insert(&planned.path, told);
            }
        }
        moved
    }
}

async fn states(records: &Records) -> Result<Vec<SavedState>, Failure> {
    let mut states = Vec::new();
    for location in records.locations() {
        let Some(backend) = records.backend(&location.label) else {
            continue;
        };
        let mut backend = backend.lock().await;
        let resources = records
            .all()
            .filter(|(state, ..)| **state == location.label);
        let resources = resources.map(|(_, path, recorded)| SavedRecord {
            path: path.clone(),
            hash: hash(&serde_json::to_value(recorded.resource()).unwrap_or_default()),
        });
        states.push(SavedState {
            path: location.label.clone(),
            place: location.told(),
            events: backend.events().await?,
            hash: hash(backend.document()),
            resources: resources.collect(),
        });
    }
    Ok(states)
}

/// What is recorded otherwise than it was.
fn moved_records(planned: &[SavedRecord], here: &[SavedRecord]) -> String {
    let by_path = |records: &[SavedRecord]| -> BTreeMap<MemberPath, String> {
        let records = records.iter().cloned();
        records.map(|it| (it.path, it.hash)).collect()
    };
    let (planned, here) = (by_path(planned), by_path(here));
    let names = |paths: Vec<&MemberPath>| {
        let names: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
        names.join(", ")
    };
    let new = here.keys().filter(|path| !planned.contains_key(*path));
    let gone = planned.keys().filter(|path| !here.contains_key(*path));
    let is_changed = |path: &&MemberPath| planned.get(*path).is_some_and(|it| *it != here[*path]);
    let changed = here.keys().filter(is_changed);
    let all = [
        ("recorded since: ", new.collect::<Vec<_>>()),
        ("changed since: ", changed.collect()),
        ("forgotten since: ", gone.collect()),
    ];
    let told: Vec<String> = all
        .into_iter()
        .filter(|(_, paths)| !paths.is_empty())
        .map(|(words, paths)| format!("{words}{}", names(paths)))
        .collect();
    if told.is_empty() {
        "it is not the same as it was".to_owned()
    } else {
        told.join("; ")
    }
}

/// Who changed a state since it had so many events, if that can be read.
async fn changed_since(records: &Records, state: &MemberPath, events: u64) -> String {
    let mut writers = Vec::new();
    if let Some(backend) = records.backend(state) {
        let tell = |event: HistoryEvent| {
            let writer = event.writer.unwrap_or_else(|| "(not noted)".to_owned());
            writers.push((event.index, event.time, writer));
        };
        // Without it, what changed is told all the same.
        let _ = backend.lock().await.each_event(events, tell).await;
    }
    let number = writers.len();
    let told = writers.into_iter().take(TOLD);
    let mut told: Vec<String> = told
        .map(|(index, time, writer)| format!("\n#{index} {time} {writer}"))
        .collect();
    if number > TOLD {
        told.push(format!("\nand {} more", number - TOLD));
    }
    told.concat()
}

/// What is shown otherwise than it was, but for what follows from what is `told`.
fn moved_resources(
    planned: &PlanReport,
    now: &PlanReport,
    told: &BTreeMap<&MemberPath, String>,
) -> Vec<String> {
    let by_path = |plan: &PlanReport| -> BTreeMap<MemberPath, PlannedResource> {
        let resources = plan.resources.iter().cloned();
        resources.map(|it| (it.path.clone(), it)).collect()
    };
    let (planned_resources, here) = (by_path(planned), by_path(now));
    let mut moved = Vec::new();
    for (path, before) in &planned_resources {
        let Some(after) = here.get(path) else {
            moved.push(match before.action {
                // A state resource that isn't there is to be made, and nothing else of it
                // is shown.
                Action::Create => format!("'{path}' is there already, or left the expression"),
                _ => format!("'{path}' left the expression"),
            });
            continue;
        };
        if before.r#type != after.r#type {
            moved.push(format!(
                "'{path}' is a {} now, and was a {}",
                after.r#type, before.r#type
            ));
        } else if before.action != after.action {
            moved.push(format!(
                "'{path}': the plan says {}, and now {}",
                words(before.action),
                words(after.action)
            ));
        } else {
            let is_told = told.contains_key(path);
            let fields = moved_changes(&before.changes, &after.changes, is_told);
            moved.extend(fields.map(|told| format!("'{path}': {told}")));
            if before.waits_for != after.waits_for && !is_told {
                moved.push(format!("'{path}' waits for other outputs than it did"));
            }
        }
    }
    let new = here
        .keys()
        .filter(|path| !planned_resources.contains_key(*path));
    moved.extend(new.map(|path| format!("'{path}' is new")));
    if planned.unknown_members != now.unknown_members {
        moved.push("other members are known only after apply than were".to_owned());
    }
    moved
}

/// Fields that change otherwise than they did. What they change to is the expression's,
/// and what they change from the server's or the record's; if the former is told, only the
/// latter is.
fn moved_changes(
    planned: &[Change],
    now: &[Change],
    is_told: bool,
) -> impl Iterator<Item = String> {
    let by_path = |changes: &[Change]| -> BTreeMap<String, Change> {
        let changes = changes.iter().cloned();
        changes.map(|it| (it.path.clone(), it)).collect()
    };
    let (planned, now) = (by_path(planned), by_path(now));
    let paths: BTreeSet<String> = planned.keys().chain(now.keys()).cloned().collect();
    paths.into_iter().filter_map(move |path| {
        let field = if path.is_empty() { "(inputs)" } else { &path };
        match (planned.get(&path), now.get(&path)) {
            (Some(before), Some(after)) if before.before != after.before => {
                Some(format!("{field} is not what it was when this was planned"))
            }
            _ if is_told => None,
            (Some(_), None) => Some(format!("{field} does not change any more")),
            (None, Some(_)) => Some(format!("{field} changes, too, now")),
            (Some(before), Some(after))
                if before.after != after.after || before.effect != after.effect =>
            {
                Some(format!("{field} changes to something else now"))
            }
            _ => None,
        }
    })
}
