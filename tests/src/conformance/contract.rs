//! What a kind says of its inputs and outputs is true.

use std::process::Stdio;

use nixops4_protocol::describe::{Contract, Description, KindDescription, Reach};
use nixops4_protocol::message::RequestName;
use serde_json::{Value, json};

use super::fixture::Fixture;
use super::place::{Place, Thing};
use crate::messages::{self, Object};

fn described<F: Fixture>(at: &Place<F>) -> KindDescription {
    let mut command = at.command();
    let output = command.arg("describe").stdin(Stdio::null()).output();
    let output = output.expect("it runs").stdout;
    let mut description: Description = serde_json::from_slice(&output).expect("a description");
    description.kinds.remove(F::TYPE).expect("the kind")
}

fn only(inputs: &Object, is_kept: impl Fn(&str) -> bool) -> Object {
    let mut inputs = inputs.clone();
    inputs.retain(|name, _| is_kept(name));
    inputs
}

/// The inputs that say where a thing is, and whose.
fn place(contract: &Contract, inputs: &Object) -> Object {
    let deployment = contract.deployment_input.as_deref();
    only(inputs, |name| {
        Some(name) == deployment || contract.reach.inputs().iter().any(|it| it == name)
    })
}

/// What reaches a thing and what names it lead to it, without anything else that may be
/// left out; and its server is told from others.
pub fn what_reaches_and_names_it_leads_to_it<F: Fixture>() {
    let at = Place::<F>::new();
    let kind = described(&at);
    let contract = kind.contract.clone().expect("it is said");
    let (mut thing, mut other) = (at.thing("led"), at.thing("other"));
    let outputs = thing.create();
    let others = other.create();
    let is_required = |name: &str| {
        let required = kind.inputs["required"].as_array().expect("a list");
        required.iter().any(|it| it == name)
    };
    let leading = only(&thing.inputs, |name| {
        let naming = &contract.naming_inputs;
        let is_of_place = place(&contract, &thing.inputs).contains_key(name);
        // A relation may be none without what it allows.
        let is_needed = is_required(name) || !F::OWNED;
        is_of_place || is_needed || naming.iter().any(|it| it == name)
    });
    let read = |inputs: &Object| {
        let read = messages::read(F::TYPE, inputs, None);
        at.send(&read).expect("it can be read")
    };
    let (whole, led) = (read(&thing.inputs), read(&leading));
    assert_eq!(led["present"], true, "{leading:?}");
    assert_eq!(led["identity"], whole["identity"]);
    assert_ne!(led["identity"], read(&other.inputs)["identity"]);

    match &contract.reach {
        Reach::Server {
            server_id_output: Some(_),
            ..
        } => {
            let id = contract.server_id(&outputs);
            assert!(id.is_some_and(Value::is_string), "{outputs:?}");
            assert_eq!(id, contract.server_id(&others));
        }
        _ => assert_eq!(contract.server_id(&outputs), None),
    }
    // What keeps a value in a store holds a secret, and nothing else does.
    let properties = kind.inputs["properties"].as_object().expect("inputs");
    assert_eq!(contract.holds_secrets, properties.contains_key("store"));
    let named = contract.naming_inputs.iter().chain(contract.reach.inputs());
    let lifecycle = [
        &contract.deployment_input,
        &contract.protect_input,
        &contract.deletion_policy_input,
    ];
    for name in named.chain(lifecycle.into_iter().flatten()) {
        assert!(properties.contains_key(name), "{name} is no input");
    }
    at.fixture.vanish(&thing.name);
    at.fixture.vanish(&other.name);
}

/// Each listed thing can be destroyed by what the list says of it, and nothing else is.
pub fn what_is_listed_can_be_destroyed_by_that<F: Fixture>() {
    let at = Place::<F>::new();
    let kind = described(&at);
    let contract = kind.contract.clone().expect("it is said");
    if !kind.offers(RequestName::List) {
        return;
    }
    let (mut thing, mut other) = (at.thing("listed"), at.thing("left"));
    thing.create();
    other.create();
    let place = place(&contract, &thing.inputs);
    let listed = |thing: &Thing<'_, F>| -> Option<Value> {
        let read = messages::read(F::TYPE, &thing.inputs, None);
        let identity = at.send(&read).expect("it can be read")["identity"].take();
        let list = json!({ "nixops4-resources/listResourcesRequest":
            { "type": F::TYPE, "inputProperties": place } });
        let mut all = at.send(&list).expect("a list")["resources"].take();
        let all = all.as_array_mut().expect("resources");
        let found = all.iter_mut().find(|found| found["identity"] == identity)?;
        Some(found.take())
    };
    let mut found = listed(&thing).expect("it is listed");
    let names = messages::object(found["inputs"].take());
    assert!(!names.is_empty(), "{found}");
    for (name, value) in &names {
        assert!(contract.naming_inputs.contains(name), "{name}");
        if let Some(wanted) = thing.inputs.get(name) {
            assert_eq!(value, wanted, "{name}");
        }
    }
    let mut inputs = place.clone();
    inputs.extend(names);
    inputs.insert("deletionPolicy".to_owned(), json!("delete"));
    let record = messages::resource(F::TYPE, &inputs, None);
    at.send(&messages::destroy(&record)).expect("it goes");
    assert!(!thing.is_there() && other.is_there());
    assert!(listed(&thing).is_none() && listed(&other).is_some());
    at.fixture.vanish(&other.name);
    at.assert_only(&[]);
}

/// An expression is told how an input is called now, and a record is read all the same.
pub fn former_names_are_told_and_read<F: Fixture>() {
    let at = Place::<F>::new();
    let contract = described(&at).contract.expect("it is said");
    let mut thing = at.thing("former");
    thing.create();
    let version = thing.version();
    let (mut inputs, mut outputs) = thing.record.clone().expect("it was made");
    for (old, new) in &contract.former_inputs {
        let mut wanted = thing.inputs.clone();
        let value = wanted.remove(new).unwrap_or_else(|| json!(["x"]));
        wanted.insert(old.clone(), value);
        for request in [
            messages::create(F::TYPE, &wanted, true),
            messages::plan(F::TYPE, &wanted, &[], None),
            messages::read(F::TYPE, &wanted, None),
        ] {
            let error = at.send(&request).expect_err("it is called otherwise now");
            let begins = format!("/{old}: this input is called {new} now");
            assert!(error.starts_with(&begins), "{error}");
            assert!(error.contains("\nhint: "), "{error}");
        }
        if let Some(value) = inputs.remove(new) {
            inputs.insert(old.clone(), value);
        }
    }
    for (old, new) in &contract.former_outputs {
        let value = outputs.remove(new).expect("an output");
        outputs.insert(old.clone(), value);
    }
    thing.record = Some((inputs, outputs));
    thing.assert_settled();
    thing.update();
    assert_eq!(thing.version(), version, "something was written");
    thing.destroy(Some("delete"));
    at.assert_only(&[]);
}
