//! One test executable, from its start to its end.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nixops4_resources_tests::binaries;
use wait_timeout::ChildExt as _;

use crate::built::Target;

/// How long an executable may run: some times what the longest takes. After that its
/// tests hang.
const LIMIT: Duration = Duration::from_mins(20);

/// How many ticks of `/proc` a second has.
const TICKS: u32 = 100;

/// What came of it.
pub(crate) struct Outcome {
    /// Why it failed as a whole, if it did.
    problem: Option<String>,
    /// The names of the tests that failed.
    failed: Vec<String>,
    /// How many tests it ran.
    pub(crate) tests: usize,
    pub(crate) time: Duration,
    /// What processors did for it, without the servers.
    pub(crate) work: Duration,
    /// All that it printed.
    pub(crate) said: String,
}

impl Outcome {
    pub(crate) fn is_well(&self) -> bool {
        self.problem.is_none()
    }

    /// What stands behind its name.
    pub(crate) fn summary(&self) -> String {
        let time = self.time.as_secs_f64();
        let failed = if self.is_well() { "" } else { "  FAILED" };
        format!("{:4} tests {time:7.1} s{failed}", self.tests)
    }

    /// Which tests failed, or why it did as a whole.
    pub(crate) fn names(&self) -> String {
        match &self.problem {
            Some(problem) if self.failed.is_empty() => problem.clone(),
            _ => self.failed.join(", "),
        }
    }
}

/// Runs it with some arguments. The programs that it starts are in a folder.
pub(crate) fn run(target: &Target, arguments: &[&str], programs: &Path) -> Outcome {
    let folder = tempfile::tempdir().expect("cannot create a temporary folder");
    let path = folder.path().join("said");
    let file = File::create(&path).expect("cannot create a file");
    let (start, before) = (Instant::now(), work_of_children());
    let mut child = Command::new(&target.executable)
        .args(arguments)
        .current_dir(&target.folder)
        .env("CARGO_MANIFEST_DIR", &target.folder)
        .env(binaries::BIN, programs)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("cannot duplicate a descriptor"))
        .stderr(file)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", target.executable.display()));
    let status = child.wait_timeout(LIMIT).expect("cannot wait for a child");
    if status.is_none() {
        child.kill().expect("cannot kill a child");
        child.wait().expect("cannot wait for a child");
    }
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&fs::read(&path).expect("what it said")).into_owned();
    let tests = tests(&said);
    let problem = match status {
        None => Some(format!("it was killed after {LIMIT:?}")),
        Some(status) if !status.success() => Some(status.to_string()),
        Some(_) if tests.is_none() => Some("it did not say how many tests it ran".to_owned()),
        Some(_) => None,
    };
    Outcome {
        problem,
        failed: failed(&said),
        tests: tests.unwrap_or_default(),
        time,
        work: work_of_children().saturating_sub(before),
        said,
    }
}

/// How many tests passed or failed, as the last line says.
fn tests(said: &str) -> Option<usize> {
    // "test result: ok. 5 passed; 0 failed; 0 ignored; ..."
    let result = said
        .lines()
        .rfind(|line| line.starts_with("test result: "))?;
    let count = |what: &str| -> Option<usize> {
        let (before, _) = result.split_once(what)?;
        before.rsplit(' ').next()?.parse().ok()
    };
    Some(count(" passed;")? + count(" failed;")?)
}

/// The names of the tests that failed.
fn failed(said: &str) -> Vec<String> {
    let name = |line: &str| {
        let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
        Some(name.to_owned())
    };
    said.lines().filter_map(name).collect()
}

/// What processors have done for children that ended, and for their children.
fn work_of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may have blanks in it. Fields 16 and 17 are `cutime` and `cstime`.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split(' ')
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_secs(ticks) / TICKS
}
