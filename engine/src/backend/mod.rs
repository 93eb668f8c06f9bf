//! The only way to a state: every command that reads or changes what is recorded opens
//! it by [`open`].
//!
//! Knows where a state can be: where the user says, where it was at the last apply, and
//! where the expression says. It knows nothing of plans.

mod place;
mod unnamed;

use crate::as_recorded;
use crate::eval::{Evaluation, Known, Look, Member};
use crate::failure::{Failure, Problem};
use crate::member::MemberPath;
use crate::memory;
use crate::plan::planner;
use crate::records::{Location, Records, RecordsError};
use crate::session::Session;

/// What a state is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// Nothing is changed: a state that isn't there yet is empty, and whoever goes by
    /// what is recorded refuses it ([`Records::refuse_absent`]).
    Read,
    /// It is to be changed, so it has to be there.
    Write,
    /// It is made if it isn't there, as upstream does at each apply.
    CreateIfMissing,
}

/// Which states are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// The one at a place that the user gives.
    Location(&'a Location),
    /// Those that were there at the last apply, without asking the expression.
    Remembered,
    /// Those that the expression has. Where that is not known before something is
    /// applied, those that are remembered.
    Expression,
    /// The state resources that the members of an evaluation name, as far as their
    /// inputs are known.
    Named(&'a Evaluation),
    /// The state resources that nobody names, and those that left the expression after
    /// the last apply, if something is recorded in them. Needs an evaluation of
    /// everything.
    Unnamed(&'a Evaluation),
}

impl<'a> Source<'a> {
    /// Where the user says, else where the expression says.
    pub(crate) fn given_or_expression(given: Option<&'a Location>) -> Self {
        given.map_or(Self::Expression, Self::Location)
    }
}

/// Opens what `source` means and is not open yet, and adds it to `records`. Says whether
/// there was any.
pub(crate) async fn open(
    session: &Session,
    source: Source<'_>,
    mode: OpenMode,
    records: &mut Records,
) -> Result<bool, Failure> {
    match source {
        Source::Location(location) => {
            open_at(session, location, mode, records).await?;
            Ok(true)
        }
        Source::Remembered => {
            let remembered = memory::states(session);
            for location in &remembered {
                open_at(session, location, mode, records).await?;
            }
            Ok(!remembered.is_empty())
        }
        Source::Expression => {
            let found = expression(session, mode).await?;
            let is_any = found.open_paths().next().is_some();
            records.append(found);
            Ok(is_any)
        }
        Source::Named(evaluation) => named(session, evaluation, mode, records).await,
        Source::Unnamed(evaluation) => unnamed::open(session, evaluation, mode, records).await,
    }
}

/// The place of a state that the user gives.
pub(crate) fn given(session: &Session, said: &str) -> Result<Location, Failure> {
    let location = Location::parse(said)?;
    session.trust.said(&location, !said.starts_with('@'));
    Ok(location)
}

/// Whether the states are remembered, and their providers may be started without asking
/// the expression.
pub(crate) fn is_remembered(session: &Session) -> bool {
    let remembered = memory::states(session);
    !remembered.is_empty() && remembered.iter().all(|location| session.starts(location))
}

/// What is recorded, for who only looks, to whom a state that is not there is an error: where
/// the user says, else where it was at the last apply, else where the expression says. And
/// whether its place was remembered.
pub(crate) async fn recorded(
    session: &Session,
    location: Option<&str>,
) -> Result<(Records, bool), Failure> {
    let given = location.map(|said| given(session, said)).transpose()?;
    let is_remembered = given.is_none() && is_remembered(session);
    let source = if is_remembered {
        Source::Remembered
    } else {
        Source::given_or_expression(given.as_ref())
    };
    let mut records = Records::default();
    open(session, source, OpenMode::Read, &mut records).await?;
    match records.absent().first().cloned() {
        Some(absent) if is_remembered => Err(RecordsError::Absent(absent.remembered()).into()),
        Some(absent) => Err(RecordsError::Absent(absent).into()),
        None => Ok((records, is_remembered)),
    }
}

/// Whether what is open is what the expression says now, and what left it.
pub(crate) fn is_current(evaluation: &Evaluation, records: &Records) -> bool {
    let remembered: Vec<&Location> = records.locations().collect();
    let wanted = evaluation.state_members();
    let is_named = |state: &&Location| wanted.contains(&state.label);
    let is_there = |state: &&Location| {
        let member = evaluation.members.get(&state.label);
        match member {
            Some(member) => member.is_known() && Location::from(&**member) == **state,
            None => unnamed::has_left(state, evaluation),
        }
    };
    remembered.iter().filter(|state| is_named(state)).count() == wanted.len()
        && remembered.iter().all(is_there)
}

async fn open_at(
    session: &Session,
    location: &Location,
    mode: OpenMode,
    records: &mut Records,
) -> Result<(), RecordsError> {
    let opened = place::open(session, location, mode).await?;
    records.add(location, opened)
}

/// The same, if it is there and something is recorded in it; says whether it is.
async fn open_if_used(
    session: &Session,
    location: &Location,
    records: &mut Records,
) -> Result<bool, RecordsError> {
    let mut alone = Records::default();
    open_at(session, location, OpenMode::Read, &mut alone).await?;
    if alone.all().next().is_none() {
        alone.close().await;
        return Ok(false);
    }
    records.append(alone);
    Ok(true)
}

async fn expression(session: &Session, mode: OpenMode) -> Result<Records, Failure> {
    let mut records = Records::default();
    let evaluation = session
        .evaluator
        .evaluate(Look::States, &Known::default())
        .await?;
    named(session, &evaluation, mode, &mut records).await?;
    let missing: Vec<MemberPath> = evaluation
        .state_members()
        .into_iter()
        .filter(|path| !records.is_open(path))
        .collect();
    let remembered = memory::states(session);
    if missing.is_empty() && evaluation.structures.is_empty() {
        open_unnamed(session, &evaluation, &mut records, &remembered).await?;
        let is_last_one_gone = records.open_paths().next().is_none() && !remembered.is_empty();
        if !is_last_one_gone {
            return Ok(records);
        }
    }
    let is_remembered = |path: &MemberPath| remembered.iter().any(|state| state.label == *path);
    if !remembered.is_empty() && missing.iter().all(is_remembered) {
        records.close().await;
        records = Records::default();
        for location in &remembered {
            open_at(session, location, mode, &mut records).await?;
        }
        return Ok(records);
    }
    Err(Failure::UnknownLocation(missing))
}

/// Opens what nobody names any more and still has something in it. An expression with
/// a mistake in it keeps nobody from the state that is named.
async fn open_unnamed(
    session: &Session,
    states: &Evaluation,
    records: &mut Records,
    remembered: &[Location],
) -> Result<(), Failure> {
    let mut is_needed = remembered.iter().any(|it| unnamed::has_left(it, states));
    for member in states.members.values() {
        is_needed = is_needed
            || !records.is_open(&member.path) && unnamed::may_keep_state(session, member).await;
    }
    if !is_needed {
        return Ok(());
    }
    match as_recorded::evaluate(session, records).await {
        Ok(evaluation) => {
            unnamed::open(session, &evaluation, OpenMode::Write, records).await?;
        }
        Err(error) => records.note(format!(
            "states that no member names are left alone, because the expression could not be \
             evaluated: {error}"
        )),
    }
    Ok(())
}

async fn named(
    session: &Session,
    evaluation: &Evaluation,
    mode: OpenMode,
    records: &mut Records,
) -> Result<bool, Failure> {
    let mut opened = false;
    for path in evaluation.state_members() {
        if records.is_open(&path) {
            continue;
        }
        let Some(member) = evaluation.members.get(&path) else {
            if evaluation
                .structures
                .iter()
                .any(|structure| path.is_within(&structure.path))
            {
                continue;
            }
            return Err(no_such_state(evaluation, path));
        };
        if let Some(state) = &member.state {
            return Err(Failure::StateOfState {
                path,
                state: state.clone(),
            });
        }
        if !member.is_known() {
            continue;
        }
        realise(session, member).await?;
        planner::check(session, member).await.map_err(|faults| {
            Failure::Problems(
                faults
                    .into_iter()
                    .map(|fault| Problem {
                        path: member.path.clone(),
                        message: fault.to_string(),
                    })
                    .collect(),
            )
        })?;
        open_at(session, &(&**member).into(), mode, records).await?;
        opened = true;
    }
    Ok(opened)
}

fn no_such_state(evaluation: &Evaluation, path: MemberPath) -> Failure {
    Failure::NoSuchState {
        by: evaluation
            .members
            .values()
            .filter(|member| member.state.as_ref() == Some(&path))
            .map(|member| member.path.clone())
            .collect(),
        path,
    }
}

async fn realise(session: &Session, member: &Member) -> Result<(), Failure> {
    session.evaluator.realise(&member.provider_paths).await?;
    Ok(session.evaluator.realise(&member.input_paths).await?)
}
