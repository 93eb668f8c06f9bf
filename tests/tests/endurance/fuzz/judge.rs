//! Whether an answer is one, to what was sent.

use jsonschema::Validator;
use serde_json::Value;

use super::request::{Kind, Sent, without_nulls};

/// How long an error may be, in bytes.
const LONGEST: usize = 20_000;

/// What became of the requests.
#[derive(Default)]
pub(crate) struct Tally {
    /// Done, or looked at.
    pub(crate) done: u64,
    /// Refused.
    pub(crate) refused: u64,
    /// Refused with a pointer to the field.
    pub(crate) named: u64,
}

impl Tally {
    pub(crate) fn all(&self) -> u64 {
        self.done + self.refused + self.named
    }
}

/// Knows what a kind's inputs have to be.
pub(crate) struct Judge {
    kind: String,
    inputs: Validator,
}

impl Judge {
    pub(crate) fn new(kind: &Kind) -> Self {
        Self {
            kind: kind.name.clone(),
            inputs: jsonschema::draft202012::new(&kind.inputs).expect("a schema"),
        }
    }

    /// What is wrong with an answer.
    pub(crate) fn problem(&self, sent: &Sent, answer: &str, tally: &mut Tally) -> Option<String> {
        let answered = match Answer::parse(answer) {
            Ok(answered) => answered,
            Err(problem) => return Some(format!("{problem}: {answer}")),
        };
        let request = serde_json::from_slice::<Value>(&sent.line).ok();
        let asked = request.as_ref().and_then(only_entry);
        let message = match answered {
            Answer::Done(name) => {
                tally.done += 1;
                let expected = asked.and_then(|(asked, _)| response_to(asked));
                if expected.as_deref() != Some(&name) {
                    return Some(format!("another answer than {expected:?}: {answer}"));
                }
                if asked.is_some_and(|asked| self.are_inputs_wrong(asked)) {
                    return Some(format!(
                        "the schema refuses this, and it was done: {answer}"
                    ));
                }
                return None;
            }
            Answer::Refused(message) => message,
        };
        if message.starts_with('/') {
            tally.named += 1;
        } else {
            tally.refused += 1;
        }
        let names_it = match &sent.changed {
            Some(changed) if asked.is_some_and(|asked| self.are_inputs_wrong(asked)) => {
                message.starts_with(&format!("/{changed}"))
            }
            _ => true,
        };
        if !names_it {
            let changed = sent.changed.as_deref().unwrap_or_default();
            return Some(format!("the error doesn't name /{changed}: {message}"));
        }
        problem_of(&message).map(|problem| format!("{problem}: {message:?}"))
    }

    /// Whether the inputs of a create request of this kind don't fit its schema.
    fn are_inputs_wrong(&self, (asked, held): (&str, &Value)) -> bool {
        let inputs = without_nulls(&held["inputProperties"]);
        asked == "createResourceRequest"
            && held["type"] == self.kind
            && inputs.is_object()
            && !self.inputs.is_valid(&inputs)
    }
}

/// An answer as it came.
enum Answer {
    /// The key of the response.
    Done(String),
    /// The message.
    Refused(String),
}

impl Answer {
    fn parse(line: &str) -> Result<Self, String> {
        let answer: Value =
            serde_json::from_str(line).map_err(|error| format!("no JSON ({error})"))?;
        let (name, held) = only_entry(&answer).ok_or("not an object with one key")?;
        if name != "errorResponse" {
            return Ok(Self::Done(name.to_owned()));
        }
        match only_entry(held) {
            Some(("message", Value::String(message))) => Ok(Self::Refused(message.clone())),
            _ => Err("an error is an object with a message".to_owned()),
        }
    }
}

/// What is wrong with an error's message.
fn problem_of(message: &str) -> Option<&'static str> {
    if message.trim().is_empty() {
        return Some("it says nothing");
    }
    if message.len() > LONGEST {
        return Some("it is too long");
    }
    if message.contains("by a bug of its own") || message.contains("panicked") {
        return Some("a panic");
    }
    if message
        .chars()
        .any(|it| !matches!(it, '\n' | '\t') && steers(it))
    {
        return Some("it moves the cursor, or turns the text around");
    }
    None
}

/// What a terminal obeys instead of showing it.
pub(crate) fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn only_entry(value: &Value) -> Option<(&str, &Value)> {
    let mut entries = value.as_object()?.iter();
    let (name, held) = entries.next()?;
    entries.next().is_none().then_some((name, held))
}

fn response_to(request: &str) -> Option<String> {
    if request == "stateResourceEvent" {
        return Some("stateResourceEventResponse".to_owned());
    }
    let stem = request.strip_suffix("Request")?;
    Some(format!("{stem}Response"))
}
