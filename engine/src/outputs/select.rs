//! Recorded outputs, by the names that lead to them. Pure.

use nixops4_protocol::Object;
use serde_json::Value;

use crate::member::{MemberPath, OutputRef};
use crate::report::graph::RecordedOutput;

/// How many names are told of what there is.
const TOLD: usize = 12;

/// Why there is no such output.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputsError {
    /// Nothing is recorded under that name.
    #[error("no outputs are recorded at '{path}'; there are {}", told(there))]
    Nothing {
        /// The name.
        path: MemberPath,
        /// What there is beside it.
        there: Vec<String>,
    },
    /// Nothing is recorded at all.
    #[error("no outputs are recorded; `nixops4-resources apply` records them")]
    Empty,
    /// The member has others.
    #[error("'{member}' has no output '{output}'; it has {}", told(there))]
    NoOutput {
        /// The member.
        member: MemberPath,
        /// The output.
        output: String,
        /// Its outputs.
        there: Vec<String>,
    },
    /// The output has other parts.
    #[error("{within} has no '{name}'; {}", parts(there))]
    NoPart {
        /// Of what.
        within: String,
        /// The part.
        name: String,
        /// Its parts.
        there: Vec<String>,
    },
    /// More than one, or not a text.
    #[error(
        "--raw prints one text, number or truth value, and {name} is {found}; without --raw, or \
         with --json, it is printed whole"
    )]
    NotPlain {
        /// The output.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// None was named.
    #[error(
        "--raw prints one output: name it, as in `nixops4-resources outputs --raw web.db.host`"
    )]
    Several,
}

fn told(names: &[String]) -> String {
    let mut told: Vec<String> = names.iter().take(TOLD).cloned().collect();
    if names.len() > TOLD {
        told.push(format!("{} more", names.len() - TOLD));
    }
    if told.is_empty() {
        return "none".to_owned();
    }
    told.join(", ")
}

fn parts(names: &[String]) -> String {
    if names.is_empty() {
        "it has no parts".to_owned()
    } else {
        format!("it has {}", told(names))
    }
}

/// The outputs that `wanted` names: those of a member, of all below it, one output, or a
/// part of one.
pub(crate) fn select<'a>(
    recorded: impl Iterator<Item = (&'a MemberPath, &'a Object)>,
    wanted: Option<&MemberPath>,
) -> Result<Vec<RecordedOutput>, OutputsError> {
    let mut recorded: Vec<_> = recorded.collect();
    recorded.sort_by_key(|(path, _)| *path);
    if recorded.is_empty() {
        return Err(OutputsError::Empty);
    }
    let all = MemberPath::default();
    let wanted = wanted.unwrap_or(&all);
    let within: Vec<_> = (recorded.iter())
        .filter(|(path, _)| path.is_within(wanted))
        .collect();
    if !within.is_empty() {
        let outputs = within.iter().flat_map(|(path, outputs)| {
            let there = outputs.iter().filter(|(_, value)| !value.is_null());
            there.map(|(output, value)| found(path, output, &[], value))
        });
        return Ok(outputs.collect());
    }
    let member = recorded.iter().find(|(path, _)| wanted.is_within(path));
    let Some((member, outputs)) = member else {
        return Err(OutputsError::Nothing {
            path: wanted.clone(),
            there: near(&recorded, wanted),
        });
    };
    let [output, part @ ..] = &wanted.names()[member.names().len()..] else {
        return Err(OutputsError::Empty);
    };
    let there = outputs.iter().filter(|(_, value)| !value.is_null());
    let Some((_, value)) = there.clone().find(|(name, _)| *name == output) else {
        return Err(OutputsError::NoOutput {
            member: (*member).clone(),
            output: output.clone(),
            there: there.map(|(name, _)| name.clone()).collect(),
        });
    };
    let mut here = value;
    for (depth, name) in part.iter().enumerate() {
        here = below(here, name).ok_or_else(|| OutputsError::NoPart {
            within: name_of(member, output, &part[..depth]),
            name: name.clone(),
            there: match here {
                Value::Object(fields) => fields.keys().cloned().collect(),
                Value::Array(values) => (0..values.len()).map(|it| it.to_string()).collect(),
                _ => Vec::new(),
            },
        })?;
    }
    Ok(vec![found(member, output, part, here)])
}

