//! The arguments of `secret`. No value is ever one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nixops4_secrets_store::{Fingerprint, Generation, Recipient, SecretName, Span};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Look after the secrets in a store.
///
/// `NIXOPS4_SECRETS_STORES` says where the stores are, such as
/// "main=sqlite:/path/to/secrets.db team=postgresql://deploy@db.example/secrets";
/// `NIXOPS4_SECRETS_IDENTITY` names the file with the identity that opens them.
#[derive(Debug, Args)]
pub(crate) struct Secret {
    /// Logical name of the store.
    #[arg(long, global = true, value_name = "STORE", default_value = "main")]
    pub(crate) store: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the secrets, without their values.
    List,
    /// Show a value on this terminal, after a question.
    Show(Show),
    /// Keep a value that exists already, read from a file or from stdin.
    Set(Set),
    /// Ask for a new value: the next apply of whoever declares the secret makes it.
    Rotate(Rotate),
    /// Say who did what with the secrets, and when, the newest first; or delete
    /// what is old of that.
    Audit(Audit),
    /// Say who can open the store, or change it.
    Recipients(Recipients),
    /// Say by which key the store is known here, and by which it is there; or accept
    /// that one.
    Trust(Trust),
}

/// Arguments of show.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The secret, such as `mastodon/db`.
    pub(crate) name: SecretName,
    /// Which value; without it, the newest.
    #[arg(long, value_name = "N", value_parser = generation)]
    pub(crate) generation: Option<Generation>,
    /// Show it without a question.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Write it to a pipe or a file, where others may see or keep it. Without
    /// this, stdout has to be a terminal.
    #[arg(long)]
    pub(crate) to_pipe_or_file: bool,
}

/// Arguments of set.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The secret, such as `mastodon/smtp`.
    pub(crate) name: SecretName,
    /// The file with the value. Without it, the value is read from stdin, and at
    /// a terminal it is asked for and not shown.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// As which value it is kept; without it, the one after the newest. One that
    /// is there never changes.
    #[arg(long, value_name = "N", value_parser = generation)]
    pub(crate) generation: Option<Generation>,
    /// The deployment that it belongs to, for a secret that is not there yet.
    #[arg(long, value_name = "OWNER")]
    pub(crate) owner: Option<String>,
}

/// Arguments of rotate.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The secret, such as `mastodon/db`.
    pub(crate) name: SecretName,
}

/// Arguments of audit.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Of this secret alone.
    pub(crate) name: Option<SecretName>,
    /// At most so many lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
    /// Delete what was recorded before then, after a question: a date such as
    /// 2026-01-31 (UTC), or an age such as 90d or 1y. That it was pruned, by whom,
    /// is recorded in turn, and that stays.
    #[arg(long, value_name = "DATE|AGE", value_parser = before, conflicts_with_all = ["name", "limit"])]
    pub(crate) prune_before: Option<OffsetDateTime>,
    /// Delete it without a question.
    #[arg(long, requires = "prune_before")]
    pub(crate) yes: bool,
}

/// Arguments of trust.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Logical name of the store, instead of --store.
    #[arg(value_name = "STORE")]
    pub(crate) name: Option<String>,
    /// Know the store by this key from now on, such as one that was restored from a
    /// backup. It has to be the key that the store has: compare it with somebody who
    /// knows the store, and type it.
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) accept: Option<Fingerprint>,
    /// Forget what is known of the store's address: to make a store anew where one
    /// was.
    #[arg(long, conflicts_with = "accept")]
    pub(crate) forget: bool,
}

/// Arguments of recipients.
#[derive(Debug, Args)]
pub(crate) struct Recipients {
    #[command(subcommand)]
    pub(crate) command: RecipientsCommand,
}

/// What to do with the recipients.
#[derive(Debug, Subcommand)]
pub(crate) enum RecipientsCommand {
    /// List who can open the store.
    List,
    /// Let somebody else open the store: encrypts everything anew.
    Add {
        /// The public key: age1..., ssh-ed25519 ... or ssh-rsa ..., in quotes.
        key: Recipient,
    },
    /// Shut somebody out: encrypts everything anew, without them.
    Remove {
        /// The public key.
        key: Recipient,
    },
}

/// A time in the past.
fn before(text: &str) -> Result<OffsetDateTime, String> {
    let now = OffsetDateTime::now_utc();
    let time = text
        .parse::<Span>()
        .ok()
        .and_then(|age| now.checked_sub(age.duration()))
        .or_else(|| {
            let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
            Some(date.midnight().assume_utc())
        })
        .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
        .ok_or(
            "it has to be a date such as 2026-01-31 or 2026-01-31T12:00:00Z, or an age such as 90d \
             (units s, m, h, d, w, y)",
        )?;
    if time > now {
        return Err("it is in the future".to_owned());
    }
    Ok(time)
}

fn generation(text: &str) -> Result<Generation, String> {
    text.parse::<u32>()
        .ok()
        .and_then(|number| Generation::try_from(number).ok())
        .ok_or_else(|| "it has to be a number from 1 up".to_owned())
}
