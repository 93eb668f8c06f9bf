//! The driver expression, run by the Nix that is installed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nixops4_protocol::Object;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Evaluation, Evaluator, Known, Look, Part};
use crate::member::{MemberPath, OutputRef};

struct Root {
    directory: TempDir,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Root {
    fn new(members: &str) -> Self {
        Self::file(&format!(
            r#"let
  r = inputs: {{ resource = {{
    provider = {{ type = "stdio"; executable = "x"; args = [ "y" ]; }};
    type = "t"; inherit inputs; outputsSkeleton = {{ out = {{ }}; }}; state = [ "keeper" ];
  }}; }};
in {{
  _type = "nixops4Component";
  rootFunction = {{ outputValues, resourceProviderSystem }}: let o = outputValues; in {{
    members = {members};
  }};
}}"#
        ))
    }

    fn file(text: &str) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("nixops4.nix"), text).unwrap();
        Self {
            directory,
            notes: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("nixops4.nix")
    }

    fn evaluate(&self, look: Look, known: &[(&str, Value)]) -> Result<Evaluation, String> {
        let mut table = Known::default();
        for (name, outputs) in known {
            let path = MemberPath(name.split('.').map(str::to_owned).collect());
            table.add(&path, outputs.as_object().unwrap().clone(), true);
        }
        let notes = Arc::clone(&self.notes);
        let evaluator = Evaluator::new(
            Some(self.path()),
            false,
            Arc::new(move |line: &str| notes.lock().unwrap().push(line.to_owned())),
        );
        tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(evaluator.evaluate(look, &table))
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn all(&self, known: &[(&str, Value)]) -> Evaluation {
        self.evaluate(Look::All, known).unwrap()
    }

    #[track_caller]
    fn fails(&self, known: &[(&str, Value)]) -> String {
        self.evaluate(Look::All, known).unwrap_err()
    }
}

fn inputs<'a>(evaluation: &'a Evaluation, path: &[&str]) -> &'a Object {
    &evaluation.members[&MemberPath(path.iter().map(ToString::to_string).collect())].inputs
}

fn out(name: &str) -> OutputRef {
    OutputRef {
        path: MemberPath(vec![name.to_owned()]),
        output: "out".to_owned(),
    }
}

#[test]
fn members_are_found_in_all_depths() {
    let root = Root::new(
        r#"{ a = r { x = [ 1 null "s" 1.5 true ]; }; in1.members.in2.members.b = r { }; e.members = { }; }"#,
    );
    let evaluation = root.all(&[]);
    assert!(evaluation.structures.is_empty());
    assert_eq!(
        Value::Object(inputs(&evaluation, &["a"]).clone()),
        json!({"x": [1, null, "s", 1.5, true]})
    );
    let member = &evaluation.members[&MemberPath(["in1", "in2", "b"].map(str::to_owned).to_vec())];
    assert_eq!(member.executable, "x");
    assert_eq!(member.args, ["y"]);
    assert_eq!(member.kind, "t");
    assert_eq!(member.state, Some(MemberPath(vec!["keeper".to_owned()])));
}

#[test]
fn unknown_places_are_named_as_finely_as_possible() {
    let root = Root::new(
        r#"{ a = r { }; b = r {
             whole = o.a.out; text = "x${o.a.out}"; deep.set.here = o.a.out; deep.set.there = 1;
             list = [ 0 { y = o.a.out; z = 1; } ]; "odd/~name" = o.a.out; known = 2; }; }"#,
    );
    let evaluation = root.all(&[]);
    let b = &evaluation.members[&MemberPath(vec!["b".to_owned()])];
    let pointers: Vec<&str> = b.unknown.keys().map(String::as_str).collect();
    assert_eq!(
        pointers,
        [
            "/deep/set/here",
            "/list/1/y",
            "/odd~1~0name",
            "/text",
            "/whole"
        ]
    );
    assert!(
        b.unknown
            .values()
            .all(|waits| *waits == BTreeSet::from([out("a")]))
    );
    assert_eq!(b.inputs["deep"]["set"]["there"], 1);
    assert_eq!(b.inputs["list"][1], json!({"y": null, "z": 1}));

    let evaluation = root.all(&[("a", json!({"out": "now"}))]);
    let b = &evaluation.members[&MemberPath(vec!["b".to_owned()])];
    assert!(b.is_known());
    assert_eq!(b.inputs["text"], "xnow");
}

#[test]
fn inputs_that_are_unknown_as_a_whole_are() {
    let evaluation = Root::new("{ a = r { }; b = r o.a.out; }").all(&[]);
    let b = &evaluation.members[&MemberPath(vec!["b".to_owned()])];
    assert_eq!(b.unknown.keys().collect::<Vec<_>>(), [""]);
    assert!(b.inputs.is_empty());
}

#[test]
fn outputs_of_nested_members_are_nested() {
    let root = Root::new("{ in1.members.a = r { }; b = r { x = o.in1.a.out; }; }");
    let evaluation = root.all(&[("in1.a", json!({"out": 5}))]);
    assert_eq!(inputs(&evaluation, &["b"])["x"], 5);
}

