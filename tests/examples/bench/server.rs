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

/// Grants are on this many tables: an access list of thousands is nobody's.
const TABLES: usize = 50;

const MARK: &str = "nixops4-resources: owner=bench";

/// A kind: the inputs of one, what makes it in SQL, and what removes it.
struct Kind {
    name: &'static str,
    /// How many for a thousand members of the deployment.
    of_a_thousand: usize,
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

/// The table and the role of a grant.
fn pair(number: usize) -> (String, String) {
    let (table, role) = (number % TABLES, number / TABLES);
    (format!("bench_table{table}"), format!("bench_g{role}"))
}

fn grant(number: usize) -> String {
    let (table, role) = pair(number);
    format!("GRANT SELECT, INSERT ON {table} TO {role};")
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
        of_a_thousand: 1000,
        inputs: |number, _| json!({"name": format!("bench_r{number}")}),
        make: role,
        remove: |number| format!("DROP ROLE bench_r{number};"),
    },
    Kind {
        name: "postgresql_grant",
        of_a_thousand: 2000,
        inputs: |number, _| {
            let (table, role) = pair(number);
            json!({
                "database": SUPERUSER, "schema": "public", "objectType": "table",
                "objects": [table], "privileges": ["SELECT", "INSERT"], "role": role,
            })
        },
        make: grant,
        remove: |number| {
            let (table, role) = pair(number);
            format!("REVOKE ALL ON {table} FROM {role};")
        },
    },
    Kind {
        name: "postgresql_database",
        of_a_thousand: 100,
        inputs: |number, _| json!({"name": format!("bench_d{number}")}),
        make: database,
        remove: |number| format!("DROP DATABASE bench_d{number};"),
    },
    Kind {
        name: "postgresql_tenant",
        of_a_thousand: 100,
        inputs: |number, password| json!({"name": format!("bench_t{number}"), "password": password}),
        make: tenant,
        remove: |number| format!("DROP DATABASE bench_t{number}; DROP ROLE bench_t{number};"),
    },
];

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    let password = json!({"file": place.sandbox.write("tenant-password", "a tenant's")});
    let grants = 2 * settings.members;
    place.server.sql(&format!(
        "{} {}",
        all(TABLES, |number| format!(
            "CREATE TABLE bench_table{number} ();"
        )),
        all(grants.div_ceil(TABLES), |number| format!(
            "CREATE ROLE bench_g{number};"
        ))
    ));
    let mut section = Section::new(
        "many of each kind on one server, by one process".to_owned(),
        &["psql", "provider", "beside psql", "nothing to do"],
    );
    for kind in &KINDS {
        let many = (kind.of_a_thousand * settings.members).div_ceil(1000);
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
            format!("{many} {}", kind.name),
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
    place.server.sql(&fsync("off"));
    place.server.sql(&all(many, kind.remove));
    place.server.sql(&fsync("on"));
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
