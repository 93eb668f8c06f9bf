//! What providers manage.

use std::fmt::Write as _;
use std::sync::Arc;

use nixops4_protocol::Object;
use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::{Description, KindDescription, StateNeed};
use serde::Serialize;
use serde_json::Value;

use crate::executables;
use crate::failure::Failure;
use crate::providers::{self, Providers};
use crate::session;
use crate::ui::text::{self, Paint};
use crate::ui::{Reader, Ui};

/// One executable and what it said.
#[derive(Serialize)]
struct Described {
    executable: String,
    /// Absent if it knows v0 alone.
    description: Option<Description>,
    /// Why it said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Describes everything that is installed, one provider, or one type.
pub(crate) async fn describe(
    what: Option<&str>,
    timeout: std::time::Duration,
    ui: &Arc<Ui>,
) -> Result<(), Failure> {
    let providers = session::providers(ui, timeout);
    let Some(what) = what else {
        return everything(&providers, ui).await;
    };
    let is_provider = what.contains('/') || what.starts_with(executables::PREFIX);
    let executable = if is_provider {
        what.to_owned()
    } else {
        executables::provider_of(what)
    };
    let command = providers::command(&executable, &[]);
    let description = providers
        .describe(&command)
        .await
        .map_err(|error| Failure::Provider(error.to_string()))?
        .ok_or_else(|| {
            Failure::Provider(format!(
                "{executable} knows the protocol's v0 alone, and does not describe itself"
            ))
        })?;
    if is_provider || !what.contains('_') {
        match ui.reader() {
            Reader::Machine => ui.json(&*description, true),
            Reader::Person => ui.print(&provider_text(&description, ui.paint())),
        }
        return Ok(());
    }
    let kind = providers::kind(&description, what).map_err(Failure::Provider)?;
    match ui.reader() {
        Reader::Machine => ui.json(kind, true),
        Reader::Person => ui.print(&kind_text(what, kind, ui.paint())),
    }
    Ok(())
}

async fn everything(providers: &Providers, ui: &Ui) -> Result<(), Failure> {
    let mut all = Vec::new();
    for (name, path) in executables::all() {
        let described = providers.describe(&ProviderCommand::new(path)).await;
        all.push(match described {
            Ok(description) => Described {
                executable: name,
                description: description.map(|description| (*description).clone()),
                error: None,
            },
            Err(error) => Described {
                executable: name,
                description: None,
                error: Some(error.to_string()),
            },
        });
    }
    if ui.reader() == Reader::Machine {
        ui.json(&all, true);
        return Ok(());
    }
    if all.is_empty() {
        return Err(Failure::Provider(format!(
            "there is no provider beside this command or in PATH; their names begin with {}",
            executables::PREFIX
        )));
    }
    for described in &all {
        match (&described.description, &described.error) {
            (Some(description), _) => ui.print(&provider_text(description, ui.paint())),
            (None, Some(error)) => ui.error(&format!("{}: {error}", described.executable)),
            (None, None) => ui.print(&format!(
                "{}\n  knows the protocol's v0 alone, and does not describe itself\n\n",
                ui.paint().bold(&text::line(&described.executable))
            )),
        }
    }
    Ok(())
}

fn provider_text(description: &Description, paint: Paint) -> String {
    let mut text = String::new();
    let version = description.version.as_deref().unwrap_or_default();
    let _ = writeln!(
        text,
        "{} {}",
        paint.bold(&text::line(&description.executable)),
        paint.dim(&text::line(version))
    );
    let _ = writeln!(text, "  {}", described(&description.description));
    for (name, kind) in &description.kinds {
        let _ = writeln!(
            text,
            "  {}  {}",
            paint.bold(&text::line(name)),
            text::line(&first_sentence(&kind.description))
        );
    }
    text.push('\n');
    text
}

/// What a provider says of itself, in as far as its title.
fn described(description: &str) -> String {
    text::indented(&text::harmless(description), "  ")
}

fn first_sentence(description: &str) -> String {
    let line = description.replace('\n', " ");
    match line.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => line,
    }
}

fn kind_text(name: &str, kind: &KindDescription, paint: Paint) -> String {
    let mut text = String::new();
    let described = described(&kind.description);
    let _ = writeln!(text, "{}\n  {described}", paint.bold(&text::line(name)));
    let state = match kind.state {
        StateNeed::Never => "keeps state itself",
        StateNeed::Optional => "can do without state",
        StateNeed::OnRequest => "does without state, unless its own says where",
        StateNeed::Required => "has to be recorded: needs a state",
    };
    let _ = writeln!(text, "  {}", paint.dim(state));
    for (title, schema) in [("inputs", &kind.inputs), ("outputs", &kind.outputs)] {
        let _ = writeln!(text, "\n{}", paint.bold(title));
        properties(&mut text, schema, paint);
    }
    text
}

fn properties(text: &mut String, schema: &Object, paint: Paint) {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let kind = type_of(property);
        let need = if required.contains(&name.as_str()) {
            ", required".to_owned()
        } else {
            match property.get("default") {
                None | Some(Value::Null) => String::new(),
                Some(default) => format!(", default {default}"),
            }
        };
        let _ = writeln!(
            text,
            "  {}  {}",
            paint.good(&text::line(name)),
            paint.dim(&text::line(&format!("{kind}{need}")))
        );
        if let Some(description) = property.get("description").and_then(Value::as_str) {
            for line in description.lines() {
                let _ = writeln!(text, "      {}", text::line(line));
            }
        }
    }
}

fn type_of(property: &Value) -> String {
    let of_reference = |reference: &Value| {
        reference
            .as_str()
            .and_then(|reference| reference.rsplit('/').next())
            .map(str::to_owned)
    };
    match (property.get("type"), property.get("$ref")) {
        (Some(Value::String(name)), _) => name.clone(),
        (Some(Value::Array(names)), _) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .collect::<Vec<_>>()
            .join(" or "),
        (_, Some(reference)) => of_reference(reference).unwrap_or_default(),
        _ => {
            let choices = property.get("anyOf").or_else(|| property.get("oneOf"));
            let Some(choices) = choices.and_then(Value::as_array) else {
                return "any".to_owned();
            };
            let mut names: Vec<String> = choices
                .iter()
                .map(type_of)
                .filter(|name| name != "null")
                .collect();
            names.dedup();
            names.join(" or ")
        }
    }
}
