//! Where a state is, without an expression.

use std::fmt;
use std::path::Path;

use nixops4_protocol::Object;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::eval::Member;
use crate::eval::named::canonical;
use crate::executables;
use crate::member::MemberPath;

/// A state resource: all that it takes to open it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Location {
    /// What it is called: the member's path, where it is a member's.
    #[serde(default = "default_label")]
    pub(crate) label: MemberPath,
    /// The provider, as the expression names it.
    #[serde(default)]
    pub(crate) executable: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Resource type on the wire.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) inputs: Object,
}

/// What is not a location.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} does not say where a state is: {reason}; write sqlite:FILE#DEPLOYMENT, \
     file:FILE#DEPLOYMENT, {{\"type\": \"state_postgresql\", \"inputs\": {{...}}}}, or @ and a file \
     with that JSON"
)]
pub(crate) struct LocationError {
    text: String,
    reason: String,
}

/// The short forms: what is written before the colon, the type, and the input
/// that has the path.
const SHORT: [(&str, &str, &str); 2] = [
    ("sqlite", "state_sqlite", "path"),
    ("file", "state_file", "name"),
];

impl Location {
    /// What a user gives to `--state`.
    pub(crate) fn parse(text: &str) -> Result<Self, LocationError> {
        let error = |reason: String| LocationError {
            text: text.to_owned(),
            reason,
        };
        if let Some(file) = text.strip_prefix('@') {
            let json = std::fs::read_to_string(file).map_err(|cause| error(cause.to_string()))?;
            return Self::from_json(&json).map_err(error);
        }
        if text.trim_start().starts_with('{') {
            return Self::from_json(text).map_err(error);
        }
        let short = text.split_once(':').and_then(|(word, rest)| {
            let (_, kind, field) = SHORT.iter().find(|(short, _, _)| *short == word)?;
            Some((*kind, *field, rest))
        });
        let Some((kind, field, rest)) = short else {
            return Err(error("it begins with no kind of state".to_owned()));
        };
        match rest.rsplit_once('#') {
            Some((path, deployment)) if !path.is_empty() && !deployment.is_empty() => {
                let inputs = json!({ "deployment": deployment, field: path });
                Ok(Self {
                    label: default_label(),
                    executable: executables::provider_of(kind),
                    args: Vec::new(),
                    kind: kind.to_owned(),
                    inputs: inputs.as_object().cloned().unwrap_or_default(),
                })
            }
            _ => Err(error(
                "after the file there is no # and the deployment's name".to_owned(),
            )),
        }
    }

    fn from_json(json: &str) -> Result<Self, String> {
        let mut location: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if location.executable.is_empty() {
            location.executable = executables::provider_of(&location.kind);
        }
        Ok(location)
    }

    /// Where it is, whichever provider that takes, as [`Location::parse`] reads it:
    /// the short form, or the type and its inputs.
    pub(crate) fn told(&self) -> String {
        let long = || json!({ "type": self.kind, "inputs": self.inputs }).to_string();
        self.place().unwrap_or_else(long)
    }

    /// Whether it is the same place, whichever provider takes it and whoever keeps it.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        let inputs = |it: &Self| canonical(&Value::Object(it.inputs.clone()));
        self.kind == other.kind && inputs(self) == inputs(other)
    }

    /// Whether where it is depends on where the command is run.
    pub(super) fn is_relative(&self) -> bool {
        let place = SHORT.iter().find(|(_, kind, _)| *kind == self.kind);
        let path = place.and_then(|(_, _, field)| self.inputs.get(*field)?.as_str());
        path.is_some_and(|path| Path::new(path).is_relative())
    }

    /// The short form, if it has one.
    fn short(&self) -> Option<String> {
        let is_usual =
            self.args.is_empty() && self.executable == executables::provider_of(&self.kind);
        self.place().filter(|_| is_usual)
    }

    /// What the short form says of the inputs, if that is all of them.
    fn place(&self) -> Option<String> {
        let (word, _, field) = SHORT.iter().find(|(_, kind, _)| *kind == self.kind)?;
        let path = self.inputs.get(*field)?.as_str()?;
        let deployment = self.inputs.get("deployment")?.as_str()?;
        (self.inputs.len() == 2).then(|| format!("{word}:{path}#{deployment}"))
    }
}

fn default_label() -> MemberPath {
    MemberPath(vec!["state".to_owned()])
}

impl From<&Member> for Location {
    fn from(member: &Member) -> Self {
        Self {
            label: member.path.clone(),
            executable: member.executable.clone(),
            args: member.args.clone(),
            kind: member.kind.clone(),
            inputs: member.inputs.clone(),
        }
    }
}

/// As [`Location::parse`] reads it.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.short() {
            Some(short) => f.write_str(&short),
            None => write!(f, "{}", json!(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "sqlite:/var/lib/demo.sqlite#demo",
            "file:state.json#host/demo",
            "file:a#b.json#demo",
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.to_string(), text);
            assert_eq!(location.executable, "nixops4-resources-state");
            let again: Location = serde_json::from_value(json!(location)).unwrap();
            assert_eq!(again, location);
        }
        let sqlite = Location::parse("sqlite:x#demo").unwrap();
        assert_eq!(
            json!(sqlite.inputs),
            json!({"deployment": "demo", "path": "x"})
        );
        assert_eq!(sqlite.kind, "state_sqlite");

        let text = r#"{"type": "state_postgresql", "inputs": {"deployment": "demo"}}"#;
        let location = Location::parse(text).unwrap();
        assert_eq!(location.executable, "nixops4-resources-state");
        assert_eq!(Location::parse(&location.to_string()).unwrap(), location);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("location.json");
        std::fs::write(&file, text).unwrap();
        let file = format!("@{}", file.display());
        assert_eq!(Location::parse(&file).unwrap(), location);
    }

    #[test]
    fn one_that_is_not_short_is_written_whole() {
        let mut location = Location::parse("sqlite:x#demo").unwrap();
        location.args = vec!["--verbose".to_owned()];
        assert!(location.to_string().starts_with('{'));
        assert_eq!(Location::parse(&location.to_string()).unwrap(), location);
    }

    #[test]
    fn what_says_no_place() {
        for (text, why) in [
            ("", "no kind of state"),
            ("state.sqlite", "no kind of state"),
            ("mysql:x#demo", "no kind of state"),
            ("sqlite:x", "no # and the deployment's name"),
            ("sqlite:#demo", "no # and the deployment's name"),
            ("{}", "missing field"),
            ("{", "EOF"),
            ("@/no/such/file", "No such file"),
        ] {
            let error = Location::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(error.contains("sqlite:FILE#DEPLOYMENT"), "{error}");
        }
    }
}
