//! Requests: as a client sends them, and then changed in one place or several.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

use nixops4_resources_tests::messages;

use super::odd;
use super::schema::{self, Fields};
use super::world::World;

/// A kind, as its provider describes it.
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) requests: Vec<String>,
    pub(crate) inputs: Value,
    outputs: Value,
}

impl Kind {
    pub(crate) fn all(description: &Value) -> Vec<Self> {
        let kinds = description["kinds"].as_object().expect("kinds");
        let kinds = kinds.iter().map(|(name, of)| Self {
            name: name.clone(),
            requests: serde_json::from_value(of["requests"].clone()).expect("names"),
            inputs: of["inputs"].clone(),
            outputs: of["outputs"].clone(),
        });
        kinds.collect()
    }

    /// A request as a client sends it.
    pub(crate) fn request(
        &self,
        world: &World,
        name: &str,
        fields: Fields,
        random: &mut StdRng,
    ) -> Value {
        let inputs = schema::object(world, &self.inputs, fields, random);
        let outputs = schema::object(world, &self.outputs, fields, random);
        let outputs = random.random_ratio(3, 4).then_some(&outputs);
        let recorded = messages::resource(&self.name, &inputs, outputs);
        let perhaps = random.random::<bool>().then_some(&recorded);
        match name {
            "createResourceRequest" => messages::create(&self.name, &inputs, random.random()),
            "updateResourceRequest" => {
                let now = schema::object(world, &self.inputs, fields, random);
                messages::update(&recorded, &now)
            }
            "destroyResourceRequest" => messages::destroy(&recorded),
            "stateResourceReadRequest" => messages::read_state(&recorded),
            "stateResourceEvent" => messages::state_event(&recorded, "create", &patch(random)),
            "nixops4-resources/planResourceRequest" => {
                let names: Vec<_> = inputs.keys().map(|name| format!("/{name}")).collect();
                let unknown: Vec<_> = names
                    .into_iter()
                    .filter(|_| random.random_ratio(1, 9))
                    .collect();
                messages::plan(&self.name, &inputs, &unknown, perhaps)
            }
            "nixops4-resources/readResourceRequest" => messages::read(&self.name, &inputs, perhaps),
            "nixops4-resources/listResourcesRequest" => json!({name: {
                "type": self.name, "inputProperties": inputs,
            }}),
            "nixops4-resources/stateResourceHistoryRequest" => json!({name: {
                "resource": recorded, "since": random.random_range(0..3), "limit": 2,
            }}),
            "nixops4-resources/planDestroyRequest" => json!({name: {"resource": recorded}}),
            other => panic!("how is {other} written?"),
        }
    }
}

/// A change of the state.
fn patch(random: &mut StdRng) -> Value {
    let number = random.random_range(0..9);
    let path = format!("/resources/m{number}");
    match random.random_range(0..4) {
        0 => json!([{"op": "remove", "path": path}]),
        1 => json!([{"op": "test", "path": path, "value": odd::value(random)}]),
        2 => json!([{"op": "copy", "from": "/resources", "path": path}]),
        _ => json!([{"op": "add", "path": path, "value": {"type": "x"}}]),
    }
}

/// What is sent, and what is known of it.
pub(crate) struct Sent {
    /// Without its line break.
    pub(crate) line: Vec<u8>,
    /// The one input of a create request that was changed.
    pub(crate) changed: Option<String>,
}

/// Inputs of which one fits the other: `refusal` says which field doesn't.
pub(crate) fn settled(
    world: &World,
    kind: &Kind,
    random: &mut StdRng,
    mut refusal: impl FnMut(&Value) -> Option<String>,
) -> Value {
    let mut inputs = schema::object(world, &kind.inputs, Fields::All, random);
    let required = kind.inputs["required"].as_array().cloned();
    let required = required.unwrap_or_default();
    while let Some(field) = refusal(&messages::create(&kind.name, &inputs, true)) {
        if required.iter().any(|name| *name == field) || inputs.remove(&field).is_none() {
            break;
        }
    }
    Value::Object(inputs)
}

/// Every field of a create request for each of many values, and without it.
pub(crate) fn each_field(world: &World, kind: &Kind, inputs: &Value) -> Vec<Sent> {
    let whole = json!({"createResourceRequest": {"type": kind.name, "isStateful": true}});
    let mut all = Vec::new();
    for pointer in pointers(inputs) {
        let changed = first(&pointer);
        let mut send = |mut inputs: Value, change: &dyn Fn(&mut Value)| {
            change(&mut inputs);
            world.tame(&mut inputs);
            let mut request = whole.clone();
            request["createResourceRequest"]["inputProperties"] = inputs;
            all.push(Sent {
                line: request.to_string().into_bytes(),
                changed: changed.clone(),
            });
        };
        for value in odd::of_each_type() {
            send(inputs.clone(), &|inputs: &mut Value| {
                *inputs.pointer_mut(&pointer).expect("it is there") = value.clone();
            });
        }
        send(inputs.clone(), &|inputs: &mut Value| {
            remove(inputs, &pointer);
        });
    }
    all
}

/// A create request with one place of its inputs changed.
pub(crate) fn changed_once(
    world: &World,
    kind: &Kind,
    inputs: &Value,
    random: &mut StdRng,
) -> Sent {
    let mut inputs = inputs.clone();
    let pointer = change(world, &mut inputs, random);
    world.tame(&mut inputs);
    let request = json!({"createResourceRequest": {
        "type": kind.name, "isStateful": true, "inputProperties": inputs,
    }});
    Sent {
        line: request.to_string().into_bytes(),
        changed: first(&pointer),
    }
}