#[test]
fn what_decides_about_members_is_named() {
    let root = Root::new(
        r#"{ a = r { };
             names.members = builtins.listToAttrs [ { name = o.a.out; value = r { }; } ];
             kind = if o.a.out == "r" then r { } else { members = { }; };
             typed.resource = (r { }).resource // { type = o.a.out; }; }"#,
    );
    let evaluation = root.all(&[]);
    let found: Vec<(String, Part)> = evaluation
        .structures
        .iter()
        .map(|structure| (structure.path.to_string(), structure.part))
        .collect();
    assert_eq!(
        found,
        [
            ("kind".to_owned(), Part::Member),
            ("names".to_owned(), Part::Members),
            ("typed".to_owned(), Part::Resource),
        ]
    );
    assert!(
        evaluation
            .structures
            .iter()
            .all(|structure| structure.waits_for == BTreeSet::from([out("a")]))
    );
    let evaluation = root.all(&[("a", json!({"out": "r"}))]);
    assert!(evaluation.structures.is_empty());
    assert_eq!(evaluation.members.len(), 4);
}

#[test]
fn states_are_looked_at_first() {
    let root = Root::new(
        r#"{ keeper.resource = (r { file = "f"; }).resource // { state = null; }; a = r { x = 1; }; }"#,
    );
    let evaluation = root.evaluate(Look::States, &[]).unwrap();
    assert_eq!(inputs(&evaluation, &["keeper"])["file"], "f");
    assert!(inputs(&evaluation, &["a"]).is_empty());
}

#[test]
fn an_authors_throw_is_told_at_once() {
    let error = Root::new(
        r#"{ a = r { };
    b = r { y = o.a.out; x = throw "mine"; }; }"#,
    )
    .fails(&[]);
    assert!(error.contains("nixops4.nix:10:26: mine"), "{error}");
    assert!(error.contains("the inputs of the member 'b'"), "{error}");
    assert!(!error.contains("driver.nix"), "{error}");
}

#[test]
fn a_missing_attribute_is_told_with_its_place() {
    let error = Root::new("{ a = r { }; b = r { x = o.c.out; }; }").fails(&[]);
    assert!(error.contains("nixops4.nix:9:"), "{error}");
    assert!(error.contains("attribute 'c' missing"), "{error}");
}

#[test]
fn an_output_that_the_type_has_and_nobody_gave_is_an_error() {
    let error = Root::new("{ a = r { }; b = r { x = o.a.out; }; }").fails(&[("a", json!({}))]);
    assert!(
        error.contains("the provider of 'a' did not give the output 'out'"),
        "{error}"
    );
}

#[test]
fn what_is_no_deployment_is_told() {
    for (text, says) in [
        ("1", "evaluates to a int"),
        ("{ ... }: { }", "evaluates to a function"),
        ("{ }", "_type is not \"nixops4Component\""),
        (r#"{ _type = "nixops4Component"; }"#, "has no rootFunction"),
        ("{ a = ", "syntax error"),
        (
            r#"{ _type = "nixops4Component"; rootFunction = _: { }; }"#,
            "the root has neither `resource` nor `members`",
        ),
    ] {
        let error = Root::file(text).fails(&[]);
        assert!(error.contains(says), "{error}");
    }
    for (members, says) in [
        (r#"{ a = "x"; }"#, "the member 'a' is a string"),
        (
            "{ a = { }; }",
            "the member 'a' has neither `resource` nor `members`",
        ),
        ("{ a = r (x: x); }", "function"),
        (
            "{ a = r [ 1 ]; }",
            "the inputs of the member 'a' are a list",
        ),
        (
            "{ a.resource = (r { }).resource // { state = \"keeper\"; }; }",
            "state of the member 'a'",
        ),
        (
            "{ a.resource = (r { }).resource // { state = [ ]; }; }",
            "state of the member 'a'",
        ),
        (
            "{ a.resource = (r { }).resource // { provider = \"x\"; }; }",
            "provider of the member 'a'",
        ),
        (
            "{ a.resource = (r { }).resource // { type = 1; }; }",
            "type of the member 'a' is a int",
        ),
    ] {
        let error = Root::new(members).fails(&[]);
        assert!(error.contains(says), "{members}: {error}");
    }
}

#[test]
fn an_authors_trace_is_passed_on() {
    let root = Root::new(r#"{ a = r { x = builtins.trace "look here" 1; }; }"#);
    root.all(&[]);
    let notes = root.notes.lock().unwrap();
    assert!(
        notes.iter().any(|line| line.contains("look here")),
        "{notes:?}"
    );
    assert!(
        notes.iter().all(|line| !line.contains("nixbld")),
        "{notes:?}"
    );
}

#[test]
fn store_paths_are_listed() {
    let evaluation = Root::new(
        r#"{ a = r { file = ./nixops4.nix; text = "see ${./nixops4.nix}"; };
             b.resource = (r { }).resource // { provider = { type = "stdio"; executable = "${./nixops4.nix}"; }; }; }"#,
    )
    .all(&[]);
    let a = &evaluation.members[&MemberPath(vec!["a".to_owned()])];
    assert_eq!(a.input_paths.len(), 1);
    assert_eq!(a.inputs["file"], a.input_paths[0].as_str());
    assert!(a.provider_paths.is_empty());
    let b = &evaluation.members[&MemberPath(vec!["b".to_owned()])];
    assert_eq!(b.provider_paths, std::slice::from_ref(&b.executable));
    assert!(b.args.is_empty());
}

#[test]
fn outputs_reach_nix_as_they_are() {
    let odd = json!({"a\"b$${x}\n": ["\u{1f600}", -1, 0.5, null, true, {}]});
    let root = Root::new("{ a = r { }; b = r { x = o.a.out; }; }");
    let evaluation = root.all(&[("a", json!({"out": odd}))]);
    assert_eq!(inputs(&evaluation, &["b"])["x"], odd);
}
