//! A deployment of many roles: made by `apply`, and applied again with nothing to
//! do; beside the same statements by one `psql`, and beside Nix alone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nixops4_resources_tests::postgres::SUPERUSER;
use serde_json::{Value, json};

use crate::Settings;
use crate::place::{Place, succeed};
use crate::report::{Section, thousands};
use crate::sample::{self, Sample};

/// How much longer than the evaluation an apply with nothing to do may take, for
/// each member.
const MEMBER_GOAL: Duration = Duration::from_millis(1);
/// How many times as long as `psql` the making of roles may take.
const ROLES_GOAL: f64 = 1.5;

const STATE: &str = "apply.sqlite";

/// The folder of the expressions that are measured.
pub(crate) fn expressions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bench")
}

#[derive(Default)]
struct Samples {
    psql: Sample,
    evaluation: Sample,
    first: Sample,
    /// Of the first, what comes after the survey: the work itself.
    work: Sample,
    plan: Sample,
    again: Sample,
}

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    let password = place
        .sandbox
        .write("roles-password", "correct horse battery staple");
    let deployment = json!({
        "members": settings.members,
        "connection": place.connection(),
        "password": { "file": password },
        "state": place.file(STATE),
    });
    place
        .sandbox
        .write("deployment.json", deployment.to_string());
    let password = fs::read_to_string(place.server.superuser_password_file())
        .expect("cannot read the superuser's password");

    let mut samples = Samples::default();
    for _ in 0..settings.applies() {
        one_round(place, settings, password.trim_end(), &mut samples);
    }
    report(settings, &samples)
}

fn one_round(place: &Place, settings: &Settings, password: &str, samples: &mut Samples) {
    forget_state(place);
    let evaluate = || succeed(evaluation(place).arg(expressions().join("evaluation.nix")));
    samples.evaluation.time(evaluate);
    let first = samples.first.time(|| apply(place));
    assert_eq!(first["created"], settings.members, "{first}");
    let work = first["seconds"].as_f64().expect("the summary has its time");
    samples.work.add(Duration::from_secs_f64(work));

    let planned = samples
        .plan
        .time(|| succeed(command(place).args(["plan", "--json"])));
    let planned: Value = serde_json::from_str(&planned).expect("a plan in JSON");
    assert_eq!(
        planned["counts"]["unchanged"], settings.members,
        "{planned}"
    );
    samples.evaluation.time(evaluate);
    let again = samples.again.time(|| apply(place));
    assert_eq!(again["unchanged"], settings.members, "{again}");
    assert_eq!(again["created"], 0, "{again}");

    let statements = the_same_statements(place);
    drop_roles(place);
    samples.psql.time(|| {
        let made = place
            .server
            .psql_as(SUPERUSER, password, SUPERUSER, &statements);
        made.unwrap_or_else(|error| panic!("psql failed: {error}"))
    });
    assert_eq!(place.server.sql(COUNT), settings.members.to_string());
    drop_roles(place);
}

fn command(place: &Place) -> Command {
    let mut command = place.command("nixops4-resources");
    command
        .arg("--file")
        .arg(expressions().join("deployment.nix"))
        .env("BENCH_DEPLOYMENT", place.file("deployment.json"));
    command
}

fn evaluation(place: &Place) -> Command {
    let mut command = place.foreign("nix-instantiate");
    command
        .args(["--eval", "--strict", "--json"])
        .env("BENCH_DEPLOYMENT", place.file("deployment.json"));
    command
}

/// Gives the summary, which is the last line.
fn apply(place: &Place) -> Value {
    let events = succeed(command(place).args(["apply", "--json"]));
    let summary = events.lines().last().expect("an event");
    let summary: Value = serde_json::from_str(summary).expect("an event in JSON");
    assert_eq!(summary["event"], "summary", "{summary}");
    summary
}

fn forget_state(place: &Place) {
    for suffix in ["", "-wal", "-shm"] {
        let path = place.file(&format!("{STATE}{suffix}"));
        if path.exists() {
            fs::remove_file(path).expect("cannot remove the state");
        }
    }
}

const COUNT: &str = r"SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bench\_role\_%'";

/// What made the roles, verifiers and marks included: as many transactions, one
/// connection, and nothing looked at before or afterwards.
fn the_same_statements(place: &Place) -> String {
    place.server.sql(
        r"SELECT format('BEGIN; CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT '
                     || 'NOREPLICATION NOBYPASSRLS CONNECTION LIMIT %s PASSWORD %L; '
                     || 'COMMENT ON ROLE %I IS %L; COMMIT;',
                        rolname, rolconnlimit, rolpassword, rolname,
                        shobj_description(oid, 'pg_authid'))
          FROM pg_authid WHERE rolname LIKE 'bench\_role\_%' ORDER BY oid",
    )
}

fn drop_roles(place: &Place) {
    let names = place
        .server
        .sql(r"SELECT quote_ident(rolname) FROM pg_roles WHERE rolname LIKE 'bench\_role\_%'");
    let mut statements = String::from("BEGIN;\n");
    for name in names.lines() {
        writeln!(statements, "DROP ROLE {name};").expect("a string takes everything");
    }
    place
        .server
        .sql(&(statements + "COMMIT; CHECKPOINT; VACUUM pg_authid, pg_shdescription"));
}

fn report(settings: &Settings, samples: &Samples) -> String {
    let members = u32::try_from(settings.members).expect("not that many members");
    let count = thousands(settings.members);
    let mut section = Section::new(
        format!("A deployment of {count} roles with passwords, and its state in SQLite"),
        &["time", "beside its baseline"],
    );
    let (psql, evaluation) = (samples.psql.median(), samples.evaluation.median());
    let times_psql = |sample: &Sample| sample.median().as_secs_f64() / psql.as_secs_f64();
    let each = |sample: &Sample| sample.median().saturating_sub(evaluation) / members;
    section.row([
        "psql: the same statements, one connection".to_owned(),
        samples.psql.show(),
        String::new(),
    ]);
    for (name, sample) in [
        ("apply: the first, as a whole", &samples.first),
        (
            "apply: of the first, the work after the survey",
            &samples.work,
        ),
    ] {
        let beside = format!("{:.1} times psql", times_psql(sample));
        section.row([name.to_owned(), sample.show(), beside]);
    }
    section.row([
        "nix-instantiate: evaluation of all inputs".to_owned(),
        samples.evaluation.show(),
        String::new(),
    ]);
    for (name, sample) in [
        ("plan: nothing to do", &samples.plan),
        ("apply: nothing to do", &samples.again),
    ] {
        let beside = format!("evaluation + {} a member", sample::show(each(sample)));
        section.row([name.to_owned(), sample.show(), beside]);
    }
    let slow = |is_slow: bool, what: String| if is_slow { vec![what] } else { Vec::new() };
    let work = times_psql(&samples.work);
    section.goal(
        "the roles are made in at most 1.5 times the time of psql",
        &slow(work > ROLES_GOAL, format!("the work ({work:.1} times)")),
    );
    let again = each(&samples.again);
    section.goal(
        "nothing to do takes the evaluation and at most 1 ms a member",
        &slow(
            again > MEMBER_GOAL,
            format!("apply ({})", sample::show(again)),
        ),
    );
    section
        .note("a password is compared by 4,096 rounds of HMAC-SHA-256 with the server's verifier");
    section.note("the server itself does as many for each role that psql or apply makes");
    section.show()
}
