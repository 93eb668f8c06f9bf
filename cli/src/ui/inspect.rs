//! What `validate`, `graph` and `outputs` say to people. Pure.

use std::fmt::Write as _;

use super::text::{self, Paint};
use crate::report::graph::{GraphReport, OutputsReport, ValidationReport};

/// What was found, each problem with its member and field; inputs that could not be
/// checked are only counted unless `all` are wanted.
pub(crate) fn validation(report: &ValidationReport, all: bool, paint: Paint) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        let told = text::indented(&text::reason(&problem.message), text::LATER);
        let path = problem.path.to_string();
        let _ = match &problem.field {
            Some(field) => writeln!(
                text,
                "{} {}  {}: {told}",
                paint.bad("!"),
                paint.bold(&path),
                text::field(field)
            ),
            None => writeln!(text, "{} {}  {told}", paint.bad("!"), paint.bold(&path)),
        };
    }
    if all {
        for unchecked in &report.unchecked {
            let waits: Vec<String> = unchecked
                .waits_for
                .iter()
                .map(ToString::to_string)
                .collect();
            let after = match waits[..] {
                [] => "an output".to_owned(),
                _ => waits.join(", "),
            };
            let _ = writeln!(
                text,
                "{} {}  {}: not checked, because it is made from {after}",
                paint.warn("?"),
                paint.bold(&unchecked.path.to_string()),
                text::field(&unchecked.field)
            );
        }
    }
    for unknown in &report.unknown_members {
        let _ = writeln!(
            text,
            "{} {}.*  not checked: its members are known after apply",
            paint.warn("?"),
            unknown.path
        );
    }
    for note in &report.notes {
        let _ = writeln!(text, "{} {}", paint.warn("note:"), text::theirs(note));
    }
    let members = text::count(report.members, "member", "members");
    let mut end = if report.valid {
        format!("Valid: {members}")
    } else {
        let problems = text::count(report.problems.len(), "problem", "problems");
        format!("Not valid: {problems} in {members}")
    };
    if !report.unchecked.is_empty() {
        let inputs = text::count(report.unchecked.len(), "input", "inputs");
        let _ = write!(end, "; {inputs} not checked before apply tells them");
    }
    let _ = writeln!(text, "{}", paint.bold(&format!("{end}.")));
    text
}

/// Members that wait for each other, a note each.
pub(crate) fn circles(report: &GraphReport) -> Vec<String> {
    let told = report.circles.iter().map(|circle| {
        let names = circle.iter().chain(circle.first());
        let names: Vec<String> = names.map(|path| format!("'{path}'")).collect();
        format!(
            "these wait for each other, and no apply gets past them: {}",
            names.join(" -> ")
        )
    });
    told.collect()
}

/// A line for each output, with its value as JSON.
pub(crate) fn outputs(report: &OutputsReport, paint: Paint) -> String {
    let mut text = String::new();
    for output in &report.outputs {
        let value = text::escaped(&output.value.to_string());
        let _ = writeln!(text, "{} = {value}", paint.bold(&output.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::report::FORMAT;
    use crate::report::graph::Problem;

    use super::*;

    #[test]
    fn problems_name_member_and_field() {
        let problem = |path: &str, field: Option<&str>, message: &str| Problem {
            path: path.parse().unwrap(),
            field: field.map(str::to_owned),
            message: message.to_owned(),
        };
        let mut report = ValidationReport {
            format: FORMAT,
            file: "nixops4.nix".to_owned(),
            valid: false,
            members: 3,
            problems: vec![
                problem("web.db", Some("/tags/1"), "is no text"),
                problem("x", None, "its state is gone\nhint: \u{1b}[2J"),
            ],
            unchecked: Vec::new(),
            unknown_members: Vec::new(),
            notes: Vec::new(),
        };
        let plain = Paint { colour: false };
        assert_eq!(
            validation(&report, false, plain),
            "! web.db  tags[1]: is no text\n! x  its state is gone\n        hint: \u{fffd}[2J\n\
             Not valid: 2 problems in 3 members.\n"
        );
        report.problems.clear();
        report.valid = true;
        assert_eq!(validation(&report, false, plain), "Valid: 3 members.\n");
    }
}
