//! A provider for tests: its things are JSON files in a directory.
//!
//! `scratch_thing` inputs: `directory`, `name`, `content` (anything), `size`,
//! `region` (cannot be changed), `secret`, `connection` (any address of the one
//! server that there is), and what makes it misbehave:
//! `failOn` (a list of create, update, plan, read, destroy), `dieOnce` (a file:
//! the provider ends at a plan if it isn't there, and makes it), `dieWorking` and
//! `dieTimes` (the same at what changes something, so many times), `sleep`
//! (milliseconds), `act` (hang, garbage, exit, chatter), `waitFor` (a file: the
//! first plan makes one called as that and `.reached`, and waits for it; a second
//! plan doesn't, so that something can happen in the middle), `sleepReading`
//! (milliseconds at a read, which the log then tells). Outputs: `path`, `serial`
//! (known once made) and `content`. Each create, update and destroy appends a line
//! to `DIRECTORY/log`. What another thing has the serial of in its content can't be
//! destroyed; what has the `deletionPolicy` retain stays, and its file says so.
//!
//! `scratch_state` inputs: `file`, `failAfter` (how many events are taken),
//! `dieBefore` and `dieAfter` (files: it ends before or after it has written an
//! event, if they aren't there, and makes them).
//!
//! The file that `SCRATCH_STARTS` names gets a line for each process, and that of
//! `SCRATCH_REQUESTS` each request. With `SCRATCH_ANSWER` it gives that answer to all.
//!
//! With the argument `v0` it knows the protocol's v0 alone, and answers once.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nixops4_protocol::message::{
    Action, Change, CreateResourceResponse, DestroyResourceResponse, Effect, ErrorResponse,
    ListResourcesResponse, ListedResource, PlanDestroyResponse, PlanResourceRequest,
    PlanResourceResponse, PlannedValue, ReadResourceResponse, Request, Response,
    StateResourceEventResponse, StateResourceReadResponse, UpdateResourceResponse,
};
use nixops4_protocol::{Object, codec, state};
use serde_json::{Value, json};

mod description;
mod misbehaving;

use description::description;
use misbehaving::{another, die, misbehave};

type Answer = Result<Response, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_v0 = arguments.iter().any(|argument| argument == "v0");
    if arguments.iter().any(|argument| argument == "describe") {
        if !is_v0 {
            say(io::stdout(), &description().to_string());
        }
        return ExitCode::SUCCESS;
    }
    note("SCRATCH_STARTS", &format!("{arguments:?}"));
    while let Ok(Some(line)) =
        codec::read_line(&mut io::stdin().lock(), codec::Size::Message.bytes())
    {
        note("SCRATCH_REQUESTS", &line);
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => answer(request, is_v0).map(another),
            Err(error) => Err(format!("this is not a request: {error}")),
        };
        let answer = answer.unwrap_or_else(|message| Response::Error(ErrorResponse { message }));
        io::stdout()
            .write_all(&codec::encode(&answer).unwrap())
            .unwrap();
        if is_v0 && !line.contains("state") {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// Appends a line to the file that a variable names, if it does.
fn note(variable: &str, line: &str) {
    if let Some(file) = std::env::var_os(variable) {
        let mut notes = fs::OpenOptions::new();
        say(notes.create(true).append(true).open(file).unwrap(), line);
    }
}

fn say(mut to: impl io::Write, line: &str) {
    writeln!(to, "{line}").unwrap();
}

fn answer(request: Request, is_v0: bool) -> Answer {
    match request {
        Request::Create(request) if request.r#type == "scratch_state" => {
            let file = state_file(&request.input_properties);
            if !file.exists() {
                fs::write(&file, "").map_err(|error| format!("{}: {error}", file.display()))?;
            }
            Ok(Response::Create(CreateResourceResponse {
                output_properties: Object::new(),
            }))
        }
        Request::StateRead(request) => Ok(Response::StateRead(StateResourceReadResponse {
            state: read_state(&state_file(&request.resource.input_properties))?,
        })),
        Request::StateEvent(event) => {
            let inputs = &event.resource.input_properties;
            let file = state_file(inputs);
            let mut text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let events = text.lines().count() as u64;
            if inputs.get("failAfter").and_then(Value::as_u64) == Some(events) {
                return Err("the disk is full".to_owned());
            }
            die(self::text(inputs, "dieBefore"), 1)?;
            text.push_str(&serde_json::to_string(&event.patch).unwrap());
            text.push('\n');
            fs::write(&file, text).map_err(|error| error.to_string())?;
            die(self::text(inputs, "dieAfter"), 1)?;
            Ok(Response::StateEvent(StateResourceEventResponse {}))
        }
        Request::Create(request) => {
            let output_properties = make("create", &request.input_properties)?;
            Ok(Response::Create(CreateResourceResponse {
                output_properties,
            }))
        }
        Request::Update(request) => {
            let output_properties = make("update", &request.input_properties)?;
            Ok(Response::Update(UpdateResourceResponse {
                output_properties,
            }))
        }
        Request::Read(request) if !is_v0 && request.r#type == "scratch_state" => {
            let present = state_file(&request.input_properties).exists();
            Ok(Response::Read(ReadResourceResponse {
                identity: Value::Null,
                present,
                output_properties: present.then(Object::new),
            }))
        }
        Request::Plan(request) if !is_v0 => plan(&request).map(Response::Plan),
        Request::PlanDestroy(request) if !is_v0 => {
            let inputs = &request.resource.input_properties;
            let fails = inputs.get("failOn").and_then(Value::as_array);
            let fails = fails.is_some_and(|fails| fails.contains(&json!("destroy")));
            let warning = format!("{} is held\nhint: let it go", text(inputs, "name"));
            Ok(Response::PlanDestroy(PlanDestroyResponse {
                warnings: Vec::from_iter(fails.then_some(warning)),
            }))
        }
        Request::Destroy(request) if !is_v0 => {
            destroy(&request.resource.input_properties)?;
            Ok(Response::Destroy(DestroyResourceResponse {}))
        }
        Request::Read(request) if !is_v0 => {
            let inputs = &request.input_properties;
            misbehave("read", inputs)?;
            let there = look(&file_of(inputs));
            Ok(Response::Read(ReadResourceResponse {
                identity: identity(inputs),
                present: there.is_some(),
                output_properties: there.map(|thing| outputs(inputs, &thing)),
            }))
        }
        Request::List(request) if !is_v0 => Ok(Response::List(ListResourcesResponse {
            resources: list(&request.input_properties),
            unseen: Vec::new(),
        })),
        other => Err(format!("this provider does not know {:?}", other.name())),
    }
}

