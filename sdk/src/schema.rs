//! Schemas and descriptions, from the Rust structs.

use nixops4_protocol::Object;
use nixops4_protocol::describe::KindDescription;
use nixops4_protocol::message::RequestName;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::inputs::Common;
use crate::kind::{DeletionPolicy, ResourceKind};
use crate::state_kind::StateKind;

/// The schema of a type, with nothing referred to.
pub(crate) fn of<T: JsonSchema>() -> Object {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = match settings.into_generator().into_root_schema_for::<T>().to_value() {
        Value::Object(schema) => schema,
        _ => Object::new(),
    };
    schema.remove("title");
    schema
}

/// The schema of a kind's inputs, those that every kind has included.
pub(crate) fn inputs<K: ResourceKind>() -> Object {
    let mut common = of::<Common>();
    let own = of::<K::Inputs>();
    if let Some(Value::Object(properties)) = common.get_mut("properties") {
        let description = properties["deletionPolicy"]["description"].take();
        let mut policy = of::<DeletionPolicy>();
        policy.insert("description".to_owned(), description);
        policy.insert("default".to_owned(), json!(K::DELETION_POLICY));
        properties.insert("deletionPolicy".to_owned(), Value::Object(policy));
        properties.extend(own.get("properties").and_then(Value::as_object).cloned().unwrap_or_default());
    }
    if let (Some(Value::Array(required)), Some(Value::Array(more))) =
        (common.get_mut("required"), own.get("required"))
    {
        required.extend(more.iter().cloned());
    }
    common.remove("description");
    common
}

/// Names of the inputs that have no default.
pub(crate) fn required_inputs<K: ResourceKind>() -> Vec<String> {
    let schema = inputs::<K>();
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    required.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// Names of a kind's outputs.
pub(crate) fn output_names<K: ResourceKind>() -> Vec<String> {
    let schema = of::<K::Outputs>();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// What a resource kind says of itself.
pub(crate) fn describe<K: ResourceKind>() -> KindDescription {
    let mut requests = vec![
        RequestName::Create,
        RequestName::Update,
        RequestName::Destroy,
        RequestName::Plan,
        RequestName::Read,
    ];
    if K::LISTS {
        requests.push(RequestName::List);
    }
    KindDescription {
        description: description::<K::Inputs>(),
        state: K::STATE,
        requests,
        inputs: inputs::<K>(),
        outputs: without_description(of::<K::Outputs>()),
    }
}

/// What a state kind says of itself.
pub(crate) fn describe_state<K: StateKind>() -> KindDescription {
    KindDescription {
        description: description::<K::Inputs>(),
        state: nixops4_protocol::describe::StateNeed::Never,
        requests: vec![
            RequestName::Create,
            RequestName::StateRead,
            RequestName::StateEvent,
            RequestName::Read,
        ],
        inputs: without_description(of::<K::Inputs>()),
        outputs: without_description(of::<K::Outputs>()),
    }
}

fn description<T: JsonSchema>() -> String {
    of::<T>().get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn without_description(mut schema: Object) -> Object {
    schema.remove("description");
    schema
}
