//! What an older or newer version recorded still reads.

use serde_json::{Value, json};

use super::fixture::Fixture;
use super::place::{Place, Thing, planned};
use crate::messages;

/// Keys that nobody knows, keys that are missing.
pub fn records_of_other_versions_are_read<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("record");
    thing.create();
    let (inputs, outputs) = thing.record.clone().expect("it was made");
    let version = thing.version();

    let mut more = (inputs.clone(), outputs.clone());
    for half in [&mut more.0, &mut more.1] {
        half.insert("laterVersion".to_owned(), json!({"of": ["this", 1]}));
    }
    let mut fewer = (inputs.clone(), outputs.clone());
    fewer.0.retain(|name, _| F::LOCATED_BY.contains(&&**name));
    fewer.1.clear();

    let record = |half: &(_, _)| messages::resource(F::TYPE, &half.0, Some(&half.1));
    let no_outputs = messages::resource(F::TYPE, &fewer.0, None);
    for resource in [record(&more), record(&fewer), no_outputs] {
        let plan = messages::plan(F::TYPE, &thing.inputs, &[], Some(&resource));
        let plan = planned(at.send(&plan).expect("the record is read"));
        assert_eq!(plan.action, "none", "{resource}: {}", plan.whole);
        let updated = at.send(&messages::update(&resource, &thing.inputs));
        assert_eq!(
            updated.expect("the record is read")["outputProperties"],
            json!(outputs)
        );
        assert_eq!(thing.version(), version, "{resource}");
    }
    destroyed_by(&thing, &record(&fewer));
    thing.create();
    let (inputs, outputs) = thing.record.clone().expect("it was made");
    let mut more = messages::resource(F::TYPE, &inputs, Some(&outputs));
    more["inputProperties"]["laterVersion"] = json!(1);
    destroyed_by(&thing, &more);

    // A record without its owner could be anybody's.
    thing.create();
    let mut ownerless = inputs.clone();
    ownerless.remove("owner");
    let request = messages::destroy(&messages::resource(F::TYPE, &ownerless, None));
    let error = at.send(&request).expect_err("nobody knows whose it is");
    assert!(error.contains("`owner`"), "{error}");
    // One that is no record names the field.
    let mut broken = inputs;
    let named_by = F::LOCATED_BY[1];
    broken.insert(named_by.to_owned(), json!(7));
    let request = messages::destroy(&messages::resource(F::TYPE, &broken, None));
    let error = at.send(&request).expect_err("it is no record");
    assert!(error.contains("what was recorded"), "{error}");
    assert!(error.contains(&format!("/{named_by}")), "{error}");
    assert!(thing.is_there());
}

fn destroyed_by<F: Fixture>(thing: &Thing<'_, F>, resource: &Value) {
    let mut resource = resource.clone();
    resource["inputProperties"]["deletionPolicy"] = json!("delete");
    let answer = thing.at.send(&messages::destroy(&resource));
    assert_eq!(answer, Ok(json!({})), "{resource}");
    assert!(!thing.is_there());
}