/// A request that somebody has been at.
pub(crate) fn changed(world: &World, kind: &Kind, random: &mut StdRng) -> Sent {
    let name = kind.requests.choose(random).expect("one");
    let mut request = kind.request(world, name, Fields::Some, random);
    let times = *[0, 1, 1, 1, 1, 1, 2, 4].choose(random).expect("one");
    for _ in 0..times {
        change(world, &mut request, random);
    }
    world.tame(&mut request);
    let line = request.to_string().into_bytes();
    if random.random_ratio(1, 6) {
        let garbled = garble(&line, random);
        // Whoever can still read it must not be led away.
        let read = serde_json::from_slice::<Value>(&garbled).ok();
        let is_tame = read.is_none_or(|read| {
            let mut tamed = read.clone();
            world.tame(&mut tamed);
            tamed == read
        });
        if is_tame {
            return Sent {
                line: garbled,
                changed: None,
            };
        }
    }
    Sent {
        line,
        changed: None,
    }
}

/// The first name of a pointer into inputs.
fn first(pointer: &str) -> Option<String> {
    let name = pointer.split('/').nth(1)?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Every place in a value, as a JSON pointer, but for the value itself.
fn pointers(value: &Value) -> Vec<String> {
    fn below(value: &Value, pointer: &str, found: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(at, value)| (at.to_string(), value))
                .collect(),
            _ => Vec::new(),
        };
        for (name, child) in children {
            let pointer = format!("{pointer}/{name}");
            found.push(pointer.clone());
            below(child, &pointer, found);
        }
    }
    let mut found = Vec::new();
    below(value, "", &mut found);
    found
}

fn remove(value: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            items.remove(name.parse().expect("an index"));
        }
        _ => panic!("nothing stands at {pointer}"),
    }
}

/// Changes one place; gives where, if it is one.
fn change(world: &World, request: &mut Value, random: &mut StdRng) -> String {
    let all = pointers(request);
    let Some(pointer) = all.choose(random).cloned() else {
        // There is nothing left to change.
        return String::new();
    };
    let references: Vec<_> = all
        .iter()
        .filter(|pointer| {
            let value = request.pointer(pointer);
            value.is_some_and(|value| value.get("env").is_some() || value.get("file").is_some())
        })
        .cloned()
        .collect();
    let here = request.pointer_mut(&pointer).expect("it is there");
    match random.random_range(0..10) {
        0 => remove(request, &pointer),
        1 => {
            if let Value::Object(fields) = here {
                fields.insert(odd::name(random), odd::value(random));
            } else {
                *here = json!({odd::name(random): here.clone()});
            }
        }
        2 => *here = json!([here.clone(), here.clone()]),
        3 if !references.is_empty() => {
            let pointer = references.choose(random).expect("one").clone();
            let here = request.pointer_mut(&pointer).expect("it is there");
            *here = world.misplaced(random);
            return pointer;
        }
        4 => {
            // One is missing then, and another one unknown.
            rename(request, &pointer, random);
            return String::new();
        }
        _ => *here = odd::value(random),
    }
    pointer
}

/// Gives a field another name.
fn rename(request: &mut Value, pointer: &str, random: &mut StdRng) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    if let Some(Value::Object(fields)) = request.pointer_mut(parent) {
        let name = name.replace("~1", "/").replace("~0", "~");
        let value = fields.remove(&name).unwrap_or_default();
        let mut fields_after = std::mem::take(fields);
        fields_after.insert(odd::name(random), value);
        *fields = fields_after;
    }
}

/// Changes what is no JSON, or no JSON any more.
fn garble(line: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut line = line.to_vec();
    let at = random.random_range(0..line.len());
    match random.random_range(0..16) {
        0 => line.truncate(at),
        1 => line[at] ^= 1 << random.random_range(0..8),
        2 => line.insert(at, random.random()),
        3 => {
            let wrong = *[
                &b"\xff\xfe"[..],
                b"\xc3\x28",
                b"\xed\xa0\x80",
                b"\xf4\x90\x80\x80",
            ]
            .choose(random)
            .expect("one");
            line.splice(at..at, wrong.iter().copied());
        }
        4 => line.extend(line.clone()),
        5 => line.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
        6 => line.extend(b" trailing"),
        7 => line
            .splice(at..at, b"\\ud800".iter().copied())
            .for_each(drop),
        8 => twice(&mut line, random),
        9 => line = vec![b' '; 1 << 20],
        10 => line = "[".repeat(random.random_range(1..200_000)).into_bytes(),
        11 => line.extend(b"\r"),
        12 => {
            let number = *[
                "1e999",
                "-",
                "00",
                "0x1",
                "NaN",
                "1e-999",
                "123456789012345678901234567890",
            ]
            .choose(random)
            .expect("one");
            let text = String::from_utf8_lossy(&line).replacen("true", number, 1);
            line = text.into_bytes();
        }
        13 => line.clear(),
        14 => line.splice(at..at, [0]).for_each(drop),
        _ => line = format!("[{}]", String::from_utf8_lossy(&line)).into_bytes(),
    }
    line.iter_mut()
        .filter(|byte| **byte == b'\n')
        .for_each(|byte| *byte = b' ');
    line
}

/// A field of the same name twice, harmless ones.
fn twice(line: &mut Vec<u8>, random: &mut StdRng) {
    let names = [
        "type",
        "owner",
        "name",
        "inputProperties",
        "isStateful",
        "adopt",
    ];
    let name = names.choose(random).expect("one");
    let text = String::from_utf8_lossy(line);
    let field = format!("\"{name}\":");
    let value = *["null", "1", "\"x\"", "{}"].choose(random).expect("one");
    *line = text
        .replacen(&field, &format!("{field}{value},{field}"), 1)
        .into_bytes();
}

/// Without nulls in objects: they mean absent.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let fields: Map<_, _> = fields
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect();
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
