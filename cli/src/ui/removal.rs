//! What goes, and what is not as recorded, as people see it. Pure.

use std::fmt::Write as _;

use nixops4_protocol::message::PlannedValue;

use super::text::{self, Paint};
use crate::report::{Drift, DriftReport, Fate, Finding, RemovalReport};

/// What would go, for lines of `width` characters.
pub(super) fn removal(report: &RemovalReport, width: usize, paint: Paint) -> String {
    let mut out = String::new();
    for resource in &report.resources {
        let (symbol, what) = match resource.fate {
            Fate::Delete => (paint.bad("-"), "is deleted"),
            Fate::Retain => (paint.warn("-"), "is taken out of service; its data stays"),
            Fate::Forget => (paint.dim("-"), "is only forgotten, and stays as it is"),
            Fate::Refuse => (paint.bad("!"), "is refused"),
        };
        let _ = writeln!(
            out,
            "  {symbol} {}  {}",
            paint.bold(&resource.path.to_string()),
            paint.dim(&text::line(&resource.r#type))
        );
        let _ = writeln!(out, "      {what}");
        if let Some(note) = &resource.note {
            let note = text::indented(&text::reason(note), text::LATER);
            let _ = writeln!(out, "      {}", paint.dim(&note));
        }
        for warning in &resource.warnings {
            let warning = text::indented(&text::reason(warning), "        ");
            let _ = writeln!(out, "      {} {warning}", paint.warn("!"));
        }
    }
    if !report.retained.is_empty() {
        let _ = writeln!(
            out,
            "{}Out of service since before, with data, and left alone:",
            if out.is_empty() { "" } else { "\n" }
        );
        for orphan in &report.retained {
            let line = format!("{} {}", text::line(&orphan.r#type), orphan.identity);
            let line = text::cut(&text::escaped(&line), width.saturating_sub(4));
            let _ = writeln!(out, "    {line}");
        }
    }
    for note in &report.notes {
        let note = text::theirs(note);
        let _ = writeln!(out, "{} {note}", paint.warn("note:"));
    }
    if report.resources.is_empty() {
        let _ = writeln!(out, "{}", paint.bold("Nothing to remove."));
        return out;
    }
    let parts: Vec<String> = [
        (Fate::Delete, "to delete"),
        (Fate::Retain, "to take out of service"),
        (Fate::Forget, "to forget"),
        (Fate::Refuse, "refused"),
    ]
    .into_iter()
    .map(|(fate, what)| (report.count(fate), what))
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{number} {what}"))
    .collect();
    let _ = writeln!(
        out,
        "\n{}",
        paint.bold(&format!("Removal: {}.", parts.join(", ")))
    );
    out
}

/// One line for each finding, and one in the end.
pub(super) fn drift(report: &DriftReport, all: bool, width: usize, paint: Paint) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        finding_lines(&mut out, finding, width, paint);
    }
    for unseen in &report.failed {
        let reason = text::reason(&unseen.reason);
        let _ = writeln!(
            out,
            "{}  could not be looked at: {}",
            paint.bad(&unseen.path.to_string()),
            text::indented(&reason, text::LATER)
        );
    }
    if all {
        for unseen in &report.unchecked {
            let _ = writeln!(
                out,
                "{}  {}",
                unseen.path,
                paint.dim(&text::theirs(&unseen.reason))
            );
        }
    }
    for note in &report.notes {
        let note = text::theirs(note);
        let _ = writeln!(out, "{} {note}", paint.warn("note:"));
    }
    for state in &report.states {
        let mut line = format!("Recorded in {}", text::line(&state.location));
        if report.remembered {
            line.push_str(", as remembered from the last apply here");
        }
        let _ = writeln!(out, "{}", paint.dim(&line));
    }
    let parts: Vec<String> = [
        (report.findings.len(), "not as recorded"),
        (report.failed.len(), "that could not be looked at"),
        (report.unchecked.len(), "not checked"),
        (report.unchanged, "as recorded"),
    ]
    .into_iter()
    .filter(|(number, what)| *number > 0 || *what == "as recorded")
    .map(|(number, what)| format!("{number} {what}"))
    .collect();
    let head = if report.findings.is_empty() && report.failed.is_empty() {
        paint.good("No drift")
    } else {
        paint.bad("Drift")
    };
    let _ = writeln!(out, "{head}: {}.", parts.join(", "));
    out
}

fn finding_lines(out: &mut String, finding: &Finding, width: usize, paint: Paint) {
    let path = paint.bold(&finding.path.to_string());
    let kind = paint.dim(&text::line(&finding.r#type));
    match finding.drift {
        Drift::Gone => {
            let _ = writeln!(out, "{path}  {kind}  {}", paint.bad("is gone"));
        }
        Drift::Foreign => {
            let note = text::reason(finding.note.as_deref().unwrap_or_default());
            let _ = writeln!(
                out,
                "{path}  {kind}  {} {}",
                paint.bad("cannot be put right:"),
                note.lines().next().unwrap_or_default()
            );
        }
        Drift::Changed => {
            for change in &finding.changes {
                let room = width.saturating_sub(finding.path.to_string().len() + 30) / 2;
                let values = match (&change.before, &change.after) {
                    (PlannedValue::Sensitive, _) | (_, PlannedValue::Sensitive) => {
                        "is another value (sensitive)".to_owned()
                    }
                    (before, after) => format!(
                        "is {}, recorded {}",
                        text::value(before, room, paint),
                        text::value(after, room, paint)
                    ),
                };
                let _ = writeln!(
                    out,
                    "{path}  {kind}  {} {values}",
                    text::field(&change.path)
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Paint, drift, removal};
    use crate::member::MemberPath;
    use crate::report::{
        Drift, DriftReport, Fate, Finding, Orphan, Removal, RemovalReport, StateAt, Unseen,
    };
    use nixops4_protocol::message::{Change, Effect, PlannedValue};

    const PLAIN: Paint = Paint { colour: false };

    fn path(name: &str) -> MemberPath {
        name.parse().unwrap()
    }

    #[test]
    fn what_goes_says_what_happens_to_it() {
        let one = |name: &str, fate, note: Option<&str>| Removal {
            path: path(name),
            r#type: "t".to_owned(),
            fate,
            state: None,
            note: note.map(str::to_owned),
            warnings: match fate {
                Fate::Delete => vec!["somebody uses it\nhint: end that".to_owned()],
                _ => Vec::new(),
            },
        };
        let report = RemovalReport {
            format: 1,
            resources: vec![
                one("a", Fate::Delete, None),
                one("b", Fate::Retain, None),
                one("c", Fate::Refuse, Some("no\nreally")),
            ],
            renamed: Vec::new(),
            retained: vec![Orphan {
                r#type: "t".to_owned(),
                identity: json!("x"),
                mark: String::new(),
            }],
            notes: vec!["note".to_owned()],
        };
        assert_eq!(
            removal(&report, 80, PLAIN),
            "  - a  t
      is deleted
      ! somebody uses it
        hint: end that
  - b  t
      is taken out of service; its data stays
  ! c  t
      is refused
      no
        really

Out of service since before, with data, and left alone:
    t \"x\"
note: note

Removal: 1 to delete, 1 to take out of service, 1 refused.
"
        );
    }

    #[test]
    fn a_finding_is_one_line() {
        let finding = |name: &str, drift, changes| Finding {
            path: path(name),
            r#type: "t".to_owned(),
            drift,
            changes,
            note: Some("it is another's\nset adopt".to_owned()),
        };
        let change = |before: Value, after: Value| Change {
            path: "/x/0".to_owned(),
            before: PlannedValue::Known(before),
            after: PlannedValue::Known(after),
            effect: Effect::InPlace,
            note: None,
        };
        let report = DriftReport {
            format: 1,
            findings: vec![
                finding("a", Drift::Gone, vec![]),
                finding("b.c", Drift::Changed, vec![change(json!(1), Value::Null)]),
                finding("d", Drift::Foreign, vec![]),
            ],
            failed: vec![Unseen {
                path: path("e"),
                r#type: "t".to_owned(),
                reason: "down\nsee".to_owned(),
            }],
            unchanged: 4,
            ..DriftReport::default()
        };
        assert_eq!(
            drift(&report, false, 80, PLAIN),
            "a  t  is gone
b.c  t  x[0] is 1, recorded (none)
d  t  cannot be put right: it is another's
e  could not be looked at: down
        see
Drift: 3 not as recorded, 1 that could not be looked at, 4 as recorded.
"
        );
        let mut none = DriftReport {
            states: vec![StateAt {
                state: path("state"),
                location: "sqlite:x#shop".to_owned(),
            }],
            unchanged: 2,
            ..DriftReport::default()
        };
        assert_eq!(
            drift(&none, false, 80, PLAIN),
            "Recorded in sqlite:x#shop\nNo drift: 2 as recorded.\n"
        );
        none.remembered = true;
        assert_eq!(
            drift(&none, false, 80, PLAIN),
            "Recorded in sqlite:x#shop, as remembered from the last apply here\n\
             No drift: 2 as recorded.\n"
        );
    }
}
