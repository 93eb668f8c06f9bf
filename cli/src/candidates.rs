//! The members and outputs that are offered to a shell, as they are remembered.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::OnceLock;

use clap_complete::{ArgValueCompleter, CompletionCandidate};
use nixops4_resources_engine::{Names, memory_of_this_user};

/// Which shell asks.
static ASKED_BY: OnceLock<String> = OnceLock::new();

/// From now on it is this shell that asks.
pub(crate) fn asked_by(shell: &str) {
    let _ = ASKED_BY.set(shell.to_owned());
}

/// Completes members, and what they are in.
pub(crate) fn members() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let members = remembered().members().into_iter();
        offered(typed, members.map(|path| path.to_string()))
    })
}

/// Completes members and their outputs.
pub(crate) fn outputs() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let names = remembered();
        let members = names.members().into_iter().map(|path| path.to_string());
        let outputs = names.outputs().map(|output| output.to_string());
        let mut all: Vec<String> = members.chain(outputs).collect();
        all.sort();
        offered(typed, all.into_iter())
    })
}

fn offered(typed: &OsStr, names: impl Iterator<Item = String>) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let names = names.filter(|name| name.starts_with(typed));
    let is_bash = ASKED_BY.get().is_some_and(|shell| shell == "bash");
    names
        .map(|name| if is_bash { escaped(&name) } else { name })
        .map(CompletionCandidate::new)
        .collect()
}

/// A name as bash takes it from a line: it puts there what it is given, as it is, and who
/// presses Enter runs that.
fn escaped(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    let mut escaped = String::new();
    for c in name.chars() {
        if !is_plain(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The names of the deployment that the line is about.
fn remembered() -> Names {
    let words: Vec<OsString> = std::env::args_os().skip_while(|it| it != "--").collect();
    let memory = memory_of_this_user();
    memory.map_or_else(Names::default, |memory| {
        Names::recall(&memory, named_file(&words))
    })
}

/// What `--file` says on a line.
fn named_file(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--file" {
            return words.next().map(PathBuf::from);
        }
        if let Some(file) = word.to_str().and_then(|it| it.strip_prefix("--file=")) {
            return Some(PathBuf::from(file));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{escaped, named_file};
    use crate::shell;

    #[test]
    fn bash_reads_what_is_offered_as_one_word() {
        for name in [
            "web.db",
            "zone.\"example.org\"",
            "a'",
            "\"$(reboot)\"",
            "\"a b;c\"",
        ] {
            let words = shell::split(&escaped(name)).unwrap();
            assert_eq!(words, [name]);
        }
    }

    #[test]
    fn the_line_says_which_deployment() {
        let words =
            |line: &str| -> Vec<std::ffi::OsString> { line.split(' ').map(Into::into).collect() };
        for (line, expected) in [
            ("x plan --target", None),
            ("x --file a.nix plan", Some("a.nix")),
            ("x plan --file=b.nix", Some("b.nix")),
            ("x plan --file", None),
        ] {
            let found = named_file(&words(line));
            assert_eq!(found.as_deref().and_then(|it| it.to_str()), expected);
        }
    }
}
