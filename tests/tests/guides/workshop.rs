//! Where the commands of a page are run: a copy of the examples, in which the
//! places that they name are those of the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::postgres::Server;
use nixops4_resources_tests::sandbox::Sandbox;

use crate::document::root;

/// What a reader has in the project's folder.
const COPIED: [&str; 2] = ["nixops4", "schemas"];

pub(crate) struct Workshop {
    sandbox: Sandbox,
    /// What the page names, and what is there in the test.
    places: Vec<(String, String)>,
    /// What commands find beside what is in `PATH`.
    programs: Option<PathBuf>,
    /// The examples' files as the page has them so far, by path.
    files: BTreeMap<String, String>,
    /// What the page's commands have exported.
    exported: String,
}

impl Workshop {
    /// PostgreSQL servers by their host names. The first one's programs are those that
    /// commands find.
    pub(crate) fn new(servers: &[(&'static str, &Server)]) -> Self {
        let places = servers.iter().flat_map(|(host, server)| {
            let port = server.port();
            [
                (
                    format!("host = \"{host}\";"),
                    format!("host = \"127.0.0.1\"; port = {port};"),
                ),
                (
                    format!("\"host\": \"{host}\","),
                    format!("\"host\": \"127.0.0.1\", \"port\": {port},"),
                ),
                (
                    format!("--host {host} "),
                    format!("--host 127.0.0.1 --port {port} "),
                ),
            ]
        });
        let programs = servers[0].1.programs().to_owned();
        Self::at(places.collect(), Some(programs))
    }

    /// Where what the page names is at these places.
    pub(crate) fn at(places: Vec<(String, String)>, programs: Option<PathBuf>) -> Self {
        let sandbox = Sandbox::new();
        std::fs::create_dir(sandbox.work().join("keys")).unwrap();
        let mut files = BTreeMap::new();
        for folder in COPIED {
            collect(&root(), Path::new(folder), &mut files);
        }
        let workshop = Self {
            sandbox,
            places,
            programs,
            files,
            exported: String::new(),
        };
        for (path, text) in &workshop.files {
            workshop.write(path, text);
        }
        workshop
    }

    fn write(&self, path: &str, text: &str) {
        self.sandbox.write(path, self.adapt(text));
    }

    /// A file that the page expects under `/run/keys`.
    pub(crate) fn key(&self, name: &str, value: &str) {
        self.sandbox.write(Path::new("keys").join(name), value);
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.sandbox.work()
    }

    /// The same text, with the places of the test.
    pub(crate) fn adapt(&self, text: &str) -> String {
        let keys = self.sandbox.work().join("keys");
        let mut text = text.replace("/run/keys", keys.to_str().unwrap());
        for (page, test) in &self.places {
            text = text.replace(page, test);
        }
        text
    }

    /// Makes a change to a file, as a block in the language `diff` has it.
    pub(crate) fn change(&mut self, path: &str, diff: &str) {
        let part = |sign| -> String {
            let lines = diff.lines().filter_map(|line| line.strip_prefix(sign));
            lines.flat_map(|line| [line, "\n"]).collect()
        };
        let (before, after) = (part('-'), part('+'));
        let file = self.files.get_mut(path).expect("one of the examples");
        assert_eq!(file.matches(&before).count(), 1, "{before} in {path}");
        *file = file.replace(&before, &after);
        let text = file.clone();
        self.write(path, &text);
    }

    /// An environment as a reader has it, with our executables.
    pub(crate) fn command(&self, program: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [self.sandbox.work().join("bin"), binaries::folder()]
            .into_iter()
            .chain(self.programs.clone())
            .chain(std::env::split_paths(&path));
        let mut command = self.sandbox.command(program);
        command.env("PATH", std::env::join_paths(path).unwrap());
        command
    }

    /// An executable of the test's own, in front of all others.
    pub(crate) fn stand_in(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.sandbox.write(Path::new("bin").join(name), script);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs commands; what they export stays for the next ones. Gives what they
    /// print.
    pub(crate) fn run(&mut self, commands: &str) -> String {
        let commands = self.adapt(commands);
        let script = format!("{}\n{commands}", self.exported);
        let output = self
            .command("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{commands}\n{}\n{said}",
            String::from_utf8_lossy(&output.stderr)
        );
        let exports = commands.lines().filter(|line| line.starts_with("export "));
        self.exported.extend(exports.flat_map(|line| [line, "\n"]));
        said
    }
}

/// Reads the files of a folder.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, files);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            files.insert(path.to_str().unwrap().to_owned(), text);
        }
    }
}
