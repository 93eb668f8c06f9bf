//! `secret`: what people do with a store by hand. Only `show` prints a value, and
//! only `set` reads one.

pub(crate) mod args;
mod report;
mod terminal;
mod trust;

use std::io::{self, IsTerminal as _};

use nixops4_secrets_store::environment::{identities, store_url};
use nixops4_secrets_store::file::{self, FileProblem, Privacy};
use nixops4_secrets_store::{
    Entry, Error, ExposeSecret as _, Generation, NewSecret, Recipient, SecretName, SecretString,
    Store, forbid_core_dumps,
};

use time::OffsetDateTime;

use crate::failure::Failure;
use crate::ui::{Reader, Ui, text};
use args::{Audit, Command, RecipientsCommand, Secret, Set, Show};

/// The kind of a secret that was first kept by hand: that of the resources that
/// obtain a value and never make one.
const KIND: &str = "secrets_value";

/// Does it.
pub(crate) async fn run(secret: &Secret, ui: &Ui) -> Result<(), Failure> {
    forbid_core_dumps();
    let open = async || {
        let store = Store::open(&store_url(&secret.store)?, &identities()?).await?;
        warn(&store, ui);
        Ok::<_, Failure>(store)
    };
    match &secret.command {
        Command::List => list(open().await?, ui).await,
        Command::Show(wanted) => show(wanted, open, ui).await,
        Command::Set(wanted) => set(wanted, &secret.store, ui).await,
        Command::Rotate(wanted) => rotate(open().await?, &wanted.name, ui).await,
        Command::Audit(wanted) => audit(open().await?, wanted, ui).await,
        Command::Recipients(wanted) => match &wanted.command {
            RecipientsCommand::List => recipients(open().await?, ui).await,
            RecipientsCommand::Add { key } => add(open().await?, key, ui).await,
            RecipientsCommand::Remove { key } => remove(open().await?, key, ui).await,
        },
        Command::Trust(wanted) => {
            let name = wanted.name.as_ref().unwrap_or(&secret.store);
            trust::run(wanted, name, ui).await
        }
    }
}

/// Says what somebody should hear who opened the store.
fn warn(store: &Store, ui: &Ui) {
    for notice in store.notices() {
        ui.said("warning", &notice.to_string());
    }
    if store.url().is_read_only() {
        ui.said(
            "warning",
            "the store is only read (mode=ro): no record is left of it",
        );
    }
}

async fn list(mut store: Store, ui: &Ui) -> Result<(), Failure> {
    let entries = store.list().await?;
    match ui.reader() {
        Reader::Machine => ui.json(&report::secrets(&entries), true),
        Reader::Person => ui.print(&report::list(&entries, ui.paint())),
    }
    Ok(())
}

async fn show(
    wanted: &Show,
    open: impl AsyncFnOnce() -> Result<Store, Failure>,
    ui: &Ui,
) -> Result<(), Failure> {
    if ui.reader() == Reader::Machine {
        return Err(Failure::Usage(
            "show prints a value and nothing else: leave --json out".to_owned(),
        ));
    }
    let on_terminal = io::stdout().is_terminal();
    if !on_terminal && !wanted.to_pipe_or_file {
        return Err(Failure::SecretRefused(
            "stdout is not a terminal, and what a secret is written to may be kept or read by \
             others; if that is what you want, say --to-pipe-or-file"
                .to_owned(),
        ));
    }
    let mut store = open().await?;
    let generation = match wanted.generation {
        Some(generation) => generation,
        None => newest(&mut store, &wanted.name).await?,
    };
    if on_terminal && !wanted.yes {
        let question = format!(
            "Show secret {} generation {generation} on this terminal?",
            wanted.name
        );
        if !terminal::confirmed(ui, &question)? {
            return Err(Failure::SecretRefused("nothing was shown".to_owned()));
        }
    }
    let value = store.show(&wanted.name, generation).await?;
    let line_end = if value.expose_secret().ends_with('\n') {
        ""
    } else {
        "\n"
    };
    if on_terminal {
        ui.print(&text::harmless(value.expose_secret()));
    } else {
        ui.print(value.expose_secret());
    }
    ui.print(line_end);
    Ok(())
}

async fn newest(store: &mut Store, name: &SecretName) -> Result<Generation, Failure> {
    let entry = store.lookup(name).await?;
    let newest = entry.as_ref().and_then(Entry::newest);
    let newest = newest.map(|version| version.generation);
    newest.ok_or_else(|| {
        Failure::Secrets(Error::NoSuchSecret {
            store: store.url().to_string(),
            name: name.clone(),
        })
    })
}