/// Every thing in a directory, with its name.
fn things(directory: &str) -> Vec<(String, Object)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let path = entry.path();
            path.extension().filter(|extension| *extension == "json")?;
            let name = path.file_stem()?.to_str()?.to_owned();
            Some((name, look(&path)?))
        })
        .collect()
}

fn list(inputs: &Object) -> Vec<ListedResource> {
    things(text(inputs, "directory"))
        .into_iter()
        .map(|(name, thing)| ListedResource {
            identity: name_of(inputs, &name),
            mark: match thing.get("retained") {
                Some(_) => "owner=test retained-since=2026-01-01".to_owned(),
                None => "owner=test".to_owned(),
            },
            facts: Object::new(),
        })
        .collect()
}

fn destroy(inputs: &Object) -> Result<(), String> {
    log(inputs, "destroy-began");
    misbehave("destroy", inputs)?;
    let file = file_of(inputs);
    let Some(mut thing) = look(&file) else {
        return Ok(());
    };
    let serial = thing.get("serial").cloned().unwrap_or_default();
    for (name, other) in things(text(inputs, "directory")) {
        let is_retained = other.contains_key("retained");
        if other.get("content") == Some(&serial) && name != text(inputs, "name") && !is_retained {
            return Err(format!("{name} still uses it\nremove that first"));
        }
    }
    if text(inputs, "deletionPolicy") == "retain" {
        thing.insert("retained".to_owned(), json!(true));
        fs::write(&file, Value::Object(thing).to_string()).map_err(|error| error.to_string())?;
        log(inputs, "retain");
    } else {
        fs::remove_file(&file).map_err(|error| error.to_string())?;
        log(inputs, "destroy");
    }
    Ok(())
}

fn identity(inputs: &Object) -> Value {
    name_of(inputs, text(inputs, "name"))
}

/// With the server's address, if there is one.
fn name_of(inputs: &Object, name: &str) -> Value {
    let directory = text(inputs, "directory");
    match inputs.get("connection") {
        Some(server) => json!({ "server": server, "directory": directory, "name": name }),
        None => json!({ "directory": directory, "name": name }),
    }
}

fn state_file(inputs: &Object) -> PathBuf {
    PathBuf::from(inputs["file"].as_str().unwrap())
}

fn read_state(file: &Path) -> Result<Object, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut document = state::empty();
    for line in text.lines() {
        let patch: json_patch::Patch =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        json_patch::patch(&mut document, &patch).map_err(|error| error.to_string())?;
    }
    match document {
        Value::Object(document) => Ok(document),
        _ => Err("the state is no object".to_owned()),
    }
}

