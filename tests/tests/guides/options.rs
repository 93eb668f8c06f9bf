//! `docs/reference/postgresql-options.md`: each input that it names is there.

use serde_json::Value;

use crate::document::{Document, root};

#[test]
fn what_it_names_is_there() {
    let document = Document::read("docs/reference/postgresql-options.md");
    document.check_links();
    let schemas = std::fs::read_to_string(root().join("schemas/postgresql.json")).unwrap();
    let schemas: Value = serde_json::from_str(&schemas).unwrap();
    let mut named = 0;
    for row in document.text.lines().filter(|line| line.starts_with("| `")) {
        let answer = row.split('|').nth(2).expect("a second column");
        assert!(!answer.trim().is_empty(), "{row}");
        for name in answer.split('`').skip(1).step_by(2) {
            // `role.name`, `connection.tls.mode`; `{ ... }` is an example.
            let (kind, path) = match name.split_once('.') {
                Some(("connection", _)) => ("role", name),
                Some((kind, path)) => (kind, path),
                None => continue,
            };
            let inputs = &schemas["kinds"][format!("postgresql_{kind}")]["inputs"];
            let input = path
                .split('.')
                .fold(inputs, |object, name| &object["properties"][name]);
            assert!(input.is_object(), "{name} in {row}");
            named += 1;
        }
    }
    assert!(named > 50, "{named}");
}
