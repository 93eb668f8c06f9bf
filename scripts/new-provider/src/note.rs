//! The kind `example_note`.

use std::fmt;
use std::path::PathBuf;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Effect, Error, Found, Mark, Object, Observed, Ownership, Prior,
    ResourceKind, Result, Step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::board::{Connection, Entry, Reach};

/// A note on a board.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// How to reach the board.
    connection: Connection,
    /// Name of the note: letters, digits and `-`.
    name: String,
    /// What it says, one line. Default: empty.
    #[serde(default)]
    text: String,
}

/// What an expression can read of a note.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Name of the note.
    name: String,
    /// Length of what it says, in bytes.
    length: usize,
}

/// What is still of use of a record. A field that was added later is optional.
#[derive(Debug, Deserialize)]
pub(crate) struct Recorded {
    connection: Connection,
    name: String,
}

/// What names a note: its board and its name.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    folder: PathBuf,
    name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "note {:?} on {}", self.name, self.folder.display())
    }
}

/// What is there.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    name: String,
    text: String,
}

#[derive(Debug)]
pub(crate) enum Change {
    Create,
    Text,
    /// Refused: a note can't be renamed.
    Name,
}

/// See [`Inputs`].
pub(crate) struct Note;

impl ResourceKind for Note {
    const TYPE: &'static str = "example_note";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const IDENTITY_INPUTS: &'static [&'static str] = &["connection", "name"];
    const STABLE_OUTPUTS: &'static [&'static str] = &["name"];
    const HOLDS_SECRETS: bool = false;
    const LISTS: bool = true;

    type Reach = Reach;
    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<Recorded, Object>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if inputs.name.is_empty() || !inputs.name.chars().all(is_plain) {
            let refused = Error::input("/name", format!("{:?} can't be a note", inputs.name));
            return Err(refused.hint("use letters, digits and -"));
        }
        if inputs.text.contains('\n') {
            return Err(Error::input("/text", "a note says one line"));
        }
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        identity(&inputs.connection, &inputs.name)
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(identity(&prior.inputs.connection, &prior.inputs.name))
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        let Some(have) = have else {
            return vec![Step::create(Change::Create)];
        };
        let name = Step::unless_same("/name", &have.name, &want.name, Change::Name);
        let text = Step::unless_same("/text", &have.text, &want.text, Change::Text);
        let name = name.map(|step| step.effect(Effect::Replace));
        name.into_iter().chain(text).collect()
    }

    fn outputs(_: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            name: facts.name.clone(),
            length: facts.text.len(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        Object::from_iter([
            ("name".to_owned(), inputs.name.clone().into()),
            ("length".to_owned(), inputs.text.len().into()),
        ])
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let there = look(cx, &inputs.connection, &inputs.name).await?;
        match prior {
            // It may have had another name.
            Some(prior) if there.is_none() => Self::observe_recorded(cx, prior).await,
            _ => Ok(there),
        }
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let board = inputs.connection.open(cx).await?;
        let entry = entry(&cx.mark(), &inputs.text, true);
        match change {
            Change::Create => board.create(&inputs.name, &entry),
            Change::Text => board.replace(&inputs.name, &entry),
            Change::Name => Err(Error::input("/name", "a note can't be renamed")),
        }
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let board = inputs.connection.open(cx).await?;
        board.replace(&facts.name, &entry(mark, &facts.text, true))
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        look(cx, &prior.inputs.connection, &prior.inputs.name).await
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let board = prior.inputs.connection.open(cx).await?;
        board.remove(&facts.name)
    }

    /// Nobody else can read it any more.
    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        let board = prior.inputs.connection.open(cx).await?;
        board.replace(&facts.name, &entry(mark, &facts.text, false))
    }

    async fn list(cx: &Context, at: &Reach) -> Result<Vec<Found>> {
        let board = at.connection.open(cx).await?;
        let mut found = Vec::new();
        for name in board.names()? {
            let Some(entry) = board.read(&name)? else {
                continue;
            };
            match Mark::find_in(&entry.comment) {
                Some(mark) if mark.is_of_same(&cx.mark()) => {
                    let identity = identity(&at.connection, &name);
                    found.push(Found::new(&identity, [("name", Some(&*name))], mark));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn identity(connection: &Connection, name: &str) -> Identity {
    Identity {
        folder: connection.folder.clone(),
        name: name.to_owned(),
    }
}

fn entry(mark: &Mark, text: &str, is_public: bool) -> Entry {
    Entry {
        comment: mark.to_string(),
        text: text.to_owned(),
        is_public,
    }
}

async fn look(
    cx: &Context,
    connection: &Connection,
    name: &str,
) -> Result<Option<Observed<Facts>>> {
    let board = connection.open(cx).await?;
    let found = board.read(name)?;
    Ok(found.map(|entry| Observed {
        ownership: Ownership::from_comment(Some(&entry.comment)),
        facts: Facts {
            name: name.to_owned(),
            text: entry.text,
        },
    }))
}
