//! The command with every provider, against a real server: from an expression
//! to databases that can be used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::Provider;
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::Value;

#[path = "../support"]
mod support {
    pub(crate) mod secrets;
}

mod model;
mod moved;
mod orphans;
mod states;
mod year;

/// How long one run of the command may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

struct Site {
    server: Server,
    sandbox: Sandbox,
    identity: PathBuf,
    private_key: String,
}

impl Site {
    fn new(config: &Config) -> Self {
        let sandbox = Sandbox::new();
        let (identity, text) = support::secrets::identity(&sandbox);
        let key = text
            .lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY-"));
        Self {
            server: Server::start(config),
            private_key: key.expect("a private key").to_owned(),
            sandbox,
            identity,
        }
    }

    fn state(&self) -> PathBuf {
        self.sandbox.work().join("state.sqlite")
    }

    fn store(&self) -> PathBuf {
        self.sandbox.work().join("secrets.db")
    }

    /// An executable of ours, with the others on its `PATH`.
    fn command(&self, name: &str) -> Command {
        let mut command = self.sandbox.command(binaries::path(name));
        let path = std::env::var_os("PATH").expect("there is a PATH");
        let path = std::iter::once(binaries::folder()).chain(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(path).expect("a PATH"))
            .env("DEMO_HOST", self.server.host())
            .env("DEMO_PORT", self.server.port().to_string())
            .env("DEMO_STATE", self.state())
            .env(
                "SUPERUSER_PASSWORD_FILE",
                self.server.superuser_password_file(),
            )
            .envs(support::secrets::environment(&self.store(), &self.identity));
        command
    }

    /// `nixops4-resources ARGUMENTS --json` on an expression.
    fn run_with(&self, file: &Path, arguments: &[&str], set: &[(&str, &str)]) -> Output {
        let mut command = self.command("nixops4-resources");
        command
            .args(arguments)
            .args(["--json", "--file"])
            .arg(file)
            .envs(set.iter().copied());
        let mut running = Provider::spawn(command);
        running.close_stdin();
        running.wait(PATIENCE).expect("it takes too long");
        running.finish()
    }

    /// The same, with everything that every process has to say.
    fn run(&self, file: &Path, arguments: &[&str]) -> Output {
        self.run_with(file, arguments, &[("NIXOPS4_RESOURCES_LOG", "trace")])
    }

    /// One that can apply the demo: the superuser's password is in the store.
    fn of_the_demo() -> Self {
        let site = Self::new(&Config::default());
        let mut set = site.command("nixops4-resources");
        set.args(["secret", "set", "postgresql/administrator"])
            .args(["--owner", "demo", "--from"])
            .arg(site.server.superuser_password_file());
        let set = set.output().expect("it runs");
        assert!(set.status.success(), "{}", text(&set.stderr));
        site
    }

    /// The newest value of a secret.
    fn secret(&self, name: &str) -> String {
        let mut show = self.command("nixops4-resources");
        show.args(["secret", "show", name, "--to-pipe-or-file"]);
        let shown = show.output().expect("it runs");
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        text(&shown.stdout).trim_end().to_owned()
    }

    /// The password that was made for the demo's application.
    fn made_password(&self) -> String {
        self.secret("guestbook/database")
    }

