//! The kinds `postgresql_grant` and `postgresql_default_privileges`, spoken to
//! over stdio, against a real server of each version.

use std::os::unix::process::ExitStatusExt as _;
use std::thread;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::Provider;
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

const GRANT: &str = "postgresql_grant";
const DEFAULTS: &str = "postgresql_default_privileges";

/// Names that break whoever quotes by hand.
const HOSTILE: [&str; 8] = [
    r#"a"b"#,
    "it's",
    r#"x"; DROP ROLE postgres; --"#,
    "$$select$$",
    "line\nbreak",
    r"back\slash",
    "Ünïcödé 名前",
    "select",
];

fn start() -> Server {
    Server::start(&Config::default())
}

/// A server with a database `app`, in which `admin` may do everything that an
/// administrator without superuser can.
struct Place {
    server: Server,
    sandbox: Sandbox,
    restricted: bool,
}

impl Place {
    fn new() -> Self {
        let server = start();
        server.sql("create database app");
        Self {
            server,
            sandbox: Sandbox::new(),
            restricted: false,
        }
    }

    /// As an administrator with CREATEROLE and CREATEDB alone, who made the
    /// roles and owns nothing in the database.
    fn restricted() -> Self {
        let server = start();
        server.sql("create role admin login createrole createdb password 'secret'");
        server.sql("set role admin; create role maker; create role app_owner; create role reader");
        server.sql("create database app owner app_owner");
        Self {
            server,
            sandbox: Sandbox::new(),
            restricted: true,
        }
    }

    fn sql(&self, statements: &str) -> String {
        self.server.sql_in("app", statements)
    }

    fn connection(&self) -> Value {
        let (user, file) = if self.restricted {
            ("admin", self.sandbox.write("admin-password", "secret"))
        } else {
            ("postgres", self.server.superuser_password_file())
        };
        json!({
            "host": self.server.host(), "port": self.server.port(), "user": user,
            "password": {"file": file},
        })
    }

    /// Inputs with a connection, an owner and the database `app`.
    fn inputs(&self, more: Value) -> Object {
        let mut inputs = object(json!({
            "connection": self.connection(), "owner": "tests", "database": "app",
        }));
        inputs.extend(object(more));
        inputs
    }

    fn ask(&self, request: &Value) -> Result<Value, String> {
        let command = self
            .sandbox
            .command(binaries::path("nixops4-resources-postgresql"));
        let mut provider = Provider::spawn(command);
        let line = provider.request(request.to_string());
        let _ended = provider.finish();
        messages::answer(request, &line)
    }

    fn create(&self, kind: &str, inputs: &Object) -> Result<Object, String> {
        let answer = self.ask(&messages::create(kind, inputs, true))?;
        Ok(object(answer["outputProperties"].clone()))
    }

    /// Creates, and expects that a second plan finds nothing to do.
    fn ensure(&self, kind: &str, inputs: &Object) -> Object {
        let outputs = self
            .create(kind, inputs)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(self.plan(kind, inputs), ("none".to_owned(), vec![]));
        outputs
    }

    fn update(
        &self,
        kind: &str,
        (before, outputs): (&Object, &Object),
        inputs: &Object,
    ) -> Result<Object, String> {
        let resource = messages::resource(kind, before, Some(outputs));
        let answer = self.ask(&messages::update(&resource, inputs))?;
        Ok(object(answer["outputProperties"].clone()))
    }

    fn destroy(&self, kind: &str, inputs: &Object, outputs: &Object) -> Result<Value, String> {
        self.ask(&messages::destroy(&messages::resource(
            kind,
            inputs,
            Some(outputs),
        )))
    }

    /// The action, and the paths of the changes.
    fn plan(&self, kind: &str, inputs: &Object) -> (String, Vec<String>) {
        let answer = self
            .ask(&messages::plan(kind, inputs, &[], None))
            .expect("a plan");
        paths(&answer)
    }

    /// What `role` has by the catalog on a table, as in an access list.
    fn on_table(&self, table: &str, role: &str) -> String {
        self.sql(&format!(
            "select coalesce(string_agg(privilege_type || case when is_grantable then '*' else '' end
                 || case when grantor = relowner then '' else '/' || grantor::regrole end, ' '
                 order by privilege_type, grantor::regrole::text), '')
             from pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) a
             where oid = '{table}'::regclass
               and a.grantee = {}",
            if role == "public" { "0".to_owned() } else { format!("'{role}'::regrole") }
        ))
    }
}

fn paths(plan: &Value) -> (String, Vec<String>) {
    let changes = plan["changes"].as_array().expect("changes");
    let paths = changes
        .iter()
        .map(|change| change["path"].as_str().expect("a path").to_owned());
    (
        plan["action"].as_str().expect("an action").to_owned(),
        paths.collect(),
    )
}

fn with(inputs: &Object, more: Value) -> Object {
    let mut inputs = inputs.clone();
    inputs.extend(object(more));
    inputs
}

fn table(privileges: &[&str]) -> Value {
    json!({
        "role": "reader", "objectType": "table", "schema": "public", "objects": ["t"],
        "privileges": privileges,
    })
}

