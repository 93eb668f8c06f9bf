//! One create: a process for it alone, as upstream starts one for each.

use std::process::Command;
use std::time::{Duration, Instant};

use nixops4_resources_tests::messages::{Object, create, object};
use nixops4_resources_tests::postgres::SUPERUSER;
use serde_json::{Value, json};

use crate::Settings;
use crate::place::{Place, succeed};
use crate::report::Section;
use crate::sample::{self, Sample};
use crate::start::Subject;

/// How much longer than a bare start a provider may take.
const TIME_GOAL: Duration = Duration::from_millis(5);
/// How much memory a provider may have, in KiB.
const MEMORY_GOAL: u64 = 15 << 10;
/// The memory of each is looked at so often, and for so long: a short process
/// ends between two looks, so the most that was seen counts.
const MEMORY_RUNS: usize = 10;
const MEMORY_TIME: Duration = Duration::from_millis(500);

const OWNER: &str = "bench";

/// A thing that is there already when it is measured.
struct Thing {
    name: &'static str,
    kind: &'static str,
    provider: &'static str,
    inputs: Object,
}

impl Thing {
    fn new(name: &'static str, kind: &'static str, provider: &'static str, inputs: Value) -> Self {
        Self {
            name,
            kind,
            provider,
            inputs: object(inputs),
        }
    }

    fn call(&self, place: &Place) -> Command {
        let mut command = place.command("nixops4-resources");
        command
            .args(["call", "create", self.kind, "--inputs"])
            .arg(json!(self.inputs).to_string());
        command
    }
}

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    let things = things(place);
    for thing in &things {
        succeed(&mut thing.call(place));
    }
    let subjects = subjects(place, &things);
    let mut samples: Vec<Sample> = subjects.iter().map(|_| Sample::default()).collect();
    for _ in 0..settings.runs {
        for (subject, sample) in subjects.iter().zip(&mut samples) {
            sample.add(subject.run());
        }
    }
    report(&subjects, &samples)
}

fn things(place: &Place) -> [Thing; 4] {
    let password = place
        .sandbox
        .write("role-password", "correct horse battery staple");
    let role = |name| json!({ "owner": OWNER, "name": name, "connection": place.connection() });
    let mut role_with_password = role("bench_password");
    role_with_password["password"] = json!({ "file": password });
    [
        Thing::new(
            "state_sqlite",
            "state_sqlite",
            "nixops4-resources-state",
            json!({ "deployment": OWNER, "path": place.file("create.sqlite") }),
        ),
        Thing::new(
            "secrets_password",
            "secrets_password",
            "nixops4-resources-secrets",
            json!({ "owner": OWNER, "name": "bench" }),
        ),
        Thing::new(
            "postgresql_role",
            "postgresql_role",
            "nixops4-resources-postgresql",
            role("bench"),
        ),
        Thing::new(
            "postgresql_role with a password",
            "postgresql_role",
            "nixops4-resources-postgresql",
            role_with_password,
        ),
    ]
}

/// The baselines first.
fn subjects<'a>(place: &'a Place, things: &'a [Thing]) -> Vec<Subject<'a>> {
    let mut subjects = vec![
        Subject::program("/bin/true", "", || place.foreign("/bin/true")),
        Subject::program("psql logs in", "1", || log_in(place)),
        Subject::provider("provider: an error, at once", "errorResponse", "{}", || {
            place.command("nixops4-resources-postgresql")
        }),
    ];
    for thing in things {
        subjects.push(Subject::provider(
            format!("provider: {}", thing.name),
            "createResourceResponse",
            create(thing.kind, &thing.inputs, true).to_string(),
            || place.command(thing.provider),
        ));
    }
    for thing in things {
        subjects.push(Subject::program(
            format!("call: {}", thing.name),
            "{",
            || thing.call(place),
        ));
    }
    subjects
}

/// What everybody pays who logs in with a password.
fn log_in(place: &Place) -> Command {
    let server = &place.server;
    let password = std::fs::read_to_string(server.superuser_password_file())
        .expect("cannot read the superuser's password");
    let file = place
        .sandbox
        .write("pgpass", format!("*:*:*:*:{}\n", password.trim_end()));
    let mut psql = place.foreign(server.programs().join("psql"));
    psql.args(["-XAtq", "-c", "SELECT 1"])
        .env("PGHOST", server.host())
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", SUPERUSER)
        .env("PGDATABASE", SUPERUSER)
        .env("PGPASSFILE", file);
    psql
}

fn report(subjects: &[Subject<'_>], samples: &[Sample]) -> String {
    let mut section = Section::new(
        "One create of what is there already, by a process of its own, from its start to its end",
        &["time", "over /bin/true", "peak memory"],
    );
    let bare = samples[0].median();
    let (mut slow, mut large) = (Vec::new(), Vec::new());
    for (position, (subject, sample)) in subjects.iter().zip(samples).enumerate() {
        let over = sample.median().saturating_sub(bare);
        let memory = peak_memory(subject);
        section.row([
            subject.name.clone(),
            sample.show(),
            if position == 0 {
                String::new()
            } else {
                sample::show(over)
            },
            memory.map_or_else(|| "unknown".to_owned(), mebibytes),
        ]);
        let Some(name) = subject.name.strip_prefix("provider: ") else {
            continue;
        };
        if over > TIME_GOAL {
            slow.push(format!("{name} ({})", sample::show(over)));
        }
        if let Some(memory) = memory.filter(|memory| *memory >= MEMORY_GOAL) {
            large.push(format!("{name} ({})", mebibytes(memory)));
        }
    }
    section.goal("a provider takes at most 5 ms more than /bin/true", &slow);
    section.goal("a provider has less than 15 MiB", &large);
    section.note("postgresql_role logs in to the server, as psql does");
    section.note("memory is that of the process itself, without the provider that `call` starts");
    section.show()
}

fn peak_memory(subject: &Subject<'_>) -> Option<u64> {
    let begun = Instant::now();
    let mut peak = None;
    let mut runs = 0;
    while runs < MEMORY_RUNS || begun.elapsed() < MEMORY_TIME {
        peak = peak.max(subject.peak_memory());
        runs += 1;
    }
    peak
}

#[expect(clippy::cast_precision_loss, reason = "some thousand")]
fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MiB", kibibytes as f64 / 1024.0)
}