    fn databases(&self) -> String {
        let all = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1";
        self.server.sql(all)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The summary of an apply that succeeded: its last line.
fn summary(output: &Output) -> Value {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let line = stdout.lines().last().expect("a summary");
    let summary: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(summary["event"], "summary", "{summary}");
    summary
}

/// What a plan counts, without what it counts none of.
fn counts(output: &Output) -> BTreeMap<String, u64> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let counts = plan["counts"].as_object().expect("counts");
    counts
        .iter()
        .map(|(name, count)| (name.clone(), count.as_u64().expect("a number")))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[test]
fn an_application_gets_its_databases() {
    let site = Site::of_the_demo();
    let demo = in_project("nixops4/examples/demo/nixops4.nix");
    let mut outputs = vec![("plan before", site.run(&demo, &["plan"]))];
    assert_eq!(site.databases(), "postgres", "a plan changes nothing");
    assert!(!site.state().exists(), "a plan changes nothing");

    outputs.push(("apply", site.run(&demo, &["apply"])));
    summary(&outputs[1].1);
    assert_eq!(site.databases(), "guestbook\nguestbook_archive\npostgres");
    let password = site.made_password();
    assert_eq!(password.len(), 40);
    let login = "SELECT current_user, pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()";
    let login = |database| site.server.sql_as("guestbook", &password, database, login);
    assert_eq!(login("guestbook"), Ok("guestbook|guestbook".to_owned()));
    assert_eq!(
        login("guestbook_archive"),
        Ok("guestbook|guestbook".to_owned())
    );

    // Nothing to do, and nothing is done.
    let log = site.server.log().len();
    outputs.push(("plan after", site.run(&demo, &["plan"])));
    let unchanged = counts(&outputs[2].1);
    assert_eq!(unchanged.keys().collect::<Vec<_>>(), ["unchanged"]);
    outputs.push(("apply again", site.run(&demo, &["apply"])));
    assert_eq!(summary(&outputs[3].1)["created"], 0);
    let since = site.server.log()[log..].to_owned();
    for word in ["CREATE", "ALTER", "COMMENT", "GRANT"] {
        assert!(
            !since.contains(&format!("statement: {word}")),
            "{word}: {since}"
        );
    }

    // What somebody changes is seen and repaired.
    site.server
        .sql("ALTER ROLE guestbook PASSWORD 'by hand' CONNECTION LIMIT 1");
    login("guestbook").expect_err("somebody changed the password");
    outputs.push(("plan of drift", site.run(&demo, &["plan"])));
    let shown = text(&outputs[4].1.stdout);
    assert!(
        shown.contains("/password") && shown.contains("/connectionLimit"),
        "{shown}"
    );
    outputs.push(("repair", site.run(&demo, &["apply"])));
    summary(&outputs[5].1);
    login("guestbook").expect("it is repaired");

    // The secrets are in none of it, at trace level of every process.
    let superuser = std::fs::read_to_string(site.server.superuser_password_file());
    for secret in [
        password.clone(),
        superuser.expect("it"),
        site.private_key.clone(),
    ] {
        let secret = Canary::with(secret);
        for (label, output) in &outputs {
            secret.assert_absent(label, &output.stdout);
            secret.assert_absent(label, &output.stderr);
        }
        secret.assert_absent("the server's log", site.server.log());
        secret.assert_absent_in_dir_except(site.sandbox.path(), &[&site.identity]);
    }
    assert!(site.state().exists() && site.store().exists());
}

/// Where a provider dies each time that it comes there: the command asks again, and
/// where that doesn't help, the next apply goes on.
#[test]
fn an_apply_that_was_cut_short_goes_on() {
    let demo = in_project("nixops4/examples/demo/nixops4.nix");
    for point in [
        "store:made",
        "engine:applied-0",
        "database:created",
        "database:renamed",
    ] {
        let site = Site::of_the_demo();
        let set = ("FAILPOINTS", format!("{point}=return(kill)"));
        let cut = site.run_with(&demo, &["apply"], &[(set.0, &set.1)]);
        let said = text(&cut.stdout);
        assert!(said.contains("SIGKILL"), "{point}: {said}");
        summary(&site.run(&demo, &["apply"]));
        assert_eq!(site.databases(), "guestbook\nguestbook_archive\npostgres");
        let password = site.made_password();
        let login = site
            .server
            .sql_as("guestbook", &password, "guestbook", "SELECT 1");
        login.unwrap_or_else(|error| panic!("{point}: not the first password: {error}"));
        let after = counts(&site.run(&demo, &["plan"]));
        assert_eq!(after.keys().collect::<Vec<_>>(), ["unchanged"], "{point}");
    }
}

#[test]
fn two_hundred_roles_at_once() {
    let site = Site::new(&Config {
        max_connections: 20,
        ..Config::default()
    });
    let roles = in_project("tests/tests/apply/roles.nix");
    let apply = |count: &str| {
        let arguments = ["apply", "--parallel", "40"];
        summary(&site.run_with(&roles, &arguments, &[("ROLES", count)]))
    };
    apply("200");
    let members = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'hub'::regrole";
    assert_eq!(site.server.sql(members), "200");
    let log = site.server.log();
    assert!(!log.contains("tuple concurrently updated"));
    // A smaller deployment takes nothing away, and there is nothing to do.
    assert_eq!(apply("200")["created"], 0);
    assert_eq!(apply("201")["created"], 1);
}