#[test]
fn authoritative_is_exact_and_knows_grantors() {
    let place = Place::new();
    place.sql("create role reader; create role other; create table t (a int, b int)");
    let inputs = place.inputs(table(&["SELECT", "INSERT"]));
    assert_eq!(place.plan(GRANT, &inputs).0, "create");
    let outputs = place.ensure(GRANT, &inputs);
    assert_eq!(outputs["privileges"], json!(["SELECT", "INSERT"]));
    assert_eq!(outputs["database"], "app");
    assert_eq!(place.on_table("t", "reader"), "INSERT SELECT");

    // Drift of each sort is seen and repaired, another grantor's included.
    place.sql(
        "grant select, update on t to other with grant option;
         set role other; grant select, update on t to reader; reset role;
         revoke insert on t from reader; grant delete on t to reader;
         grant select on t to reader with grant option; grant trigger on t to public",
    );
    assert_eq!(
        place.on_table("t", "reader"),
        "DELETE SELECT/other SELECT* UPDATE/other"
    );
    let plan = place
        .ask(&messages::plan(GRANT, &inputs, &[], None))
        .expect("a plan");
    assert_eq!(
        paths(&plan),
        ("update".to_owned(), vec!["/privileges".to_owned()])
    );
    assert_eq!(
        plan["changes"][0]["before"]["known"][r#"table "public"."t""#],
        json!([
            "DELETE",
            r#"SELECT GRANTED BY "other""#,
            "SELECT WITH GRANT OPTION",
            r#"UPDATE GRANTED BY "other""#
        ]),
        "{plan}"
    );
    place.ensure(GRANT, &inputs);
    assert_eq!(place.on_table("t", "reader"), "INSERT SELECT/other SELECT");
    assert_eq!(place.on_table("t", "other"), "SELECT* UPDATE*");
    assert_eq!(place.on_table("t", "public"), "TRIGGER");

    // The grant option comes and goes.
    let passing = with(&inputs, json!({"grantOption": true}));
    assert_eq!(place.plan(GRANT, &passing).1, ["/grantOption"]);
    place.ensure(GRANT, &passing);
    assert_eq!(
        place.on_table("t", "reader"),
        "INSERT* SELECT/other SELECT*"
    );
    place.ensure(GRANT, &inputs);
    assert_eq!(place.on_table("t", "reader"), "INSERT SELECT/other SELECT");

    // Shrinking revokes, without any state.
    let fewer = with(&inputs, json!({"privileges": ["INSERT"]}));
    place.ensure(GRANT, &fewer);
    assert_eq!(place.on_table("t", "reader"), "INSERT");
    let none = with(&inputs, json!({"privileges": []}));
    place.ensure(GRANT, &none);
    assert_eq!(place.on_table("t", "reader"), "");

    let outputs = place.ensure(GRANT, &inputs);
    place.destroy(GRANT, &inputs, &outputs).expect("destroyed");
    place
        .destroy(GRANT, &inputs, &outputs)
        .expect("destroyed twice");
    assert_eq!(place.on_table("t", "reader"), "");
    assert_eq!(place.on_table("t", "other"), "SELECT* UPDATE*");
}

#[test]
fn all_is_what_the_server_has() {
    let place = Place::new();
    place.sql("create role reader; create table t (a int)");
    let inputs = place.inputs(table(&["ALL"]));
    let outputs = place.ensure(GRANT, &inputs);
    let since_17 = place.server.version() >= 17;
    assert_eq!(
        outputs["privileges"].as_array().map(Vec::len),
        Some(if since_17 { 8 } else { 7 })
    );
    place.sql("revoke trigger on t from reader");
    assert_eq!(place.plan(GRANT, &inputs).0, "update");
    place.ensure(GRANT, &inputs);

    let maintain = place.inputs(table(&["MAINTAIN"]));
    match place.create(GRANT, &maintain) {
        Ok(_) => assert_eq!(
            (place.on_table("t", "reader").as_str(), since_17),
            ("MAINTAIN", true)
        ),
        Err(error) => {
            assert!(!since_17, "{error}");
            assert!(
                error.starts_with("/privileges:") && error.contains("MAINTAIN"),
                "{error}"
            );
        }
    }
}

#[test]
fn additive_touches_nothing_else_and_shrinks_by_its_record() {
    let place = Place::new();
    place.sql("create role reader; create table t (a int); grant delete on t to reader");
    let wide = place.inputs(
        with(
            &object(table(&["SELECT", "INSERT"])),
            json!({"mode": "additive"}),
        )
        .into(),
    );
    let outputs = place.ensure(GRANT, &wide);
    assert_eq!(place.on_table("t", "reader"), "DELETE INSERT SELECT");
    let narrow = with(&wide, json!({"privileges": ["SELECT"]}));
    let resource = messages::resource(GRANT, &wide, Some(&outputs));
    let plan = place
        .ask(&messages::plan(GRANT, &narrow, &[], Some(&resource)))
        .expect("a plan");
    assert_eq!(
        paths(&plan),
        ("update".to_owned(), vec!["/privileges".to_owned()])
    );
    let outputs = place
        .update(GRANT, (&wide, &outputs), &narrow)
        .expect("updated");
    assert_eq!(place.on_table("t", "reader"), "DELETE SELECT");
    place.destroy(GRANT, &narrow, &outputs).expect("destroyed");
    assert_eq!(place.on_table("t", "reader"), "DELETE");
    // What is still there by other means is no reason to fail.
    place
        .destroy(GRANT, &narrow, &outputs)
        .expect("destroyed twice");
}

#[test]
fn a_change_of_role_or_objects_takes_back_what_was_declared() {
    let place = Place::new();
    place.sql("create role reader; create role writer; create table t (); create table u ()");
    let first = place.inputs(table(&["SELECT"]));
    let outputs = place.ensure(GRANT, &first);
    let other = with(&first, json!({"objects": ["u"]}));
    let outputs = place
        .update(GRANT, (&first, &outputs), &other)
        .expect("updated");
    assert_eq!(
        (place.on_table("t", "reader"), place.on_table("u", "reader")),
        (String::new(), "SELECT".to_owned())
    );
    let writer = with(&other, json!({"role": "writer"}));
    let resource = messages::resource(GRANT, &other, Some(&outputs));
    let plan = place
        .ask(&messages::plan(GRANT, &writer, &[], Some(&resource)))
        .expect("a plan");
    assert_eq!(paths(&plan).1, ["/role", "/privileges"]);
    let outputs = place
        .update(GRANT, (&other, &outputs), &writer)
        .expect("updated");
    assert_eq!(
        (place.on_table("u", "reader"), place.on_table("u", "writer")),
        (String::new(), "SELECT".to_owned())
    );

    // A role and a database that only have another name now keep everything.
    place.sql("alter role writer rename to author");
    place.server.sql("alter database app rename to app2");
    let renamed = with(&writer, json!({"role": "author", "database": "app2"}));
    let resource = messages::resource(GRANT, &writer, Some(&outputs));
    let plan = place
        .ask(&messages::plan(GRANT, &renamed, &[], Some(&resource)))
        .expect("a plan");
    assert_eq!(paths(&plan), ("none".to_owned(), vec![]));
    // Another database is another thing.
    place.server.sql("create database app");
    place.sql("create table u ()");
    let moved = with(&renamed, json!({"database": "app"}));
    let resource = messages::resource(GRANT, &renamed, Some(&outputs));
    let plan = place
        .ask(&messages::plan(GRANT, &moved, &[], Some(&resource)))
        .expect("a plan");
    assert_eq!(
        paths(&plan),
        ("refuse".to_owned(), vec!["/database".to_owned()])
    );
    let error = place
        .update(GRANT, (&renamed, &outputs), &moved)
        .expect_err("refused");
    assert!(error.starts_with("/database:"), "{error}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_kind_of_object() {
    let place = Place::new();
    place.sql(
        "create role reader; create schema s; create sequence s.q; create type s.mood as enum ('a');
         create domain s.d as int; create function s.f(int, s.mood) returns int language sql as 'select 1';
         create procedure s.p() language sql as 'select 1';
         create foreign data wrapper w; create server far foreign data wrapper w;
         create table s.t (a int, b int); create view s.v as select 1 as one",
    );
    let shared = |inputs: Object| {
        let mut inputs = inputs;
        inputs.remove("database");
        inputs
    };
    let has = |question: &str| place.sql(&format!("select has_{question}"));
    for (inputs, question) in [
        (
            json!({"objectType": "database", "objects": ["app"], "privileges": ["ALL"]}),
            "database_privilege('reader', 'app', 'create')",
        ),
        (
            json!({"objectType": "tablespace", "objects": ["pg_default"], "privileges": ["CREATE"]}),
            "tablespace_privilege('reader', 'pg_default', 'create')",
        ),
        (
            json!({"objectType": "schema", "objects": ["s"], "privileges": ["USAGE", "CREATE"]}),
            "schema_privilege('reader', 's', 'create')",
        ),
        (
            json!({"objectType": "table", "schema": "s", "objects": ["t", "v"], "privileges": ["SELECT"]}),
            "table_privilege('reader', 's.v', 'select')",
        ),
        (
            json!({"objectType": "table", "schema": "s", "objects": ["t"], "columns": ["b"], "privileges": ["UPDATE"]}),
            "column_privilege('reader', 's.t', 'b', 'update')",
        ),
        (
            json!({"objectType": "sequence", "schema": "s", "objects": ["q"], "privileges": ["ALL"]}),
            "sequence_privilege('reader', 's.q', 'update')",
        ),
        (
            json!({"objectType": "function", "schema": "s", "objects": ["f(integer, s.mood)", "p()"], "privileges": ["EXECUTE"]}),
            "function_privilege('reader', 's.p()', 'execute')",
        ),
        (
            json!({"objectType": "type", "schema": "s", "objects": ["mood", "d"], "privileges": ["USAGE"]}),
            "type_privilege('reader', 's.d', 'usage')",
        ),
        (
            json!({"objectType": "language", "objects": ["plpgsql"], "privileges": ["USAGE"]}),
            "language_privilege('reader', 'plpgsql', 'usage')",
        ),
        (
            json!({"objectType": "foreignServer", "objects": ["far"], "privileges": ["USAGE"]}),
            "server_privilege('reader', 'far', 'usage')",
        ),
        (
            json!({"objectType": "foreignDataWrapper", "objects": ["w"], "privileges": ["ALL"]}),
            "foreign_data_wrapper_privilege('reader', 'w', 'usage')",
        ),
    ] {
        let is_shared = ["database", "tablespace"]
            .map(Value::from)
            .contains(&inputs["objectType"]);
        let mut inputs = with(
            &place.inputs(inputs),
            json!({"role": "reader", "grantOption": true}),
        );
        if is_shared {
            inputs = shared(inputs);
        }
        let outputs = place.ensure(GRANT, &inputs);
        assert_eq!(has(question), "t", "{inputs:?}");
        let option = question.strip_suffix("')").expect("a question");
        assert_eq!(
            has(&format!("{option} with grant option')")),
            "t",
            "{inputs:?}"
        );
        place.destroy(GRANT, &inputs, &outputs).expect("destroyed");
        assert_eq!(
            has(&format!("{option} with grant option')")),
            "f",
            "{inputs:?}"
        );
    }
    assert_eq!(
        place.sql("select proacl::text like '%reader%' from pg_proc where proname = 'f'"),
        "f"
    );

    // PUBLIC, and a list of privileges that is null and means the default.
    let everybody = place.inputs(json!({
        "role": "public", "objectType": "function", "schema": "s", "allObjects": true, "privileges": [],
    }));
    assert_eq!(place.plan(GRANT, &everybody).0, "update");
    place.ensure(GRANT, &everybody);
    assert_eq!(has("function_privilege('reader', 's.p()', 'execute')"), "f");
    let connect = shared(place.inputs(json!({
        "role": "public", "objectType": "database", "objects": ["app"], "privileges": ["CONNECT"],
    })));
    place.ensure(GRANT, &connect);
    assert_eq!(has("database_privilege('reader', 'app', 'temporary')"), "f");
    assert_eq!(has("database_privilege('reader', 'app', 'connect')"), "t");
}

#[test]
fn tables_and_columns_are_kept_apart() {
    let place = Place::new();
    place.sql("create role reader; create role other; create table t (a int, b int)");
    let columns = with(
        &place.inputs(table(&["SELECT", "UPDATE"])),
        json!({"columns": ["a"], "grantOption": true}),
    );
    place.ensure(GRANT, &columns);
    place.sql(
        "grant select on t to other with grant option; grant select on t to reader;
         set role other; grant select on t to reader; grant select (b) on t to reader",
    );
    let insert = place.inputs(table(&["INSERT"]));
    place.ensure(GRANT, &insert);
    assert_eq!(place.on_table("t", "reader"), "INSERT");
    // A REVOKE on the table would have taken these.
    assert_eq!(place.plan(GRANT, &columns), ("none".to_owned(), vec![]));
    assert_eq!(
        place.sql(
            "select attacl from pg_attribute where attrelid = 't'::regclass and attname = 'b'"
        ),
        "{reader=r/other}"
    );
    place.ensure(
        GRANT,
        &with(
            &columns,
            json!({"columns": ["b"], "privileges": [], "grantOption": false}),
        ),
    );
    assert_eq!(
        place.sql(
            "select attacl from pg_attribute where attrelid = 't'::regclass and attname = 'b'"
        ),
        ""
    );
    assert_eq!(place.on_table("t", "reader"), "INSERT");
}

#[test]
fn all_objects_and_future_ones() {
    let place = Place::new();
    place.sql("create role reader; create role maker; create schema s; grant create, usage on schema s to maker");
    let inputs = place.inputs(json!({
        "role": "reader", "objectType": "table", "schema": "s", "allObjects": true,
        "privileges": ["SELECT"],
    }));
    // No object: nothing to do, and nothing that fails.
    place.ensure(GRANT, &inputs);
    place.sql("create table s.one (); create table s.two ()");
    assert_eq!(place.plan(GRANT, &inputs).0, "create");
    place.ensure(GRANT, &inputs);
    place.sql("create table s.three ()");
    let plan = place
        .ask(&messages::plan(GRANT, &inputs, &[], None))
        .expect("a plan");
    assert_eq!(
        plan["changes"][0]["before"]["known"],
        json!({r#"table "s"."three""#: []})
    );
    let future = with(&inputs, json!({"futureBy": ["maker"]}));
    let outputs = place.ensure(GRANT, &future);
    place.sql("set role maker; create table s.four ()");
    assert_eq!(
        place.on_table("s.four", "reader"),
        "SELECT/maker".replace("/maker", "")
    );
    assert_eq!(place.plan(GRANT, &future), ("none".to_owned(), vec![]));
    // Leaving the list takes it back.
    place
        .update(GRANT, (&future, &outputs), &inputs)
        .expect("updated");
    assert_eq!(place.sql("select count(*) from pg_default_acl"), "0");
    assert_eq!(place.on_table("s.four", "reader"), "SELECT");
    place.destroy(GRANT, &inputs, &outputs).expect("destroyed");
    assert_eq!(
        place.on_table("s.four", "reader") + &place.on_table("s.one", "reader"),
        ""
    );
}

#[test]
fn default_privileges() {
    let place = Place::new();
    place.sql(
        "create role reader; create role maker; create schema s; grant all on schema s to maker",
    );
    let list = || {
        place.sql("select defaclrole::regrole, coalesce(defaclnamespace::regnamespace::text, '-'), defaclobjtype, defaclacl from pg_default_acl order by 2, 3")
    };
    let inputs = place.inputs(json!({
        "creator": "maker", "schema": "s", "role": "reader", "objectType": "table",
        "privileges": ["SELECT", "INSERT"],
    }));
    assert_eq!(place.plan(DEFAULTS, &inputs).0, "create");
    let outputs = place.ensure(DEFAULTS, &inputs);
    assert_eq!(list(), "maker|s|r|{reader=ar/maker}");
    place.sql(
        "alter default privileges for role maker in schema s grant delete on tables to reader",
    );
    assert_eq!(
        place.plan(DEFAULTS, &inputs),
        ("update".to_owned(), vec!["/privileges".to_owned()])
    );
    let fewer = with(
        &inputs,
        json!({"privileges": ["SELECT"], "grantOption": true}),
    );
    let outputs = place
        .update(DEFAULTS, (&inputs, &outputs), &fewer)
        .expect("updated");
    assert_eq!(list(), "maker|s|r|{reader=r*/maker}");
    place.sql("set role maker; create table s.t ()");
    assert_eq!(place.on_table("s.t", "reader"), "SELECT*");
    place
        .destroy(DEFAULTS, &fewer, &outputs)
        .expect("destroyed");
    place
        .destroy(DEFAULTS, &fewer, &outputs)
        .expect("destroyed twice");
    assert_eq!(list(), "");
    assert_eq!(place.on_table("s.t", "reader"), "SELECT*");

    // Without a schema they stand in place of the built-in ones.
    let everybody = place.inputs(json!({
        "creator": "maker", "role": "public", "objectType": "function", "privileges": [],
    }));
    assert_eq!(place.plan(DEFAULTS, &everybody).0, "update");
    place.ensure(DEFAULTS, &everybody);
    assert_eq!(list(), "maker|-|f|{maker=X/maker}");
    for (kind, privileges) in [("sequence", "ALL"), ("type", "USAGE"), ("schema", "CREATE")] {
        let inputs = place.inputs(json!({
            "creator": "maker", "role": "reader", "objectType": kind, "privileges": [privileges],
        }));
        place.ensure(DEFAULTS, &inputs);
    }
    place.sql("set role maker; create sequence s.q; create type s.e as enum ()");
    assert_eq!(
        place.sql("select has_sequence_privilege('reader', 's.q', 'update')"),
        "t"
    );
    let large = place.inputs(json!({
        "creator": "maker", "role": "reader", "objectType": "largeObject", "privileges": ["ALL"],
    }));
    match place.create(DEFAULTS, &large) {
        Ok(outputs) => assert_eq!(outputs["privileges"], json!(["SELECT", "UPDATE"])),
        Err(error) => {
            assert!(place.server.version() < 18, "{error}");
            assert!(error.starts_with("/objectType:"), "{error}");
        }
    }
    for (more, pointer) in [
        (json!({"creator": "nobody"}), "/creator:"),
        (json!({"role": "nobody"}), "/role:"),
        (json!({"schema": "nowhere"}), "/schema:"),
        (json!({"database": "nowhere"}), "/database:"),
        (json!({"privileges": ["EXECUTE"]}), "/privileges:"),
        (
            json!({"objectType": "schema", "privileges": ["USAGE"]}),
            "/schema:",
        ),
    ] {
        let error = place
            .create(DEFAULTS, &with(&inputs, more))
            .expect_err(pointer);
        assert!(error.starts_with(pointer), "{pointer} {error}");
    }
}

#[test]
fn hostile_names() {
    let place = Place::new();
    let ident = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for (number, name) in HOSTILE.iter().enumerate() {
        let (quoted, other) = (ident(name), HOSTILE[(number + 1) % HOSTILE.len()]);
        place.sql(&format!(
            "create role {quoted}; create schema {quoted}; create table {quoted}.{quoted} ({quoted} int);
             create function {quoted}.{quoted}(int) returns int language sql as 'select 1'"
        ));
        place.server.sql(&format!("create database {quoted}"));
        let signature = if name.starts_with('"') {
            ident(name)
        } else {
            (*name).to_owned()
        };
        for (kind, more) in [
            (
                "database",
                json!({"objects": [name], "privileges": ["CREATE"]}),
            ),
            (
                "schema",
                json!({"database": "app", "objects": [name], "privileges": ["ALL"]}),
            ),
            (
                "table",
                json!({"database": "app", "schema": name, "objects": [name], "privileges": ["ALL"]}),
            ),
            (
                "table",
                json!({"database": "app", "schema": name, "objects": [name], "columns": [name], "privileges": ["ALL"]}),
            ),
            (
                "table",
                json!({"database": "app", "schema": name, "allObjects": true, "futureBy": [name], "privileges": ["ALL"]}),
            ),
            (
                "function",
                json!({"database": "app", "schema": name, "objects": [format!("{signature}(integer)")], "privileges": ["ALL"]}),
            ),
        ] {
            let mut inputs = with(
                &place.inputs(more),
                json!({"objectType": kind, "role": name}),
            );
            if kind == "database" {
                inputs.remove("database");
            }
            let outputs = place.ensure(GRANT, &inputs);
            place
                .destroy(GRANT, &inputs, &outputs)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let defaults = place.inputs(json!({
            "creator": name, "schema": name, "role": name, "objectType": "type", "privileges": ["USAGE"],
        }));
        place.ensure(DEFAULTS, &defaults);
        // As a grantor, too.
        let (next, table) = (ident(other), format!("{quoted}.{quoted}"));
        if number + 1 < HOSTILE.len() {
            place.sql(&format!("create role {next}; grant usage on schema {quoted} to {quoted}; grant select on {table} to {quoted} with grant option; set role {quoted}; grant select on {table} to {next}"));
            let revoked = place.inputs(json!({
                "role": other, "objectType": "table", "schema": name, "objects": [name], "privileges": [],
            }));
            place.ensure(GRANT, &revoked);
            place.sql(&format!("drop role {next}"));
        }
    }
    assert_eq!(
        place
            .server
            .sql("select count(*) from pg_roles where rolname = 'postgres'"),
        "1"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_is_missing_or_wrong_names_its_input() {
    let place = Place::new();
    place.sql("create role reader; create schema s; create table t (a int); create sequence q");
    let long = "x".repeat(64);
    for (more, pointer, says) in [
        (json!({"role": "nobody"}), "/role:", "nobody"),
        (json!({"role": "PUBLIC"}), "/role:", "\"public\""),
        (json!({"role": "Reader"}), "/role:", "Reader"),
        (json!({"database": "nowhere"}), "/database:", "nowhere"),
        (json!({"database": null}), "/database:", "say in which"),
        (json!({"schema": "nowhere"}), "/schema:", "nowhere"),
        (json!({"schema": null}), "/schema:", "say in which"),
        (json!({"objects": ["t", "gone"]}), "/objects/1:", "gone"),
        (
            json!({"objects": ["T"]}),
            "/objects/0:",
            "upper and lower case",
        ),
        (json!({"objects": ["q"]}), "/objects/0:", "has no table"),
        (json!({"objects": ["t", "t"]}), "/objects/1:", "twice"),
        (json!({"objects": []}), "/objects:", "allObjects"),
        (json!({"objects": [long]}), "/objects/0:", "64 bytes"),
        (json!({"objects": ["a\u{0}b"]}), "/objects/0:", "NUL"),
        (json!({"objects": [""]}), "/objects/0:", "empty"),
        (json!({"allObjects": true}), "/allObjects:", "both"),
        (json!({"futureBy": ["reader"]}), "/futureBy:", "allObjects"),
        (
            json!({"objects": null, "allObjects": true, "futureBy": ["reader", "nobody"]}),
            "/futureBy/1:",
            "nobody",
        ),
        (json!({"columns": ["a", "z"]}), "/columns/1:", "\"z\""),
        (
            json!({"columns": ["a"], "privileges": ["DELETE"]}),
            "/privileges:",
            "columns have SELECT",
        ),
        (
            json!({"privileges": ["EXECUTE"]}),
            "/privileges:",
            "TRUNCATE",
        ),
        (
            json!({"privileges": ["select"]}),
            "/privileges/0:",
            "SELECT",
        ),
        (
            json!({"privileges": [], "mode": "additive"}),
            "/privileges:",
            "nothing to add",
        ),
        (
            json!({"role": "public", "grantOption": true}),
            "/grantOption:",
            "PUBLIC",
        ),
        (
            json!({"objectType": "schema", "objects": ["s"], "privileges": ["USAGE"]}),
            "/schema:",
            "no schema",
        ),
        (
            json!({"objectType": "database", "schema": null}),
            "/database:",
            "no database",
        ),
        (
            json!({"objectType": "language", "schema": null, "objects": null, "allObjects": true, "privileges": ["USAGE"]}),
            "/allObjects:",
            "one by one",
        ),
        (
            json!({"objectType": "language", "schema": null, "objects": ["perl"], "privileges": ["USAGE"]}),
            "/objects/0:",
            "perl",
        ),
        (
            json!({"objectType": "function", "objects": ["f"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "argument types",
        ),
        (
            json!({"objectType": "function", "objects": ["f(integer)"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "no function",
        ),
        (
            json!({"objectType": "function", "objects": ["f(no_such_type)"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "no function",
        ),
        (
            json!({"objectType": "function", "objects": ["f(nowhere.x)"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "no function",
        ),
        (
            json!({"objectType": "function", "objects": ["f(integer); drop table t; --)"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "no function",
        ),
        (
            json!({"objectType": "type", "objects": ["t"], "privileges": ["USAGE"]}),
            "/objects/0:",
            "has no type",
        ),
        (json!({"colour": 1}), "/colour:", "unknown field"),
    ] {
        let inputs = with(&place.inputs(table(&["SELECT"])), more);
        let error = place.create(GRANT, &inputs).expect_err(pointer);
        assert!(
            error.starts_with(pointer) && error.contains(says),
            "{pointer} {says}: {error}"
        );
    }
    assert_eq!(place.on_table("t", "reader"), "");
    // What isn't there yet may be made by the same apply: a plan is no error.
    let early = with(
        &place.inputs(table(&["SELECT"])),
        json!({"role": "nobody", "database": "nowhere"}),
    );
    assert_eq!(place.plan(GRANT, &early).0, "create");
}

#[test]
fn what_is_gone_needs_no_destroying() {
    let place = Place::new();
    place.sql("create role reader; create table t (a int)");
    let inputs = place.inputs(table(&["SELECT"]));
    let outputs = place.ensure(GRANT, &inputs);
    place.sql("drop table t");
    place
        .destroy(GRANT, &inputs, &outputs)
        .expect("the table is gone");
    place.sql("drop role reader");
    place
        .destroy(GRANT, &inputs, &outputs)
        .expect("the role is gone");
    place.server.sql("drop database app with (force)");
    place
        .destroy(GRANT, &inputs, &outputs)
        .expect("the database is gone");
    let kept = with(&inputs, json!({"deletionPolicy": "retain"}));
    place.server.sql("create database app; create role reader");
    place.sql("create table t ()");
    let outputs = place.ensure(GRANT, &kept);
    let error = place
        .destroy(GRANT, &kept, &outputs)
        .expect_err("nothing to retain");
    assert!(error.contains("can't be retained"), "{error}");
}

#[test]
fn what_was_passed_on_is_taken_only_on_request() {
    let place = Place::new();
    place.sql(
        "create role reader; create role other; create table t (a int);
         grant select on t to reader with grant option; set role reader; grant select on t to other",
    );
    let inputs = place.inputs(table(&["INSERT"]));
    let error = place.create(GRANT, &inputs).expect_err("it was passed on");
    assert!(
        error.starts_with("/cascade:") && error.contains("other"),
        "{error}"
    );
    assert_eq!(place.on_table("t", "reader"), "SELECT*");
    place.ensure(GRANT, &with(&inputs, json!({"cascade": true})));
    assert_eq!(
        (place.on_table("t", "reader"), place.on_table("t", "other")),
        ("INSERT".to_owned(), String::new())
    );
}

#[test]
fn grantors_without_the_schema_and_owners() {
    let place = Place::new();
    place.sql(
        "create role reader; create role other; create schema s; create table s.t (a int);
         grant usage on schema s to other; grant select on s.t to other with grant option;
         set role other; grant select on s.t to reader; reset role; revoke usage on schema s from other",
    );
    let before = place.sql("select nspacl from pg_namespace where nspname = 's'");
    let inputs = with(&place.inputs(table(&["INSERT"])), json!({"schema": "s"}));
    place.ensure(GRANT, &inputs);
    assert_eq!(place.on_table("s.t", "reader"), "INSERT");
    assert_eq!(
        place.sql("select nspacl from pg_namespace where nspname = 's'"),
        before
    );

    // A grantor that the server now takes for the owner: it says so.
    place.sql("set role other; reset role; grant usage on schema s to other; set role other; grant select on s.t to reader; reset role; alter role other superuser");
    let error = place
        .create(GRANT, &inputs)
        .expect_err("nothing can revoke it");
    assert!(
        error.starts_with("/privileges:") && error.contains("\"other\" granted"),
        "{error}"
    );
    assert_eq!(place.on_table("s.t", "reader"), "INSERT SELECT/other");

    // An owner can be bound, and isn't when its grant is destroyed.
    place.sql("create role maker; create table m (); alter table m owner to maker");
    let own = with(
        &place.inputs(table(&["SELECT"])),
        json!({"role": "maker", "objects": ["m"]}),
    );
    let outputs = place.ensure(GRANT, &own);
    assert_eq!(place.on_table("m", "maker"), "SELECT");
    place.destroy(GRANT, &own, &outputs).expect("destroyed");
    assert_eq!(place.on_table("m", "maker"), "SELECT");
}

#[test]
fn an_administrator_without_superuser() {
    let place = Place::restricted();
    place.sql(
        "create schema s authorization maker; set role maker; create table s.t (a int);
         create table s.u (a int); grant usage on schema s to app_owner;
         grant select on s.t to app_owner with grant option; set role app_owner; grant select on s.t to reader",
    );
    let memberships = "select roleid::regrole, member::regrole, to_jsonb(m) - 'oid' from pg_auth_members m order by 1, 2, 3::text";
    let before = place.server.sql(memberships);
    let inputs = with(&place.inputs(table(&["INSERT"])), json!({"schema": "s"}));
    let outputs = place.ensure(GRANT, &inputs);
    assert_eq!(place.on_table("s.t", "reader"), "INSERT");
    let all = place.inputs(json!({
        "role": "reader", "objectType": "table", "schema": "s", "allObjects": true,
        "privileges": ["SELECT", "UPDATE"], "futureBy": ["maker"],
    }));
    let all_outputs = place.ensure(GRANT, &all);
    let defaults = place.inputs(json!({
        "creator": "app_owner", "role": "public", "objectType": "type", "privileges": [],
    }));
    place.ensure(DEFAULTS, &defaults);
    let public = place.inputs(json!({
        "role": "reader", "objectType": "schema", "objects": ["public"], "privileges": ["ALL"],
    }));
    place.ensure(GRANT, &public);
    let mut database = place.inputs(json!({
        "role": "public", "objectType": "database", "objects": ["app"], "privileges": [],
    }));
    database.remove("database");
    place.ensure(GRANT, &database);
    assert_eq!(
        place.sql("select datacl from pg_database where datname = 'app'"),
        "{app_owner=CTc/app_owner}"
    );
    // With CONNECT gone from everybody, the administrator needs its own.
    place.server.sql("grant connect on database app to admin");
    place.destroy(GRANT, &all, &all_outputs).expect("destroyed");
    place.destroy(GRANT, &inputs, &outputs).expect("destroyed");
    assert_eq!(place.on_table("s.t", "reader"), "");
    assert_eq!(place.server.sql(memberships), before);

    // What belongs to a superuser is out of its reach, and it says so.
    place.sql("create table public.t (a int)");
    let error = place
        .create(GRANT, &place.inputs(table(&["SELECT"])))
        .expect_err("not its table");
    assert!(error.starts_with("/connection/user:"), "{error}");
    place.sql("grant select on public.t to admin");
    let error = place
        .create(GRANT, &place.inputs(table(&["SELECT"])))
        .expect_err("not its table");
    assert!(
        error.starts_with("/privileges:") && error.contains("not there after"),
        "{error}"
    );
    place.sql("grant select on public.t to admin with grant option");
    place.ensure(GRANT, &place.inputs(table(&["SELECT"])));
    assert_eq!(place.on_table("public.t", "reader"), "SELECT/admin");
    place.ensure(GRANT, &place.inputs(table(&[])));
    assert_eq!(place.on_table("public.t", "reader"), "");
}

fn at_once(place: &Place, work: &[(&str, Object)]) -> Vec<Result<Object, String>> {
    thread::scope(|scope| {
        let running: Vec<_> = work
            .iter()
            .map(|(kind, inputs)| scope.spawn(move || place.create(kind, inputs)))
            .collect();
        running
            .into_iter()
            .map(|one| one.join().expect("a thread"))
            .collect()
    })
}

/// Processes that grant on the same objects at once lose nothing.
fn many_at_once(place: &Place) {
    let words = ["SELECT", "INSERT", "UPDATE", "DELETE"];
    let work: Vec<_> = (0..16)
        .flat_map(|number| {
            let role = format!("r{number}");
            place.server.sql(&format!("create role {role}"));
            let grant = with(
                &place.inputs(table(&[words[number % 4]])),
                json!({"role": role, "schema": "s", "objects": ["t", "u"]}),
            );
            let mut database = place.inputs(json!({
                "role": role, "objectType": "database", "objects": ["app"], "privileges": ["CONNECT"],
            }));
            database.remove("database");
            let adds = with(
                &place.inputs(table(&[words[number % 4]])),
                json!({"role": "reader", "schema": "s", "objects": ["t"], "mode": "additive"}),
            );
            let defaults = place.inputs(json!({
                "creator": "maker", "schema": "s", "role": role, "objectType": "table",
                "privileges": [words[number % 4]],
            }));
            [(GRANT, grant), (GRANT, database), (GRANT, adds), (DEFAULTS, defaults)]
        })
        .collect();
    for result in work.chunks(16).flat_map(|work| at_once(place, work)) {
        result.unwrap_or_else(|error| panic!("{error}"));
    }
    for (kind, inputs) in &work {
        assert_eq!(
            place.plan(kind, inputs),
            ("none".to_owned(), vec![]),
            "{inputs:?}"
        );
    }
    assert_eq!(
        place.on_table("s.t", "reader"),
        "DELETE INSERT SELECT UPDATE"
    );
    for number in 0..16 {
        for name in ["s.t", "s.u"] {
            assert_eq!(
                place.on_table(name, &format!("r{number}")),
                words[number % 4]
            );
        }
    }
}

#[test]
fn sixteen_at_once_lose_nothing() {
    let place = Place::new();
    place.sql("create role reader; create role maker; create schema s authorization maker; set role maker; create table s.t (); create table s.u ()");
    many_at_once(&place);
}

#[test]
fn sixteen_at_once_without_superuser_lose_nothing() {
    let place = Place::restricted();
    place.sql("create schema s authorization maker; set role maker; create table s.t (); create table s.u ()");
    many_at_once(&place);
    let left = "select count(*) from pg_auth_members where member = 'admin'::regrole and
        (not to_jsonb(pg_auth_members) ? 'set_option' or grantor = member)";
    assert_eq!(place.server.sql(left), "0");
}

#[test]
fn every_process_dies_somewhere_and_is_run_again() {
    let place = Place::new();
    place.sql("create role reader; create table t (); grant delete on t to reader");
    let inputs = place.inputs(table(&["SELECT", "INSERT"]));
    let request = messages::create(GRANT, &inputs, true);
    for (point, left) in [
        ("engine:observed", "DELETE"),
        // Nothing of a transaction is left by halves.
        ("privileges:set", "DELETE"),
        ("engine:applied-0", "INSERT SELECT"),
        ("engine:verified", "INSERT SELECT"),
    ] {
        place.sql("revoke all on t from reader; grant delete on t to reader");
        let mut command = place
            .sandbox
            .command(binaries::path("nixops4-resources-postgresql"));
        command.env("FAILPOINTS", format!("{point}=return(kill)"));
        let mut provider = Provider::spawn(command);
        provider.send(request.to_string());
        let output = provider.finish();
        assert_eq!(output.status.signal(), Some(9), "{point}");
        assert_eq!(place.on_table("t", "reader"), left, "{point}");
        place.ensure(GRANT, &inputs);
        assert_eq!(place.on_table("t", "reader"), "INSERT SELECT");
    }
}

#[test]
fn the_same_on_each_other_version() {
    nixops4_resources_tests::postgres::on_each_other_version("the_same_on_each_other_version");
}
