//! Inputs that are wrong, missing, unknown or null.

use serde_json::{Value, json};

use super::fixture::Fixture;
use super::lifecycle::declared;
use super::place::{OWNER, Place, planned};
use crate::messages;

/// Each error names the input and says what is wrong; the process goes on.
pub fn bad_inputs_are_named<F: Fixture>() {
    let at = Place::<F>::new();
    let good = at.thing("good");
    let long = "x".repeat(65);
    let common = [
        ("/owner", Value::Null, "missing field"),
        ("/owner", json!(""), "can't be an owner"),
        ("/owner", json!("two words"), "letters, digits"),
        ("/owner", json!(long), "1 to 64"),
        ("/owner", json!(1), "expected a text"),
        ("/adopt", json!("yes"), "expected true or false"),
        ("/deletionPolicy", json!("keep"), "\"retain\", \"delete\""),
    ];
    let common = common
        .into_iter()
        .map(|(pointer, value, words)| (vec![(pointer, value)], pointer, vec![words]));
    let own = at.fixture.bad().into_iter();
    let own = own.map(|bad| (bad.patch, bad.pointer, bad.words));
    let mut requests = Vec::new();
    let mut all = Vec::new();
    for (patch, pointer, words) in common.chain(own) {
        let mut bad = at.thing("bad");
        for (place, value) in patch {
            bad.set(place, value);
        }
        requests.push(bad.create_request());
        requests.push(messages::plan(F::TYPE, &bad.inputs, &[], None));
        all.push((bad, pointer, words));
    }
    requests.push(messages::read(F::TYPE, &good.inputs, None));
    let answers = at.send_all(&requests);
    let (answers, [last]) = answers.as_chunks::<2>() else {
        panic!("one request is not of a pair");
    };
    for ((bad, pointer, words), answers) in all.iter().zip(answers) {
        let begins = format!("{pointer}: ");
        for answer in answers {
            let error = match answer {
                Err(error) => error,
                Ok(answer) => panic!("{pointer} was not refused: {answer}"),
            };
            assert!(error.starts_with(&begins), "{pointer}: {error}");
            for words in words {
                assert!(error.contains(words), "{words:?} is not in {error}");
            }
        }
        assert!(!bad.is_there());
    }
    last.as_ref().expect("it goes on");
    at.assert_only(&[]);
}

/// An input that nobody knows is an error with its name.
pub fn unknown_fields_are_refused<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("unknown");
    for name in ["nonsense", "Name", "a/b~c", ""] {
        let mut odd = thing.clone();
        odd.inputs.insert(name.to_owned(), json!(1));
        let error = odd.try_create().expect_err("nobody knows it");
        let token = name.replace('~', "~0").replace('/', "~1");
        assert!(error.starts_with(&format!("/{token}: ")), "{error}");
        assert!(
            error.contains(&format!("unknown field \"{name}\"")),
            "{error}"
        );
        assert!(error.contains("\nhint: "), "what there is: {error}");
    }
    assert!(!thing.is_there());
    thing.create();
    thing.inputs.insert("nonsense".to_owned(), json!(1));
    let error = thing.try_update().expect_err("nobody knows it");
    assert!(error.starts_with("/nonsense: "), "{error}");
}

/// An option of Nix that is not set arrives as null.
pub fn nulls_mean_absent<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("null");
    let outputs = thing.create();
    let version = thing.version();
    let names = declared(&at, "inputs");
    let mut nulls = thing.clone();
    for name in names {
        nulls.inputs.entry(name).or_insert(Value::Null);
    }
    assert!(
        nulls.inputs.len() > thing.inputs.len(),
        "no input is optional"
    );
    nulls.assert_settled();
    assert_eq!(nulls.update(), outputs);
    assert_eq!(nulls.create(), outputs);
    assert_eq!(thing.version(), version);
    // And so they do in what was recorded.
    nulls.destroy(Some("delete"));
    nulls.create();
    nulls.inputs.clone_from(&thing.inputs);
    nulls.assert_settled();
}

/// What is not known before other resources are applied is shown as that.
pub fn unknown_inputs_are_not_guessed<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("later");
    for made in [false, true] {
        if made {
            thing.create();
        }
        let names = declared(&at, "inputs");
        let resource = thing.resource();
        let without = |name: &String| {
            let mut inputs = thing.inputs.clone();
            inputs.remove(name);
            messages::plan(F::TYPE, &inputs, &[format!("/{name}")], resource.as_ref())
        };
        let requests: Vec<_> = names.iter().map(without).collect();
        for (name, answer) in names.iter().zip(at.send_all(&requests)) {
            let whole = answer.unwrap_or_else(|error| panic!("{name} is unknown: {error}"));
            let plan = planned(whole);
            let pointer = format!("/{name}");
            assert!(plan.pointers.contains(&pointer), "{}", plan.whole);
            let changes = plan.whole["changes"].as_array().expect("changes");
            let shown = changes.iter().find(|change| change["path"] == pointer);
            assert_eq!(shown.expect("it is shown")["after"], "unknown");
            let actions: &[_] = if made { &["update"] } else { &["create"] };
            assert!(actions.contains(&&*plan.action), "{name}: {}", plan.whole);
        }
    }
    // All of them at once: nothing is left to go by.
    let unknown: Vec<_> = declared(&at, "inputs")
        .iter()
        .map(|name| format!("/{name}"))
        .collect();
    let request = messages::plan(F::TYPE, &messages::Object::new(), &unknown, None);
    let plan = planned(at.send(&request).expect("a plan"));
    assert_eq!(plan.whole["identity"], Value::Null);
    assert_eq!(plan.action, "create");
    assert_eq!(thing.inputs["owner"], OWNER);
}
