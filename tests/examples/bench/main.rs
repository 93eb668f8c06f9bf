//! What `make bench` measures. Each figure stands beside a baseline of the same
//! run, because machines differ; none is asserted, because they are shared.
//!
//! `scripts/bench.sh` builds the executables as users have them and names their
//! folder in `BENCH_BIN`: those of the tests carry failpoints. `BENCH_RUNS` and
//! `BENCH_MEMBERS` make a run shorter.

mod apply;
mod create;
mod garage;
mod machine;
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

fn main() {
    let settings = Settings::from_environment();
    let place = Place::new();
    say(&machine::heading(&place, &settings));
    say(&create::section(&place, &settings));
    say(&apply::section(&place, &settings));
    say(&scale::section(&place, &settings));
    say(&server::section(&place, &settings));
    say(&state::section(&place, &settings));
    say(&secrets::section(&place, &settings));
    say(&garage::section(&place, &settings));
    say(&format!("load at the end: {}\n", machine::load()));
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
