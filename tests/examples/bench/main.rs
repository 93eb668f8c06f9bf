//! What `make bench` measures. Each figure stands beside a baseline of the same
//! run, because machines differ; none is asserted, because they are shared.
//!
//! `scripts/bench.sh` builds the executables as users have them and names their
//! folder in `BENCH_BIN`: those of the tests carry failpoints. `BENCH_RUNS`,
//! `BENCH_MEMBERS` and `BENCH_ONLY` make a run shorter.

mod apply;
mod create;
mod garage;
mod machine;
mod modules;
mod place;
mod report;
mod sample;
mod scale;
mod secrets;
mod server;
mod start;
mod state;

use std::io::{self, Write as _};

use place::Place;

/// What the environment asks for.
pub(crate) struct Settings {
    /// How often each short thing is measured; a whole apply less often.
    pub(crate) runs: usize,
    /// How many roles the deployment has.
    pub(crate) members: usize,
}

impl Settings {
    fn from_environment() -> Self {
        Self {
            runs: number("BENCH_RUNS", 100),
            members: number("BENCH_MEMBERS", 1000),
        }
    }

    /// How often an apply of the whole deployment is measured.
    pub(crate) fn applies(&self) -> usize {
        self.runs.div_ceil(20)
    }
}

/// A part of the report.
type Part = fn(&Place, &Settings) -> String;

const PARTS: [(&str, Part); 8] = [
    ("create", create::section),
    ("apply", apply::section),
    ("scale", scale::section),
    ("modules", modules::section),
    ("server", server::section),
    ("state", state::section),
    ("secrets", secrets::section),
    ("garage", garage::section),
];

fn main() {
    let settings = Settings::from_environment();
    let parts = parts();
    let place = Place::new();
    say(&machine::heading(&place, &settings));
    for part in parts {
        say(&part(&place, &settings));
    }
    say(&format!("load at the end: {}\n", machine::load()));
}

/// All of them, or the one that `BENCH_ONLY` names.
fn parts() -> Vec<Part> {
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = PARTS
        .iter()
        .filter(|(name, _)| only.is_empty() || *name == only);
    let parts: Vec<_> = wanted.map(|(_, part)| *part).collect();
    let names = PARTS.map(|(name, _)| name).join(", ");
    assert!(!parts.is_empty(), "BENCH_ONLY has to be one of {names}");
    parts
}

/// Prints a part when it is there: the next one takes a while.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .expect("cannot write to stdout");
}

fn number(variable: &str, default: usize) -> usize {
    let Some(text) = std::env::var_os(variable) else {
        return default;
    };
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|number| *number > 0)
        .unwrap_or_else(|| panic!("{variable} has to be a whole number, 1 or more"))
}