async fn set(wanted: &Set, store: &str, ui: &Ui) -> Result<(), Failure> {
    let url = store_url(store)?;
    let name = &wanted.name;
    let mut store = Store::open_or_create(&url, &identities()?).await?;
    warn(&store, ui);
    let have = store.lookup(name).await?;
    let new = kept_as(wanted, have.as_ref())?;
    let next = have
        .as_ref()
        .and_then(Entry::newest)
        .map(|version| version.generation);
    let generation = match (wanted.generation, next) {
        (Some(generation), _) => generation,
        (None, None) => Generation::FIRST,
        (None, Some(newest)) => {
            Generation::try_from(newest.get().saturating_add(1)).map_err(Error::Invalid)?
        }
    };
    let value = value(wanted, ui)?;
    let ensured = store.ensure(name, generation, &new, || value).await?;
    if !ensured.created {
        return Err(Failure::SecretRefused(format!(
            "secret {name} has a generation {generation} already, and it stays as it is: leave \
             --generation out to keep this value as the next one"
        )));
    }
    let kept = report::kept(&wanted.name, &ensured.version);
    match ui.reader() {
        Reader::Machine => ui.json(&kept, true),
        Reader::Person => ui.print(&format!(
            "kept {name} generation {generation}; whoever declares it gets it with `generation = \
             {generation}`\n"
        )),
    }
    Ok(())
}

/// Whose it is, and of which kind. No generation is deleted: how many are kept
/// is for whoever declares the secret to say.
fn kept_as(wanted: &Set, have: Option<&Entry>) -> Result<NewSecret, Failure> {
    let new = match (have, &wanted.owner) {
        (None, Some(owner)) => NewSecret::new(owner, KIND),
        (None, None) => {
            return Err(Failure::Usage(format!(
                "there is no secret {} yet: say with --owner which deployment it belongs to",
                wanted.name
            )));
        }
        (Some(entry), Some(owner)) if *owner != entry.owner => {
            return Err(Failure::Usage(format!(
                "secret {} belongs to {:?}, not to {owner:?}: leave --owner out, or choose \
                 another name",
                wanted.name, entry.owner
            )));
        }
        (Some(entry), _) => NewSecret::new(&entry.owner, &entry.kind),
    };
    Ok(new.keep(u32::MAX))
}

fn value(wanted: &Set, ui: &Ui) -> Result<SecretString, Failure> {
    let refuse = |from: &str, problem: &FileProblem| {
        Failure::SecretRefused(format!("unable to read the value from {from}: {problem}"))
    };
    match &wanted.from {
        Some(path) => file::read(path, Privacy::Any)
            .map_err(|problem| refuse(&path.display().to_string(), &problem)),
        None if io::stdin().is_terminal() => terminal::hidden(ui, "Value (it is not shown): "),
        None => {
            file::from_reader(io::stdin().lock(), 0).map_err(|problem| refuse("stdin", &problem))
        }
    }
}

async fn rotate(mut store: Store, name: &SecretName, ui: &Ui) -> Result<(), Failure> {
    let asked = store.request_rotation(name).await?;
    match ui.reader() {
        Reader::Machine => ui.json(&report::Mark::from(&asked), true),
        Reader::Person => ui.print(&format!(
            "a new value of {name} is due since {} ({}); the next apply of whoever declares it \
             makes it, and plan shows it\n",
            report::date(asked.since),
            asked.by,
        )),
    }
    Ok(())
}

async fn audit(mut store: Store, wanted: &Audit, ui: &Ui) -> Result<(), Failure> {
    if let Some(before) = wanted.prune_before {
        return prune(store, before, wanted.yes, ui).await;
    }
    let records = store.audit(wanted.name.as_ref(), wanted.limit).await?;
    match ui.reader() {
        Reader::Machine => ui.json(&report::records(&records), true),
        Reader::Person => ui.print(&report::audit(&records, ui.paint())),
    }
    Ok(())
}

async fn prune(
    mut store: Store,
    before: OffsetDateTime,
    is_sure: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    let records = store.count_audit(before).await?;
    if records > 0 && !is_sure {
        let question = format!(
            "Delete {records} records from before {}, for good?",
            report::date(before)
        );
        if !terminal::confirmed(ui, &question)? {
            return Err(Failure::SecretRefused("nothing was deleted".to_owned()));
        }
    }
    let pruned = store.prune_audit(before).await?;
    match ui.reader() {
        Reader::Machine => ui.json(&report::Pruned::new(pruned, before), true),
        Reader::Person if pruned == 0 => ui.print(&format!(
            "nothing is on record from before {}\n",
            report::date(before)
        )),
        Reader::Person => ui.print(&format!(
            "deleted {pruned} records from before {}, and recorded that\n",
            report::date(before)
        )),
    }
    Ok(())
}

async fn recipients(mut store: Store, ui: &Ui) -> Result<(), Failure> {
    let recipients = store.recipients().await?;
    match ui.reader() {
        Reader::Machine => ui.json(&report::recipients(&recipients), true),
        Reader::Person => ui.print(&report::listed(&recipients, ui.paint())),
    }
    Ok(())
}

async fn add(mut store: Store, key: &Recipient, ui: &Ui) -> Result<(), Failure> {
    let is_new = store.add_recipient(key).await?;
    ui.print(if is_new {
        "added; everything is encrypted anew, and whoever holds that key can open the store\n"
    } else {
        "it is a recipient already; nothing was changed\n"
    });
    Ok(())
}

async fn remove(mut store: Store, key: &Recipient, ui: &Ui) -> Result<(), Failure> {
    store.remove_recipient(key).await?;
    ui.print(
        "removed; everything is encrypted anew, without that key. Whoever holds it can still read \
         older copies of the store, and may remember what was in it: rotate what they should not \
         know\n",
    );
    Ok(())
}
