//! The plan as people see it. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nixops4_protocol::message::{Change, Effect, PlannedValue};
use serde_json::Value;

use super::text::{self, Paint};
use crate::member::{MemberPath, OutputRef};
use crate::report::{Action, PlanReport, PlannedResource, UnknownMembers, UnknownPart};

/// The widest that names and types are set apart.
const COLUMN: usize = 36;

/// A plan as text, for lines of `width` characters. Resources that stay as they
/// are, are only counted unless `all` are wanted; so are fields at their default.
pub(crate) fn plan(report: &PlanReport, all: bool, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    let shown: Vec<&PlannedResource> = report
        .resources
        .iter()
        .filter(|resource| all || resource.action != Action::None)
        .collect();
    let column = shown
        .iter()
        .map(|resource| resource.path.to_string().chars().count())
        .max()
        .unwrap_or(0)
        .min(COLUMN)
        .min(width / 2);
    let look = Look {
        all,
        column,
        width,
        paint,
    };
    let mut errors = BTreeMap::new();
    for resource in shown {
        resource_lines(&mut text, resource, &mut errors, look);
    }
    for unknown in &report.unknown_members {
        unknown_lines(&mut text, unknown, paint);
    }
    if !report.abandoned.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str("No longer in the expression; still running, and left alone:\n");
        for abandoned in &report.abandoned {
            let _ = writeln!(
                text,
                "    {}  {}",
                abandoned.path,
                paint.dim(&text::line(&abandoned.r#type))
            );
        }
        text.push_str("`nixops4-resources gc` removes it.\n");
    }
    for note in &report.notes {
        let _ = writeln!(text, "{} {}", paint.warn("note:"), text::theirs(note));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "{}", paint.bold(&totals(report)));
    text
}

/// How resources are shown.
#[derive(Clone, Copy)]
struct Look {
    all: bool,
    column: usize,
    width: usize,
    paint: Paint,
}

/// The lines of one resource. `errors` are those that were told already, and of
/// whom.
fn resource_lines<'a>(
    text: &mut String,
    resource: &'a PlannedResource,
    errors: &mut BTreeMap<&'a str, &'a MemberPath>,
    look: Look,
) {
    let Look {
        all,
        column,
        width,
        paint,
    } = look;
    let name = resource.path.to_string();
    let padding = " ".repeat(column.saturating_sub(name.chars().count()));
    let symbol = text::symbol(resource.action, paint);
    let gap = if resource.action == Action::Replace {
        ""
    } else {
        "  "
    };
    let _ = writeln!(
        text,
        "{gap}{symbol} {}{padding}  {}",
        paint.bold(&name),
        paint.dim(&text::line(&resource.r#type))
    );
    if let Some(error) = &resource.error {
        let told = match errors.get(error.as_str()) {
            Some(other) => format!("the same as {other}"),
            None => text::indented(&text::reason(error), text::LATER),
        };
        errors.entry(error).or_insert(&resource.path);
        let _ = writeln!(text, "      {}", paint.bad(&told));
    }
    if let Some(note) = &resource.note {
        let _ = writeln!(text, "      {}", paint.dim(&text::theirs(note)));
    }
    // The reason why something is refused consists of the notes.
    let is_told = |_: &String| resource.action != Action::Refuse;
    let fields: Vec<Change> = resource
        .changes
        .iter()
        .filter(|change| all || !resource.at_default.contains(&change.path))
        .map(|change| Change {
            note: change.note.clone().filter(is_told),
            ..change.clone()
        })
        .filter(|change| !is_nothing(change))
        .collect();
    let column = fields
        .iter()
        .map(|change| text::field(&change.path).chars().count())
        .max()
        .unwrap_or(0)
        .min(COLUMN)
        .min(width / 3);
    for change in &fields {
        change_line(text, change, column, width, paint);
    }
    if !all && !resource.at_default.is_empty() {
        let more = text::count(resource.at_default.len(), "default", "defaults");
        let _ = writeln!(text, "      {}", paint.dim(&format!("and {more}")));
    }
    if !resource.waits_for.is_empty() {
        let _ = writeln!(
            text,
            "      {}",
            paint.dim(&format!("after {}", outputs(&resource.waits_for)))
        );
    }
}

/// A field that neither was nor will be there.
fn is_nothing(change: &Change) -> bool {
    let nothing = PlannedValue::Known(Value::Null);
    change.before == nothing && change.after == nothing && change.note.is_none()
}

fn change_line(text: &mut String, change: &Change, column: usize, width: usize, paint: Paint) {
    let field = text::field(&change.path);
    let padding = " ".repeat(column.saturating_sub(field.chars().count()));
    let room = width.saturating_sub(column + 10);
    let after = text::value(&change.after, room, paint);
    let values = match &change.before {
        PlannedValue::Known(Value::Null) => after,
        PlannedValue::Unknown if change.after == PlannedValue::Unknown => after,
        PlannedValue::Unknown => format!("{} {after}", paint.dim("->")),
        before => format!(
            "{} {} {after}",
            text::value(before, room / 2, paint),
            paint.dim("->")
        ),
    };
    let _ = write!(text, "      {field}{padding}  {values}");
    if let Some(effect) = text::effect(change.effect) {
        let effect = format!("  ({effect})");
        let _ = write!(
            text,
            "{}",
            if change.effect == Effect::Replace {
                paint.bad(&effect)
            } else {
                paint.warn(&effect)
            }
        );
    }
    text.push('\n');
    if let Some(note) = &change.note {
        let note = text::indented(&text::harmless(note), "          ");
        let _ = writeln!(text, "          {}", paint.dim(&note));
    }
}

fn unknown_lines(text: &mut String, unknown: &UnknownMembers, paint: Paint) {
    let (name, what) = match unknown.part {
        UnknownPart::Members if unknown.path.names().is_empty() => {
            ("*".to_owned(), "members known after apply")
        }
        UnknownPart::Members => (format!("{}.*", unknown.path), "members known after apply"),
        UnknownPart::Member => (unknown.path.to_string(), "known after apply"),
        UnknownPart::Resource => (
            unknown.path.to_string(),
            "provider, type or state known after apply",
        ),
    };
    let _ = writeln!(
        text,
        "  {} {}  {}",
        paint.warn("?"),
        paint.bold(&name),
        paint.dim(&format!("({what})"))
    );
    if !unknown.waits_for.is_empty() {
        let _ = writeln!(
            text,
            "      {}",
            paint.dim(&format!("after {}", outputs(&unknown.waits_for)))
        );
    }
}

fn outputs(outputs: &[OutputRef]) -> String {
    let names: Vec<String> = outputs.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn totals(report: &PlanReport) -> String {
    let counts = &report.counts;
    let unchanged = text::count(counts.unchanged, "resource is", "resources are");
    if !report.has_work() {
        return format!("Nothing to do: {unchanged} as wanted.");
    }
    let parts: Vec<String> = [
        (counts.create, "to create"),
        (counts.update, "to update"),
        (counts.replace, "to replace"),
        (counts.record, "to record"),
        (counts.ensure, "to make sure of"),
        (counts.later, "known later"),
        (counts.refuse, "refused"),
        (counts.failed, "that could not be looked at"),
        (counts.unchanged, "unchanged"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{number} {what}"))
    .collect();
    let more = if report.unknown_members.is_empty() {
        ""
    } else {
        ", and more that is known after apply"
    };
    format!("Plan: {}{more}.", parts.join(", "))
}

#[cfg(test)]
mod tests;
