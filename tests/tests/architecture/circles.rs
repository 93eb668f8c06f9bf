//! The files of a crate use one another one way: no file uses something that, by others
//! or at once, uses it again.
//!
//! It goes by the paths that are written in a file: `crate::`, `super::`, and the names of
//! the modules below it. A folder and what is in it may know each other, as a `mod.rs`
//! names its parts, and they what it says of all of them. Tests are free.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// The crates that have no circle.
const CRATES: [&str; 4] = ["cli", "engine", "file-trust", "providers/state"];

/// What stands before a module that is only there for tests.
const FOR_TESTS: &str = "#[cfg(test)]\nmod ";

/// The sources of a crate, each with its path below `src`.
fn sources(of: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of);
    let root = root.join("src");
    let files = walkdir::WalkDir::new(&root).into_iter();
    let files = files.map(|file| file.unwrap().into_path());
    let sources = files.filter(|file| file.extension().is_some_and(|it| it == "rs"));
    let named = sources.map(|file| {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        (name, std::fs::read_to_string(&file).unwrap())
    });
    named.collect()
}

/// What the compiler sees outside of tests.
fn code(text: &str) -> String {
    let tests = format!("{FOR_TESTS}tests {{");
    let text = text.split(&tests).next().unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

fn module(file: &str) -> Module {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("mod").unwrap_or(path);
    let names = path.split('/').filter(|name| !name.is_empty());
    match names.map(str::to_owned).collect::<Module>() {
        root if root == ["lib"] || root == ["main"] => Module::new(),
        module => module,
    }
}

/// The files that are only there for tests, and what is below them.
fn for_tests(sources: &BTreeMap<String, String>) -> Vec<Module> {
    let declared = sources.iter().flat_map(|(file, text)| {
        let names = text.split(FOR_TESTS).skip(1);
        let names = names.filter_map(|rest| rest.split([';', ' ']).next());
        names.map(|name| {
            let mut module = module(file);
            module.push(name.to_owned());
            module
        })
    });
    declared.collect()
}

fn is_in_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The paths that `text` begins with, behind what stands before them: several where
/// braces follow. Gives back what comes after.
fn paths<'a>(text: &'a str, before: &Module, found: &mut Vec<Module>) -> &'a str {
    let mut rest = text.trim_start();
    let mut path = before.clone();
    loop {
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                rest = paths(rest, &path, found).trim_start();
                let end = rest.find([',', '}']).unwrap_or(rest.len());
                rest = rest[end..].trim_start_matches(',').trim_start();
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest.find(|c| !is_in_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.is_empty() {
            path.push(name.to_owned());
        }
        match after.trim_start().strip_prefix("::") {
            Some(after) if !name.is_empty() => rest = after.trim_start(),
            _ => {
                found.push(path);
                return after;
            }
        }
    }
}

/// The paths in a text that begin with one of these words.
fn all_paths(text: &str, words: &BTreeSet<&str>) -> Vec<Module> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_in_name(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        if word.is_empty() {
            before = first;
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let is_path = words.contains(word) && rest[end..].starts_with("::") && before != ':';
        rest = if is_path {
            paths(rest, &Module::new(), &mut found)
        } else {
            &rest[end..]
        };
        before = 'a';
    }
    found
}

/// Which file uses which.
fn graph(sources: &BTreeMap<String, String>) -> Graph {
    let for_tests = for_tests(sources);
    let files: BTreeMap<Module, String> = sources
        .iter()
        .filter(|(file, _)| *file != "main.rs")
        .map(|(file, text)| (module(file), code(text)))
        .filter(|(file, _)| !for_tests.iter().any(|tests| file.starts_with(tests)))
        .collect();
    let mut graph = Graph::new();
    for (file, text) in &files {
        let parts = files.keys().filter(|it| it.len() == file.len() + 1);
        let parts = parts.filter(|it| it.starts_with(file));
        let parts: BTreeSet<&str> = parts.filter_map(|it| Some(it.last()?.as_str())).collect();
        let words = parts.iter().copied().chain(["crate", "super"]).collect();
        let used = graph.entry(file.clone()).or_default();
        for path in all_paths(text, &words) {
            let mut names = path.as_slice();
            let mut full = match names[0].as_str() {
                "crate" => Module::new(),
                _ => file.clone(),
            };
            if names[0] == "crate" {
                names = &names[1..];
            }
            while names.first().is_some_and(|name| name == "super") {
                full.pop();
                names = &names[1..];
            }
            full.extend_from_slice(names);
            while !full.is_empty() && !files.contains_key(&full) {
                full.pop();
            }
            if !file.starts_with(&full) {
                used.insert(full);
            }
        }
    }
    graph
}

/// What is left of a graph if everything goes that is in no circle.
fn circles(mut graph: Graph) -> Vec<String> {
    loop {
        let before = graph.len();
        let there: BTreeSet<Module> = graph.keys().cloned().collect();
        for used in graph.values_mut() {
            used.retain(|it| there.contains(it));
        }
        let used: BTreeSet<Module> = graph.values().flatten().cloned().collect();
        graph.retain(|file, uses| !uses.is_empty() && used.contains(file));
        if graph.len() == before {
            break;
        }
    }
    let lines = graph.iter().map(|(file, used)| {
        let used: Vec<String> = used.iter().map(|it| it.join("::")).collect();
        format!("{} uses {}", file.join("::"), used.join(", "))
    });
    lines.collect()
}

#[test]
fn are_in_no_crate() {
    for name in CRATES {
        let sources = sources(name);
        assert!(!sources.is_empty(), "{name}");
        let graph = graph(&sources);
        let edges: usize = graph.values().map(BTreeSet::len).sum();
        assert!(edges + 2 >= graph.len(), "{name}: {graph:?}");
        assert_eq!(circles(graph), [""; 0], "{name}");
    }
}

#[test]
fn one_is_noticed() {
    let of = |files: &[(&str, &str)]| {
        let files = files.iter();
        let files = files.map(|&(file, text)| (file.to_owned(), text.to_owned()));
        circles(graph(&files.collect()))
    };
    let circle = of(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;"),
        ("a.rs", "use crate::{\n    b::{self, X},\n    x,\n};"),
        ("b/mod.rs", "mod inner;\nfn f() { inner::g() }"),
        (
            "b/inner.rs",
            "use super::Y;\nfn g() -> super::super::c::Z {}",
        ),
        ("c.rs", "fn f() -> crate::a::X {} // of d"),
        ("d.rs", "use crate::a;"),
    ]);
    assert_eq!(
        circle,
        ["a uses b", "b uses b::inner", "b::inner uses c", "c uses a"]
    );
    let none = of(&[
        ("lib.rs", "use a::X;"),
        (
            "a.rs",
            "// crate::b::X\nuse crate::c;\n#[cfg(test)]\nmod tests { use crate::b; }",
        ),
        ("b.rs", "use crate::a;"),
        ("c/mod.rs", "mod part;\nuse part::P;"),
        ("c/part.rs", "use super::Q;\n#[cfg(test)]\nmod trial;"),
        ("c/part/trial.rs", "use crate::a;"),
    ]);
    assert_eq!(none, [""; 0]);
}
