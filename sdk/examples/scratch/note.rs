//! The kind `scratch_note`: a file in a folder, with its mark on the first line.

use std::fmt;
use std::path::{Path, PathBuf};

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Mark, Object, Observed, Ownership, Prior, ResourceKind, Result,
    SecretRef, Step, Value,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::faults;

/// A note in a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// Path of the folder.
    folder: PathBuf,
    /// Name of the note: its file's, without `.note`.
    name: String,
    /// What it says, one line.
    #[serde(default)]
    text: String,
    /// How often it says so.
    #[serde(default = "once")]
    copies: u8,
    /// A secret that is fetched whenever the note is looked at.
    #[serde(default)]
    secret: Option<SecretRef>,
}

fn once() -> u8 {
    1
}

/// What an expression can read of a note.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Path of its file.
    path: PathBuf,
    /// How many lines it has.
    lines: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PriorInputs {
    folder: PathBuf,
    name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PriorOutputs {}

#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    folder: PathBuf,
    name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "note {:?} in {}", self.name, self.folder.display())
    }
}

#[derive(Debug)]
pub(crate) struct Facts {
    path: PathBuf,
    lines: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum Change {
    Create,
    Lines,
}

/// See [`Inputs`].
pub(crate) struct Note;

impl ResourceKind for Note {
    const TYPE: &'static str = "scratch_note";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const LOCATED_BY: &'static [&'static str] = &["folder", "name"];
    const LASTING: &'static [&'static str] = &["path"];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.name.is_empty() || inputs.name.contains('/') {
            return Err(Error::input(
                "/name",
                format!("{:?} can't be a file", inputs.name),
            ));
        }
        if inputs.text.contains('\n') {
            return Err(Error::input("/text", "a note says one line"));
        }
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            folder: inputs.folder.clone(),
            name: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            folder: inputs.folder.clone(),
            name: inputs.name.clone(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        let Some(have) = have else {
            return vec![Step::create(Change::Create)];
        };
        let wanted = lines(want);
        if have.lines == wanted {
            return Vec::new();
        }
        let (before, after) = (Value::known(&have.lines), Value::known(wanted));
        vec![Step::set("/text", before, after, Change::Lines)]
    }

    fn outputs(_: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            path: facts.path.clone(),
            lines: facts.lines.len(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = Object::new();
        let path = file(&inputs.folder, &inputs.name);
        outputs.insert("path".to_owned(), path.to_string_lossy().into());
        outputs.insert("lines".to_owned(), inputs.copies.into());
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        _: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let secret = match &inputs.secret {
            Some(reference) => Some(cx.secret(reference, "/secret").await?),
            None => None,
        };
        faults::looking(&inputs.folder, secret.as_ref())?;
        look(&file(&inputs.folder, &inputs.name))
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        faults::stepping(&inputs.folder).await?;
        tracing::debug!("{change:?}");
        write(
            &file(&inputs.folder, &inputs.name),
            &cx.mark(),
            &lines(inputs),
        )
    }

    async fn write_mark(_: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        faults::stepping(&inputs.folder).await?;
        write(&facts.path, mark, &facts.lines)
    }

    async fn observe_recorded(_: &Context, prior: &Self::Prior) -> Result<Option<Observed<Facts>>> {
        look(&file(&prior.inputs.folder, &prior.inputs.name))
    }

    async fn delete(_: &Context, _: &Self::Prior, facts: &Facts) -> Result<()> {
        std::fs::remove_file(&facts.path)
            .map_err(|error| Error::new("unable to remove the note").because(error))
    }

    async fn retain(_: &Context, _: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        write(&facts.path, mark, &facts.lines)
    }
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.note"))
}

fn lines(inputs: &Inputs) -> Vec<String> {
    vec![inputs.text.clone(); inputs.copies.into()]
}

fn look(path: &Path) -> Result<Option<Observed<Facts>>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::new("unable to read the note").because(error)),
    };
    let mut all = text.lines().map(ToOwned::to_owned);
    let ownership = Ownership::from_comment(all.next().as_deref());
    let facts = Facts {
        path: path.to_owned(),
        lines: all.collect(),
    };
    Ok(Some(Observed { facts, ownership }))
}

/// Under another name first: a note is never there without its mark.
fn write(path: &Path, mark: &Mark, lines: &[String]) -> Result<()> {
    let staged = path.with_extension("staged");
    std::fs::write(&staged, format!("{mark}\n{}\n", lines.join("\n")))
        .and_then(|()| std::fs::rename(&staged, path))
        .map_err(|error| {
            Error::input("/folder", format!("unable to write {}", path.display()))
                .because(error)
                .hint("make the folder, and let this process write to it")
        })
}
