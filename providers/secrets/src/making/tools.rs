//! Other people's programs, to judge what we make.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of its own, removed afterwards.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that its owner alone can read.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.path(name);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }

    /// Runs a program, with this on its stdin, in the folder.
    pub(crate) fn run(&self, program: &str, arguments: &[&str], stdin: &str) -> Output {
        self.run_with(program.as_ref(), arguments, stdin, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn run_with(
        &self,
        program: &Path,
        arguments: &[&str],
        stdin: &str,
        environment: &[(&str, &str)],
    ) -> Output {
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} is needed here: {error}", program.display()));
        let mut pipe = child.stdin.take().unwrap();
        // A program that doesn't read its stdin may have closed it.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        child.wait_with_output().unwrap()
    }

    /// The stdout of a program that succeeds.
    pub(crate) fn succeed(&self, program: &str, arguments: &[&str], stdin: &str) -> String {
        let output = self.run(program, arguments, stdin);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// `sops`; none where it can't be had, which is said, and is a failure where it has
/// to be there.
pub(crate) fn sops() -> Option<PathBuf> {
    nixops4_resources_tests::judges::find("sops")
}
