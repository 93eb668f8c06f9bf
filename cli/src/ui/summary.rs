//! The end of an apply as people see it. Pure.

use std::fmt::Write as _;

use super::text::{self, Paint};
use crate::member::MemberPath;
use crate::report::{Failure, Summary};

/// How many members with the same failure are named.
const NAMED: usize = 8;

/// What came of it, what failed and why, and what to do next.
pub(crate) fn summary(summary: &Summary, paint: Paint) -> String {
    let mut text = String::new();
    let removed = summary.destroyed + summary.retained + summary.forgotten;
    let done = summary.created + summary.updated + summary.ensured + summary.recorded + removed;
    if summary.success && done == 0 {
        // The plan has said that there is nothing to do.
        return text;
    }
    if !summary.failed.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bad("Failed:"));
        for (paths, error) in by_reason(&summary.failed) {
            let _ = writeln!(
                text,
                "  {} {}\n      {}",
                paint.bad("!"),
                paint.bold(&names(&paths)),
                text::indented(&text::reason(error), text::LATER)
            );
        }
    }
    if !summary.skipped.is_empty() {
        text.push_str("\nNot tried:\n");
        for skip in &summary.skipped {
            let _ = writeln!(
                text,
                "    {}  {}",
                skip.path,
                paint.dim(&text::theirs(&skip.reason))
            );
        }
    }
    warnings(&mut text, summary, paint);
    let parts: Vec<String> = [
        (summary.created, "created"),
        (summary.updated, "updated"),
        (summary.ensured, "made sure of"),
        (summary.recorded, "recorded"),
        (summary.destroyed, "destroyed"),
        (summary.retained, "taken out of service"),
        (summary.forgotten, "forgotten"),
        (summary.failed.len(), "failed"),
        (summary.skipped.len(), "not tried"),
        (summary.unchanged, "unchanged"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{number} {what}"))
    .collect();
    let parts = if parts.is_empty() {
        "nothing was done".to_owned()
    } else {
        parts.join(", ")
    };
    let (head, head_text) = if summary.success {
        (paint.good("Done"), "in")
    } else if summary.interrupted {
        (paint.bad("Interrupted"), "after")
    } else {
        (paint.bad("Failed"), "after")
    };
    let _ = writeln!(
        text,
        "\n{head} {head_text} {}: {parts}.",
        text::seconds(summary.seconds)
    );
    if !summary.success {
        text.push_str(if removed > 0 {
            "What is gone is recorded as gone. Put right what failed, and run it again.\n"
        } else if done == 0 {
            "Put right what failed, and run it again.\n"
        } else {
            "What was done is recorded. Put right what failed, and apply again: it goes on from \
             there.\n"
        });
    }
    text
}

/// What the reader has to see to.
fn warnings(text: &mut String, summary: &Summary, paint: Paint) {
    if !summary.unrecorded.is_empty() {
        let names: Vec<String> = summary.unrecorded.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "\n{} {} {} made or changed, and NOT RECORDED.\nThe next apply does not know of it \
             and will ask the provider to create it again: see first that the state can be \
             written.",
            paint.bad("!"),
            names.join(", "),
            if names.len() == 1 { "was" } else { "were" }
        );
    }
    if !summary.abandoned.is_empty() {
        let names: Vec<String> = summary
            .abandoned
            .iter()
            .map(|abandoned| abandoned.path.to_string())
            .collect();
        let _ = writeln!(
            text,
            "\nNo longer in the expression; still running, and left alone: {}\n\
             `nixops4-resources gc` removes it.",
            names.join(", ")
        );
    }
    if !summary.unforgotten.is_empty() {
        let names: Vec<String> = summary
            .unforgotten
            .iter()
            .map(ToString::to_string)
            .collect();
        let _ = writeln!(
            text,
            "\n{} {} {} gone, and STILL RECORDED.\nSee that the state can be written, and run the \
             same command again.",
            paint.bad("!"),
            names.join(", "),
            if names.len() == 1 { "is" } else { "are" }
        );
    }
}

/// The failures by their reason, in the order in which they came.
fn by_reason(failures: &[Failure]) -> Vec<(Vec<&MemberPath>, &str)> {
    let mut reasons: Vec<(Vec<&MemberPath>, &str)> = Vec::new();
    for failure in failures {
        match reasons
            .iter_mut()
            .find(|(_, error)| *error == failure.error)
        {
            Some((paths, _)) => paths.push(&failure.path),
            None => reasons.push((vec![&failure.path], &failure.error)),
        }
    }
    reasons
}

/// The first of them by name, and how many more there are.
fn names(paths: &[&MemberPath]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
    let named = named.join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Paint, summary};
    use crate::member::MemberPath;
    use crate::report::{Abandoned, Failure, Operation, Skip, Summary};

    const PLAIN: Paint = Paint { colour: false };

    fn path(name: &str) -> MemberPath {
        MemberPath(name.split('.').map(str::to_owned).collect())
    }

    #[test]
    fn a_failure_is_told_with_its_reason_and_what_to_do() {
        let end = Summary {
            created: 2,
            unchanged: 7,
            failed: vec![Failure {
                path: path("app.role"),
                operation: Operation::Create,
                error: "cannot connect to db:5432\nsee that the server runs".to_owned(),
            }],
            skipped: vec![Skip {
                path: path("app.db"),
                reason: "waits for app.role.name".to_owned(),
            }],
            unrecorded: vec![path("x")],
            abandoned: vec![Abandoned {
                path: path("gone"),
                r#type: "t".to_owned(),
                state: path("state"),
            }],
            seconds: 72.4,
            ..Summary::default()
        };
        assert_eq!(
            summary(&end, PLAIN),
            "
Failed:
  ! app.role
      cannot connect to db:5432
        see that the server runs

Not tried:
    app.db  waits for app.role.name

! x was made or changed, and NOT RECORDED.
The next apply does not know of it and will ask the provider to create it again: see first that \
             the state can be written.

No longer in the expression; still running, and left alone: gone
`nixops4-resources gc` removes it.

Failed after 1 min 12 s: 2 created, 1 failed, 1 not tried, 7 unchanged.
What was done is recorded. Put right what failed, and apply again: it goes on from there.
"
        );
    }

    #[test]
    fn the_same_reason_is_told_once() {
        let failure = |number: usize| Failure {
            path: path(&format!("r{number}")),
            operation: Operation::Plan,
            error: if number == 1 { "odd" } else { "down" }.to_owned(),
        };
        let end = Summary {
            failed: (0..20).map(failure).collect(),
            ..Summary::default()
        };
        assert_eq!(
            summary(&end, PLAIN),
            "
Failed:
  ! r0, r2, r3, r4, r5, r6, r7, r8 and 11 more
      down
  ! r1
      odd

Failed after 0.0 s: 20 failed.
Put right what failed, and run it again.
"
        );
    }

    #[test]
    fn success_is_one_line() {
        let end = Summary {
            success: true,
            created: 1,
            updated: 2,
            ensured: 3,
            unchanged: 4,
            seconds: 1.25,
            ..Summary::default()
        };
        assert_eq!(
            summary(&end, PLAIN),
            "\nDone in 1.2 s: 1 created, 2 updated, 3 made sure of, 4 unchanged.\n"
        );
    }

    #[test]
    fn nothing_done_needs_no_summary() {
        let end = Summary {
            success: true,
            unchanged: 4,
            ..Summary::default()
        };
        assert_eq!(summary(&end, PLAIN), "");
    }
}
