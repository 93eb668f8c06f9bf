//! Runs every test executable that cargo has built: the quickest first, and on after
//! one that fails. In the end it says how long each part took, and what failed.
//!
//!     suite MESSAGES [--fast] [STEP=SECONDS=STATUS...]
//!
//! `MESSAGES` is the file with what `cargo test --no-run --message-format json` said.
//! Each `STEP` is something that `scripts/test.sh` did before, for the table. `--fast`
//! leaves out what takes long, or needs another server than PostgreSQL.
//!
//! This must not know what a test does.

mod built;
mod fast;
mod run;
mod table;
mod times;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use table::Step;
use times::Times;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().expect("the file with cargo's messages"));
    let (options, steps): (Vec<_>, Vec<_>) = arguments.partition(|one| one.starts_with('-'));
    let is_fast = options.iter().any(|option| option == "--fast");
    let step = |text: &String| Step::parse(text).expect("STEP=SECONDS=STATUS");
    let steps: Vec<_> = steps.iter().map(step).collect();

    let messages = built::messages(&file);
    let programs = file.with_file_name("bin");
    built::link_programs(&messages, &programs);
    let mut targets = built::targets(&messages);
    if is_fast {
        targets.retain(fast::is_fast);
    }
    let mut times = Times::read(&file);
    targets.sort_by_key(|target| times.rank(target));
    let arguments = if is_fast {
        fast::arguments()
    } else {
        Vec::new()
    };
    let mut done = Vec::new();
    for target in &targets {
        say(&format!("{:<44}", target.to_string()));
        let outcome = run::run(target, &arguments, &programs);
        say(&format!("{}\n", outcome.summary()));
        if !outcome.is_well() {
            say(&outcome.said);
        }
        if !is_fast {
            times.remember(target, outcome.time);
        }
        done.push((target, outcome));
    }
    times.write();

    say(&table::show(&steps, &done));
    let mut code = ExitCode::SUCCESS;
    for step in steps.iter().filter(|step| step.failed) {
        code = ExitCode::FAILURE;
        say(&format!("failed: {}\n", step.name));
    }
    for (target, outcome) in done.iter().filter(|(_, outcome)| !outcome.is_well()) {
        code = ExitCode::FAILURE;
        say(&format!("failed: {target}: {}\n", outcome.names()));
    }
    code
}

fn say(text: &str) {
    let mut stdout = io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .expect("cannot write to stdout");
}
