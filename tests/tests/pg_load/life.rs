//! What one process after the other does about a few things, and what the catalog
//! says of them after each step. The lines are those of [`crate::catalog`].

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::town::EACH;

const ROLE: &str = "postgresql_role";
const DATABASE: &str = "postgresql_database";
const GRANT: &str = "postgresql_grant";
const MARK: &str = "nixops4-resources: owner=load";

/// What a table has that can be granted on every version.
const PRIVILEGES: [&str; 6] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REFERENCES",
    "TRIGGER",
];

/// Extensions that whoever owns a database may create.
const EXTENSIONS: [&str; 8] = [
    "citext",
    "hstore",
    "pg_trgm",
    "btree_gin",
    "btree_gist",
    "unaccent",
    "intarray",
    "ltree",
];

/// One request, of a process of its own.
pub(crate) struct Step {
    /// What the thing is called among those of this life.
    pub(crate) thing: &'static str,
    pub(crate) act: Act,
    /// What the catalog says of things of this life when it is done.
    pub(crate) says: Vec<(&'static str, Vec<String>)>,
}

pub(crate) enum Act {
    /// Create or update it.
    Have { kind: &'static str, fields: Value },
    /// Destroy it, with this `deletionPolicy`.
    Destroy(&'static str),
}

/// Who lives: its number, and its chance.
struct Life {
    number: u32,
    chance: StdRng,
    steps: Vec<Step>,
}

/// The steps of a life; everything in it is its own, but what it hangs on.
pub(crate) fn steps(number: u32, chance: StdRng) -> Vec<Step> {
    let mut one = Life {
        number,
        chance,
        steps: Vec::new(),
    };
    // The same for all, at the same time.
    let fields = json!({"name": "everybody", "login": false, "comment": "of all"});
    let line =
        format!("role everybody limit=-1 createdb=f login=f settings= comment=of all/{MARK}");
    one.have("everybody", ROLE, fields, vec![line]);
    let sort = [
        Life::of_a_role,
        Life::of_a_role,
        Life::of_a_membership,
        Life::of_a_database,
        Life::of_a_tenant,
        Life::of_a_column,
        Life::of_default_privileges,
        Life::of_a_schema,
    ][number as usize % 8];
    sort(&mut one);
    one.steps
}

impl Life {
    fn have(&mut self, thing: &'static str, kind: &'static str, fields: Value, says: Vec<String>) {
        self.steps.push(Step {
            thing,
            act: Act::Have { kind, fields },
            says: vec![(thing, says)],
        });
    }

    fn destroy(&mut self, thing: &'static str, policy: &'static str, says: Vec<String>) {
        self.steps.push(Step {
            thing,
            act: Act::Destroy(policy),
            says: vec![(thing, says)],
        });
    }

    /// Which of eight lives of its sort it is, and so on from there.
    fn turn(&self) -> u32 {
        self.number / 8
    }

    fn a_number(&mut self) -> u32 {
        self.chance.random_range(1..100)
    }

    fn a_person(&mut self) -> String {
        format!("p{}", self.chance.random_range(0..EACH))
    }

    fn some(&mut self, of: &[&'static str]) -> Vec<&'static str> {
        let many = self.chance.random_range(1..=of.len());
        of.sample(&mut self.chance, many).copied().collect()
    }

    fn of_a_role(&mut self) {
        let (role, table) = (
            format!("r{}", self.number),
            format!("t{}", self.turn() % EACH),
        );
        for _ in 0..2 {
            let (limit, tag) = (self.a_number(), self.a_number());
            let creates = self.chance.random_bool(0.5);
            let groups = self.some(&["g0", "g1", "g2", "g3"]);
            let fields = json!({
                "name": role, "connectionLimit": limit, "createDatabase": creates,
                "memberOf": groups, "comment": format!("number {limit}"),
                "settings": {"application_name": format!("app {tag}")},
            });
            let creates = if creates { "t" } else { "f" };
            let mut lines = vec![format!(
                "role {role} limit={limit} createdb={creates} login=t \
                 settings=application_name=app {tag} comment=number {limit}/{MARK}"
            )];
            lines.extend(
                groups
                    .iter()
                    .map(|group| format!("member {role} of {group} admin=f")),
            );
            self.have("role", ROLE, fields, lines);

            let (privileges, grantable) = (self.some(&PRIVILEGES), self.chance.random_bool(0.3));
            let fields = json!({
                "database": "load", "role": role, "objectType": "table", "schema": "s",
                "objects": [table], "privileges": privileges, "grantOption": grantable,
            });
            let star = if grantable { "*" } else { "" };
            let line = |one: &&str| format!("table {table} to {role} {one}{star}");
            self.have(
                "grant",
                GRANT,
                fields,
                privileges.iter().map(line).collect(),
            );
        }
        match self.chance.random_range(0..3) {
            0 => self.destroy("grant", "delete", vec![]),
            1 => {
                self.destroy("role", "delete", vec![]);
                let step = self.steps.last_mut().expect("it was pushed");
                step.says.push(("grant", vec![]));
                self.destroy("grant", "delete", vec![]);
            }
            _ => {}
        }
    }

    fn of_a_membership(&mut self) {
        let (person, group) = (format!("p{}", self.turn() % EACH), self.turn() / EACH);
        let group = format!("g{}", group % EACH);
        for _ in 0..3 {
            let admin = self.chance.random_bool(0.5);
            let fields = json!({"role": person, "group": group, "admin": admin});
            let admin = if admin { "t" } else { "f" };
            let line = format!("member {person} of {group} admin={admin}");
            self.have("membership", "postgresql_membership", fields, vec![line]);
        }
        if self.chance.random_bool(0.5) {
            self.destroy("membership", "delete", vec![]);
        }
    }

    fn of_a_database(&mut self) {
        let name = format!("d{}", self.number);
        let mut closed = String::new();
        for _ in 0..2 {
            let (limit, owner) = (self.a_number(), self.a_person());
            let fields = json!({
                "name": name, "ownerRole": owner, "connectionLimit": limit, "revokePublic": true,
                "comment": format!("number {limit}"),
            });
            let line = |open: &str, retained: &str| {
                format!(
                    "database {name} owner={owner} limit={limit} open={open} public=f \
                     comment=number {limit}/{MARK}{retained}"
                )
            };
            closed = line("f", " retained");
            self.have("database", DATABASE, fields, vec![line("t", "")]);
            let fields = json!({
                "role": "keeper", "objectType": "database", "objects": [name],
                "privileges": self.some(&["CONNECT", "CREATE", "TEMPORARY"]),
            });
            let granted = fields["privileges"].as_array().expect("a list").iter();
            let word = |one: &Value| one.as_str().expect("a word").to_owned();
            let lines = granted.map(|one| format!("database {name} to keeper {}", word(one)));
            let lines = lines.collect();
            self.have("grant", GRANT, fields, lines);
        }
        match self.chance.random_range(0..3) {
            0 => {
                self.destroy("database", "delete", vec![]);
                let step = self.steps.last_mut().expect("it was pushed");
                step.says.push(("grant", vec![]));
                self.destroy("grant", "delete", vec![]);
            }
            1 => self.destroy("database", "retain", vec![closed]),
            _ => {}
        }
    }

    fn of_a_tenant(&mut self) {
        let name = format!("n{}", self.number);
        let limit = self.a_number();
        let lines = |limit, open: &str, retained: &str| {
            vec![
                format!(
                    "role {name} limit=-1 createdb=f login={open} settings= comment={MARK}{retained}"
                ),
                format!(
                    "database {name} owner={name} limit={limit} open={open} public=f \
                     comment={MARK}{retained}"
                ),
            ]
        };
        let fields =
            |limit| json!({"name": name, "connectionLimit": limit, "password": {"env": "TENANT"}});
        let kind = "postgresql_tenant";
        self.have("tenant", kind, fields(limit), lines(limit, "t", ""));
        let limit = self.a_number();
        self.have("tenant", kind, fields(limit), lines(limit, "t", ""));
        match self.chance.random_range(0..4) {
            0 => self.destroy("tenant", "delete", vec![]),
            1 => self.destroy("tenant", "retain", lines(limit, "f", " retained")),
            2 => {
                self.destroy("tenant", "retain", lines(limit, "f", " retained"));
                self.have("tenant", kind, fields(limit), lines(limit, "t", ""));
            }
            _ => {}
        }
    }

    fn of_a_column(&mut self) {
        let person = format!("p{}", self.turn() % EACH);
        let table = format!("t{}", self.turn() / EACH % EACH);
        for _ in 0..2 {
            let privileges = self.some(&["SELECT", "INSERT", "UPDATE"]);
            let fields = json!({
                "database": "load", "role": person, "objectType": "table", "schema": "s",
                "objects": [table], "columns": ["a", "b"], "privileges": privileges,
            });
            let line = |one: &&str| {
                ["a", "b"].map(|column| format!("column {table}.{column} to {person} {one}"))
            };
            let lines = privileges.iter().flat_map(line).collect();
            self.have("columns", GRANT, fields, lines);
            let privileges = self.some(&PRIVILEGES);
            let fields = json!({
                "database": "load", "role": person, "objectType": "table", "schema": "s",
                "objects": [table], "privileges": privileges, "mode": "additive",
            });
            let line = |one: &&str| format!("table {table} to {person} {one}");
            self.have(
                "table",
                GRANT,
                fields,
                privileges.iter().map(line).collect(),
            );
        }
        if self.chance.random_bool(0.3) {
            self.destroy("columns", "delete", vec![]);
        }
    }

    fn of_default_privileges(&mut self) {
        let creator = format!("p{}", self.turn() % EACH);
        let group = format!("g{}", self.turn() / EACH % EACH);
        for _ in 0..3 {
            let privileges = self.some(&PRIVILEGES);
            let fields = json!({
                "database": "load", "creator": creator, "role": group, "objectType": "table",
                "privileges": privileges,
            });
            let line = |one: &&str| format!("future of {creator} to {group} {one}");
            let lines = privileges.iter().map(line).collect();
            self.have("future", "postgresql_default_privileges", fields, lines);
        }
        if self.chance.random_bool(0.3) {
            self.destroy("future", "delete", vec![]);
        }
    }

    fn of_a_schema(&mut self) {
        let name = format!("s{}", self.number);
        for _ in 0..2 {
            let owner = self.a_person();
            let fields = json!({"database": "load", "name": name, "ownerRole": owner});
            let line = format!("schema {name} owner={owner} comment={MARK}");
            self.have("schema", "postgresql_schema", fields, vec![line]);
        }
        if self.chance.random_bool(0.3) {
            self.destroy("schema", "delete", vec![]);
        }
        let Some(extension) = EXTENSIONS.get(self.turn() as usize) else {
            return;
        };
        let fields = json!({"database": "load", "name": extension});
        let line = format!("extension {extension}");
        self.have("extension", "postgresql_extension", fields, vec![line]);
        if self.chance.random_bool(0.3) {
            self.destroy("extension", "delete", vec![]);
        }
    }
}
