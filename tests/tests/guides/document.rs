//! A page in Markdown, as far as a test has to read it. It must not know what
//! the page is about.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A page of this project.
pub(crate) struct Document {
    /// From the project's root.
    path: &'static str,
    pub(crate) text: String,
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    /// The comment in the line before it, or nothing.
    pub(crate) note: String,
    pub(crate) body: String,
}

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

impl Document {
    pub(crate) fn read(path: &'static str) -> Self {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        Self { path, text }
    }

    /// Its blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut found = Vec::new();
        let mut before = "";
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
                let note = before
                    .strip_prefix("<!-- ")
                    .and_then(|rest| rest.strip_suffix(" -->"));
                found.push(Block {
                    language: language.to_owned(),
                    note: note.unwrap_or_default().to_owned(),
                    body: body.iter().flat_map(|line| [line, "\n"]).collect(),
                });
            }
            before = line;
        }
        found
    }

    /// Whether its links lead somewhere.
    pub(crate) fn check_links(&self) {
        let path = root().join(self.path);
        let folder = path.parent().unwrap();
        let links = self.text.split("](").skip(1);
        for link in links.filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") {
                assert!(folder.join(link).exists(), "{} links to {link}", self.path);
            }
        }
    }

    /// Whether a block that says where it is from is the file that it names.
    pub(crate) fn check_origin(&self, block: &Block) {
        if let Some(file) = block.note.strip_prefix("from: ") {
            let example = std::fs::read_to_string(root().join(file)).unwrap();
            assert_eq!(block.body, example, "{} and {file}", self.path);
        }
    }

    /// Whether what its table of errors quotes is said by the code in these folders.
    pub(crate) fn check_errors(&self, folders: &[&str]) {
        let mut code = String::new();
        for folder in folders {
            read_code(&root().join(folder), &mut code);
        }
        // A text that goes on in the next line.
        let code: String = code
            .split("\\\n")
            .map(str::trim_start)
            .collect::<Vec<_>>()
            .concat();
        let mut parts = self.text.split("\n| it says |");
        let table = parts.nth(1).expect("the table");
        let quoted: HashSet<_> = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('`').nth(1).expect("a quotation"))
            .collect();
        assert!(quoted.len() > 6, "{quoted:?}");
        for text in quoted {
            assert!(code.contains(text), "nothing says: {text}");
        }
    }
}

fn read_code(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_code(&path, code);
        } else {
            code.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}
