//! Many processes at once on one server, each with a life of its own for what it
//! manages: at the end the catalog has to say what a model says, entry by entry.
//!
//! `NIXOPS4_TESTS_SEED` repeats a run, and `NIXOPS4_TESTS_LOAD` makes it larger.

mod catalog;
mod life;
mod town;
mod work;

use nixops4_resources_tests::postgres::{version, versions};
use nixops4_resources_tests::seed::Seed;

use town::Town;
use work::Work;

/// How many processes there are at once, unless the environment says.
const PROCESSES: u32 = 64;

fn processes() -> u32 {
    let Ok(text) = std::env::var("NIXOPS4_TESTS_LOAD") else {
        return PROCESSES;
    };
    text.parse().expect("NIXOPS4_TESTS_LOAD is a number")
}

/// The versions that are there, or the one that is asked for.
fn wanted() -> Vec<u32> {
    version().map_or_else(versions, |one| vec![one])
}

/// All of them queue on one machine.
#[test]
fn nothing_fails_and_nothing_is_lost() {
    let seed = Seed::new();
    for version in wanted() {
        let town = Town::new(version, false);
        let work = Work::new(&town, &seed, processes(), 1);
        work.until_done(|| ());
        assert_eq!(work.failures(), Vec::<String>::new());
        work.is_as_in(&town);
    }
}

/// From two machines, which know nothing of each other's queues, and by an
/// administrator who is no superuser; against the newest version alone, because
/// it takes its time.
#[test]
fn a_server_that_crashes_twice_ends_as_the_model() {
    let seed = Seed::new();
    let newest = wanted().into_iter().max().expect("there is one");
    let mut town = Town::new(newest, true);
    let work = Work::new(&town, &seed, processes(), 2);
    let mut crashes = [1, 2].into_iter().map(|part| work.len() * part / 3);
    let mut next = crashes.next();
    work.until_done(|| {
        if next.is_some_and(|next| work.done() >= next) {
            town.server.restart_immediate();
            next = crashes.next();
        }
    });
    assert_eq!(next, None, "it never crashed");
    for failure in work.failures() {
        assert!(work::is_about_the_crash(&failure), "{failure}");
    }
    // What was given up is done again, and now nothing stands in the way.
    work.forgive();
    work.until_done(|| ());
    assert_eq!(work.failures(), Vec::<String>::new());
    work.is_as_in(&town);
}
