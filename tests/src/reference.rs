//! The reference of a provider, as Markdown, from what it says of itself.
//!
//! It knows JSON Schema as the SDK writes it; it must not know any kind.

use std::fmt::Write as _;

use nixops4_protocol::describe::{Description, KindDescription, StateNeed};
use serde_json::{Map, Value};

/// Renders the reference of one provider.
#[must_use]
pub fn render(provider: &Description) -> String {
    let mut page = format!(
        "<!-- Made from the Rust structs by `make generate`; changes are lost. -->\n\n\
         # {}\n\n{} The executable is `{}`.\n",
        provider.name, provider.description, provider.executable
    );
    for (name, kind) in &provider.kinds {
        page.push_str(&render_kind(&provider.name, name, kind));
    }
    page
}

fn render_kind(provider: &str, name: &str, kind: &KindDescription) -> String {
    let in_nix = name
        .strip_prefix(provider)
        .and_then(|name| name.strip_prefix('_'))
        .unwrap_or(name);
    let state = match kind.state {
        StateNeed::Never => "It keeps state for others and has none of its own.",
        StateNeed::Optional => {
            "State is optional; without it each apply looks at the resource anew."
        }
        StateNeed::OnRequest => {
            "It is looked at anew by each apply, and recorded only where its own `state` says so."
        }
        StateNeed::Required => "It needs state: set `state` to a member that keeps it.",
    };
    let mut section = format!(
        "\n## `providers.{provider}.{in_nix}`\n\n{}\n\nOn the wire: `{name}`. {state}\n",
        one_line(&kind.description)
    );
    section.push_str("\n### Inputs\n\n| input | type | default | |\n|---|---|---|---|\n");
    rows(&kind.inputs, "", true, &mut section);
    if kind
        .outputs
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|all| !all.is_empty())
    {
        section.push_str("\n### Outputs\n\n| output | type | |\n|---|---|---|\n");
        rows(&kind.outputs, "", false, &mut section);
    }
    section
}

fn rows(schema: &Map<String, Value>, prefix: &str, with_default: bool, page: &mut String) {
    let required: Vec<_> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let Some(property) = property.as_object() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        let description = one_line(text(property, "description"));
        let kind = cell(&type_of(property));
        let row = if with_default {
            let default = match property.get("default") {
                _ if required.iter().any(|required| *required == name) => "required".to_owned(),
                None | Some(Value::Null) => "`null`".to_owned(),
                Some(Value::Object(_)) => "`{ }`".to_owned(),
                Some(value) => format!("`{value}`"),
            };
            format!("| `{path}` | {kind} | {default} | {description} |")
        } else {
            format!("| `{path}` | {kind} | {description} |")
        };
        // A page always takes more text.
        let _ = writeln!(page, "{row}");
        if !is_secret(property) {
            rows(property, &format!("{path}."), with_default, page);
        }
    }
}

fn type_of(schema: &Map<String, Value>) -> String {
    if is_secret(schema) {
        return "reference to a secret".to_owned();
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(alternatives) = schema.get(key).and_then(Value::as_array) {
            let named: Vec<_> = alternatives
                .iter()
                .filter_map(Value::as_object)
                .map(type_of)
                .filter(|name| !name.is_empty())
                .collect();
            return named.join(" or ");
        }
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{constant}`");
    }
    let types: Vec<_> = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    };
    let items = schema.get("items").and_then(Value::as_object);
    let has_numbers = types.contains(&"number");
    let values = schema
        .get("additionalProperties")
        .and_then(Value::as_object);
    types
        .into_iter()
        .filter(|name| *name != "null" && !(*name == "integer" && has_numbers))
        .map(|name| match (name, items, values) {
            ("array", Some(items), _) => format!("list of {}", type_of(items)),
            ("object", _, Some(values)) => format!("map of {}", type_of(values)),
            (name, ..) => name.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" or ")
}

/// A reference to a secret is told by its fields; listing them at each use would
/// hide the rest.
fn is_secret(schema: &Map<String, Value>) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.is_some_and(|all| {
        ["file", "env", "store"]
            .iter()
            .all(|name| all.contains_key(*name))
    })
}

fn text<'a>(schema: &'a Map<String, Value>, key: &str) -> &'a str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    cell(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