/// The only output, as it is: a text without quotes.
pub fn plain(outputs: &[RecordedOutput]) -> Result<String, OutputsError> {
    let [output] = outputs else {
        return Err(OutputsError::Several);
    };
    let found = match &output.value {
        Value::String(text) => return Ok(text.clone()),
        Value::Number(number) => return Ok(number.to_string()),
        Value::Bool(truth) => return Ok(truth.to_string()),
        Value::Null => "null",
        Value::Array(_) => "a list",
        Value::Object(_) => "a set",
    };
    Err(OutputsError::NotPlain {
        name: output.name.clone(),
        found,
    })
}

fn below<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(values) => values.get(name.parse::<usize>().ok()?),
        _ => None,
    }
}

fn found(path: &MemberPath, output: &str, part: &[String], value: &Value) -> RecordedOutput {
    RecordedOutput {
        name: name_of(path, output, part),
        path: path.clone(),
        output: output.to_owned(),
        part: part.to_vec(),
        value: value.clone(),
    }
}

fn name_of(path: &MemberPath, output: &str, part: &[String]) -> String {
    let mut name = OutputRef {
        path: path.clone(),
        output: output.to_owned(),
    }
    .to_string();
    for one in part {
        let written = MemberPath(vec![one.clone()]).to_string();
        name = format!("{name}.{written}");
    }
    name
}

/// The members beside what is not there, or else all.
fn near(recorded: &[(&MemberPath, &Object)], wanted: &MemberPath) -> Vec<String> {
    for depth in (0..wanted.names().len()).rev() {
        let above = MemberPath(wanted.names()[..depth].to_vec());
        let there = recorded.iter().filter(|(path, _)| path.is_within(&above));
        let there: Vec<String> = there.map(|(path, _)| path.to_string()).collect();
        if !there.is_empty() {
            return there;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(wanted: &str) -> Result<Vec<String>, String> {
        let recorded: Vec<(MemberPath, Object)> = [
            ("web.db", json!({ "host": "h", "port": 5432, "gone": null })),
            ("web.site", json!({ "tls": { "ca": ["one", "two"] } })),
            ("a", json!({ "b": true })),
        ]
        .into_iter()
        .map(|(path, outputs)| (path.parse().unwrap(), outputs.as_object().unwrap().clone()))
        .collect();
        let wanted: Option<MemberPath> = (!wanted.is_empty()).then(|| wanted.parse().unwrap());
        let recorded = recorded.iter().map(|(path, outputs)| (path, outputs));
        let outputs = select(recorded, wanted.as_ref()).map_err(|error| error.to_string())?;
        let written = outputs.iter().map(|it| format!("{}={}", it.name, it.value));
        Ok(written.collect())
    }

    #[test]
    fn outputs_are_found_by_their_names() {
        for (wanted, expected) in [
            (
                "",
                &[
                    "a.b=true",
                    "web.db.host=\"h\"",
                    "web.db.port=5432",
                    "web.site.tls={\"ca\":[\"one\",\"two\"]}",
                ][..],
            ),
            ("web.db", &["web.db.host=\"h\"", "web.db.port=5432"]),
            ("web.db.host", &["web.db.host=\"h\""]),
            ("web.site.tls.ca.1", &["web.site.tls.ca.\"1\"=\"two\""]),
        ] {
            assert_eq!(told(wanted).unwrap(), expected, "{wanted}");
        }
    }

    #[test]
    fn what_is_not_there_says_what_is() {
        for (wanted, says) in [
            (
                "web.dx",
                "no outputs are recorded at 'web.dx'; there are web.db, web.site",
            ),
            ("x", "there are a, web.db, web.site"),
            (
                "web.db.hots",
                "'web.db' has no output 'hots'; it has host, port",
            ),
            ("web.db.gone", "has no output 'gone'"),
            ("web.site.tls.key", "web.site.tls has no 'key'; it has ca"),
            (
                "web.site.tls.ca.2",
                "web.site.tls.ca has no '2'; it has 0, 1",
            ),
            ("web.db.port.x", "web.db.port has no 'x'; it has no parts"),
        ] {
            let error = told(wanted).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