fn text<'a>(inputs: &'a Object, name: &str) -> &'a str {
    inputs.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn file_of(inputs: &Object) -> PathBuf {
    Path::new(text(inputs, "directory")).join(format!("{}.json", text(inputs, "name")))
}

/// What is kept of a thing.
fn facts(inputs: &Object) -> Object {
    ["content", "size", "region", "secret"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), inputs.get(name)?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect()
}

fn look(file: &Path) -> Option<Object> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn log(inputs: &Object, what: &str) {
    let mut log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(Path::new(text(inputs, "directory")).join("log"))
        .unwrap();
    writeln!(log, "{what} {}", text(inputs, "name")).unwrap();
}

fn make(what: &str, inputs: &Object) -> Result<Object, String> {
    log(inputs, &format!("{what}-began"));
    misbehave(what, inputs)?;
    let file = file_of(inputs);
    let mut thing = facts(inputs);
    let serial = look(&file)
        .and_then(|thing| thing.get("serial").cloned())
        .unwrap_or_else(|| json!(format!("serial-{}", text(inputs, "name"))));
    thing.insert("serial".to_owned(), serial);
    fs::write(&file, Value::Object(thing.clone()).to_string())
        .map_err(|error| format!("{}: {error}", file.display()))?;
    log(inputs, what);
    Ok(outputs(inputs, &thing))
}

fn outputs(inputs: &Object, thing: &Object) -> Object {
    let mut outputs = predicted(inputs);
    let serial = thing.get("serial").cloned().unwrap_or_default();
    outputs.insert("serial".to_owned(), serial);
    outputs
}

fn predicted(inputs: &Object) -> Object {
    let mut outputs = Object::new();
    outputs.insert("path".to_owned(), json!(file_of(inputs)));
    let content = inputs.get("content").cloned().unwrap_or_default();
    outputs.insert("content".to_owned(), content);
    if inputs.contains_key("connection") {
        outputs.insert("systemIdentifier".to_owned(), json!("the only one"));
    }
    outputs
}

fn plan(request: &PlanResourceRequest) -> Result<PlanResourceResponse, String> {
    let inputs = &request.input_properties;
    misbehave("plan", inputs)?;
    let unknown = &request.unknown_inputs;
    let hidden = |name: &str| {
        unknown.iter().any(|pointer| {
            pointer.is_empty() || pointer.split('/').nth(1).is_some_and(|top| top == name)
        })
    };
    if hidden("name") || hidden("directory") {
        return Ok(PlanResourceResponse {
            identity: Value::Null,
            action: Action::Create,
            changes: Vec::new(),
            output_properties: Object::new(),
            unknown_outputs: ["path", "content", "serial"].map(str::to_owned).to_vec(),
        });
    }
    let there = look(&file_of(inputs));
    let mut changes = Vec::new();
    for name in ["content", "region", "secret", "size"] {
        let before = there
            .as_ref()
            .and_then(|thing| thing.get(name).cloned())
            .unwrap_or_default();
        let after = inputs.get(name).cloned().unwrap_or_default();
        if hidden(name) || before != after {
            changes.push(change(name, before, after, hidden(name)));
        }
    }
    let replaces = changes
        .iter()
        .any(|change| change.effect == Effect::Replace);
    let action = match &there {
        None => Action::Create,
        Some(_) if changes.is_empty() => Action::None,
        Some(_) if replaces => Action::Refuse,
        Some(_) => Action::Update,
    };
    let mut certain = match &there {
        Some(thing) => outputs(inputs, thing),
        None => predicted(inputs),
    };
    if hidden("content") {
        certain.remove("content");
    }
    let unknown_outputs = ["path", "content", "serial"]
        .into_iter()
        .filter(|name| !certain.contains_key(*name))
        .map(str::to_owned)
        .collect();
    Ok(PlanResourceResponse {
        identity: identity(inputs),
        action,
        changes,
        output_properties: certain,
        unknown_outputs,
    })
}

fn change(name: &str, before: Value, after: Value, is_unknown: bool) -> Change {
    let (effect, note) = match name {
        "size" => (Effect::Disruptive, None),
        "region" if !before.is_null() => (
            Effect::Replace,
            Some("a thing stays where it is".to_owned()),
        ),
        _ => (Effect::InPlace, None),
    };
    let (before, after) = match name {
        "secret" => (PlannedValue::Sensitive, PlannedValue::Sensitive),
        _ if is_unknown => (PlannedValue::Known(before), PlannedValue::Unknown),
        _ => (PlannedValue::Known(before), PlannedValue::Known(after)),
    };
    Change {
        path: format!("/{name}"),
        before,
        after,
        effect,
        note,
    }
}
