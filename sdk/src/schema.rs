//! Schemas and descriptions, from the Rust structs.

use std::collections::BTreeMap;

use nixops4_protocol::Object;
use nixops4_protocol::describe::KindDescription;
use nixops4_protocol::message::RequestName;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::inputs::Common;
use crate::kind::{DeletionPolicy, ResourceKind};
use crate::secret::SecretRef;
use crate::state_kind::StateKind;
use crate::typed::escape;

/// The schema of a type, with nothing referred to.
pub(crate) fn of<T: JsonSchema>() -> Object {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = match settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
    {
        Value::Object(schema) => schema,
        _ => Object::new(),
    };
    schema.remove("title");
    schema
}

/// The schema of a kind's inputs, those that every kind has included.
pub(crate) fn inputs<K: ResourceKind>() -> Object {
    let mut common = of::<Common>();
    let mut own = of::<K::Inputs>();
    if let Some(Value::Object(properties)) = common.get_mut("properties") {
        if let Some(policy) = properties.get_mut("deletionPolicy") {
            let mut schema = of::<DeletionPolicy>();
            schema.insert("description".to_owned(), policy["description"].take());
            schema.insert("default".to_owned(), json!(K::DELETION_POLICY));
            *policy = Value::Object(schema);
        }
        if let Some(Value::Object(own)) = own.remove("properties") {
            properties.extend(own);
        }
    }
    if let (Some(Value::Array(required)), Some(Value::Array(more))) =
        (common.get_mut("required"), own.remove("required"))
    {
        required.extend(more);
    }
    common.remove("description");
    own.remove("description");
    // What the kind says beside its fields, such as `dependentRequired`.
    common.extend(own);
    common
}

/// The names of a kind's inputs and outputs, for planning: found once for a
/// process, because making a schema takes a while.
#[derive(Debug)]
pub(crate) struct Shape {
    inputs: BTreeMap<String, Unset>,
    /// Names of the outputs.
    pub(crate) outputs: Vec<String>,
    /// The schemas of the inputs, and the fields of a reference to a secret.
    schemas: Value,
    reference: Value,
}

/// What it means that an input is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unset {
    Error,
    Default,
    Null,
}

impl Shape {
    pub(crate) fn of<K: ResourceKind>() -> Self {
        let schema = inputs::<K>();
        let required: Vec<_> = strings(schema.get("required")).collect();
        let inputs = fields(&schema)
            .map(|(name, field)| {
                let default = field.get("default").is_some_and(|value| !value.is_null());
                let unset = match (required.contains(&name.as_str()), default) {
                    (true, _) => Unset::Error,
                    (false, true) => Unset::Default,
                    (false, false) => Unset::Null,
                };
                (name.clone(), unset)
            })
            .collect();
        let outputs = fields(&of::<K::Outputs>())
            .map(|(name, _)| name.clone())
            .collect();
        let properties = |schema: &Object| schema.get("properties").cloned();
        Self {
            inputs,
            outputs,
            schemas: properties(&schema).unwrap_or_default(),
            reference: properties(&of::<SecretRef>()).unwrap_or_default(),
        }
    }

    /// Says so if something else stands in an input where a reference to a secret
    /// belongs: it may be the secret itself.
    pub(crate) fn check_references(&self, name: &str, value: &Value) -> Result<()> {
        let pointer = format!("/{}", escape(name));
        self.check_below(&self.schemas[name], value, &pointer)
    }

    fn check_below(&self, schema: &Value, value: &Value, pointer: &str) -> Result<()> {
        if value.is_null() {
            return Ok(());
        }
        let properties = &schema["properties"];
        if properties.is_object() && *properties == self.reference {
            let read = SecretRef::deserialize(value);
            return read
                .map(drop)
                .map_err(|error| Error::input(pointer, error.to_string()));
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let others = &schema["additionalProperties"];
                    let schema = properties.get(name).unwrap_or(others);
                    self.check_below(schema, value, &format!("{pointer}/{}", escape(name)))?;
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.check_below(&schema["items"], item, &format!("{pointer}/{at}"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Names of the inputs.
    pub(crate) fn inputs(&self) -> Vec<&str> {
        self.inputs.keys().map(String::as_str).collect()
    }

    pub(crate) fn has_input(&self, name: &str) -> bool {
        self.inputs.contains_key(name)
    }

    /// Whether it is an error not to set this input.
    pub(crate) fn requires(&self, name: &str) -> bool {
        self.inputs.get(name) == Some(&Unset::Error)
    }

    /// Whether this input has a value even if nobody sets it.
    pub(crate) fn has_default(&self, name: &str) -> bool {
        self.inputs.get(name) == Some(&Unset::Default)
    }
}

fn fields(schema: &Object) -> impl Iterator<Item = (&String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten()
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = list.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
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
    if K::FORESEES_REMOVAL {
        requests.push(RequestName::PlanDestroy);
    }
    KindDescription {
        description: description::<K::Inputs>(),
        state: K::STATE,
        requests,
        // The engine begins each of them with looking at what is there.
        repeatable: vec![
            RequestName::Create,
            RequestName::Update,
            RequestName::Destroy,
        ],
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
            RequestName::StateHistory,
            RequestName::Read,
        ],
        repeatable: vec![RequestName::Create],
        inputs: without_description(of::<K::Inputs>()),
        outputs: without_description(of::<K::Outputs>()),
    }
}

fn description<T: JsonSchema>() -> String {
    of::<T>()
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn without_description(mut schema: Object) -> Object {
    schema.remove("description");
    schema
}
