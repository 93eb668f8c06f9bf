//! The table in the end: each part with its tests and how long they took.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::built::Target;
use crate::run::Outcome;

/// What a part came to.
#[derive(Default)]
struct Sum {
    tests: usize,
    time: Duration,
    work: Duration,
    failed: bool,
}

/// The table. What `scripts/test.sh` did comes first, in its order.
pub(crate) fn show(steps: &[Step], done: &[(&Target, Outcome)]) -> String {
    let mut parts: BTreeMap<&str, Sum> = BTreeMap::new();
    for (target, outcome) in done {
        let sum = parts.entry(&target.part).or_default();
        sum.tests += outcome.tests;
        sum.time += outcome.time;
        sum.work += outcome.work;
        sum.failed |= !outcome.is_well();
    }
    let mut text = format!(
        "\n{:<22} {:>7} {:>9} {:>11}\n",
        "part", "tests", "seconds", "processor"
    );
    let mut row = |name: &str, tests: &str, time: Duration, work: &str, failed: bool| {
        let failed = if failed { "  FAILED" } else { "" };
        let time = time.as_secs_f64();
        writeln!(text, "{name:<22} {tests:>7} {time:>9.1} {work:>11}{failed}")
            .expect("writing to a string");
    };
    let mut all = Sum::default();
    for step in steps {
        row(&step.name, "", step.time, "", step.failed);
        all.time += step.time;
    }
    for (part, sum) in &parts {
        let (tests, work) = (sum.tests.to_string(), seconds(sum.work));
        row(part, &tests, sum.time, &work, sum.failed);
        all.tests += sum.tests;
        all.time += sum.time;
    }
    row("all", &all.tests.to_string(), all.time, "", false);
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// Something that `scripts/test.sh` did before the tests.
pub(crate) struct Step {
    pub(crate) name: String,
    time: Duration,
    pub(crate) failed: bool,
}

impl Step {
    /// Reads `NAME=SECONDS=STATUS`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('=');
        let (name, seconds, status) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self {
            name: name.to_owned(),
            time: Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?,
            failed: status != "0",
        })
    }
}
