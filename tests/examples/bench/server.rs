//! What a server is asked for: some of each kind, by one provider process, made
//! and asked for again; beside one `psql` that is told the same.

use std::fmt::Write as _;
use std::fs;

use nixops4_resources_tests::messages::{self, object};
use nixops4_resources_tests::postgres::SUPERUSER;
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use crate::Settings;
use crate::place::Place;
use crate::report::Section;
use crate::sample::Sample;

/// How many there are of each kind, unless a run is shorter.
const EACH: usize = 64;

const MARK: &str = "nixops4-resources: owner=bench";

/// A kind: the inputs of one, what makes it in SQL, and what removes it.
struct Kind {
    name: &'static str,
    inputs: fn(usize, &Value) -> Value,
    make: fn(usize) -> String,
    remove: fn(usize) -> String,
}

fn role(number: usize) -> String {
    format!(
        "BEGIN; CREATE ROLE bench_r{number} LOGIN; COMMENT ON ROLE bench_r{number} IS '{MARK}'; COMMIT;"
    )
}

fn database(number: usize) -> String {
    format!("CREATE DATABASE bench_d{number}; COMMENT ON DATABASE bench_d{number} IS '{MARK}';")
}

fn grant(number: usize) -> String {
    format!("GRANT SELECT, INSERT ON bench_table TO bench_g{number};")
}

/// Its role's password is set as everybody does, in clear: the server hashes it.
fn tenant(number: usize) -> String {
    let name = format!("bench_t{number}");
    format!(
        "BEGIN; CREATE ROLE {name} LOGIN PASSWORD 'a tenant''s'; COMMENT ON ROLE {name} IS '{MARK}';
         COMMIT; CREATE DATABASE {name} OWNER {name}; COMMENT ON DATABASE {name} IS '{MARK}';
         REVOKE ALL ON DATABASE {name} FROM PUBLIC;"
    )
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "postgresql_role",
        inputs: |number, _| json!({"name": format!("bench_r{number}")}),
        make: role,
        remove: |number| format!("DROP ROLE bench_r{number};"),
    },
    Kind {
        name: "postgresql_grant",
        inputs: |number, _| {
            json!({
                "database": SUPERUSER, "schema": "public", "objectType": "table",
                "objects": ["bench_table"], "privileges": ["SELECT", "INSERT"],
                "role": format!("bench_g{number}"),
            })
        },
        make: grant,
        remove: |number| format!("REVOKE ALL ON bench_table FROM bench_g{number};"),
    },
    Kind {
        name: "postgresql_database",
        inputs: |number, _| json!({"name": format!("bench_d{number}")}),
        make: database,
        remove: |number| format!("DROP DATABASE bench_d{number};"),
    },
    Kind {
        name: "postgresql_tenant",
        inputs: |number, password| json!({"name": format!("bench_t{number}"), "password": password}),
        make: tenant,
        remove: |number| format!("DROP DATABASE bench_t{number}; DROP ROLE bench_t{number};"),
    },
];

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    let many = EACH.min(settings.members);
    let password = json!({"file": place.sandbox.write("tenant-password", "a tenant's")});
    place.server.psql(&format!(
        "CREATE TABLE bench_table (); {}",
        all(many, |number| format!("CREATE ROLE bench_g{number};"))
    ));
    let mut section = Section::new(
        format!("{many} of each kind on one server, by one process"),
        &["psql", "provider", "beside psql", "nothing to do"],
    );
    for kind in &KINDS {
        let [mut psql, mut first, mut again] = [(); 3].map(|()| Sample::default());
        // The databases take long.
        for _ in 0..settings.applies().min(2) {
            let requests: Vec<_> = (0..many)
                .map(|number| request(place, kind, number, &password))
                .collect();
            first.time(|| ask_all(place, &requests));
            again.time(|| ask_all(place, &requests));
            remove(place, kind, many);
            psql.time(|| log_in_and_run(place, &all(many, kind.make)));
            remove(place, kind, many);
        }
        let times = first.median().as_secs_f64() / psql.median().as_secs_f64();
        section.row([
            kind.name.to_owned(),
            psql.show(),
            first.show(),
            format!("{times:.2} times"),
            again.show(),
        ]);
    }
    section.note("the provider also looks before and afterwards, and locks out others like it");
    section.show()
}

/// Isn't measured, so it need not last: each DROP DATABASE waits for a checkpoint,
/// which syncs every file of all the others.
fn remove(place: &Place, kind: &Kind, many: usize) {
    let fsync = |state| format!("ALTER SYSTEM SET fsync = {state}; SELECT pg_reload_conf();");
    place.server.psql(&fsync("off"));
    place.server.psql(&all(many, kind.remove));
    place.server.psql(&fsync("on"));
}

fn all(many: usize, statement: impl Fn(usize) -> String) -> String {
    (0..many).fold(String::new(), |mut all, number| {
        writeln!(all, "{}", statement(number)).expect("a string takes everything");
        all
    })
}

fn request(place: &Place, kind: &Kind, number: usize, password: &Value) -> Value {
    let mut inputs = object(json!({"owner": "bench", "connection": place.connection()}));
    inputs.extend(object((kind.inputs)(number, password)));
    messages::create(kind.name, &inputs, true)
}

fn ask_all(place: &Place, requests: &[Value]) {
    let mut provider = Provider::spawn(place.command("nixops4-resources-postgresql"));
    for request in requests {
        let line = provider.request(request.to_string());
        messages::answer(request, &line).unwrap_or_else(|error| panic!("{error}"));
    }
    let _ended = provider.finish();
}

fn log_in_and_run(place: &Place, statements: &str) {
    let password = fs::read_to_string(place.server.superuser_password_file())
        .expect("cannot read the superuser's password");
    let ran = place
        .server
        .psql_as(SUPERUSER, password.trim_end(), SUPERUSER, statements);
    ran.unwrap_or_else(|error| panic!("psql failed: {error}"));
}
