//! The arguments of `secret`. No value is ever one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nixops4_secrets_store::{Fingerprint, Generation, Recipient, SecretName, Span};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Manage the secrets in a store.
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
    /// Store an existing value, read from a file or stdin.
    Set(Set),
    /// Request a new value. The next apply of the deployment that declares the secret makes it.
    Rotate(Rotate),
    /// Show who did what with the secrets and when, newest first; or delete old entries.
    Audit(Audit),
    /// List who can open the store, add somebody, or remove somebody.
    Recipients(Recipients),
    /// Show the key that the store is known by here and the key that it has; or accept the
    /// latter.
    Trust(Trust),
}

/// Arguments of show.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The secret, such as `mastodon/db`.
    pub(crate) name: SecretName,
    /// Which generation [default: the newest].
    #[arg(long, value_name = "N", value_parser = generation)]
    pub(crate) generation: Option<Generation>,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Allow a pipe or a file, where others may see or keep the value. Without this, stdout
    /// has to be a terminal.
    #[arg(long)]
    pub(crate) to_pipe_or_file: bool,
}

/// Arguments of set.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The secret, such as `mastodon/smtp`.
    pub(crate) name: SecretName,
    /// The file with the value [default: stdin]. At a terminal, the value is asked for and
    /// not shown.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// The generation to store [default: the one after the newest]. An existing generation
    /// never changes.
    #[arg(long, value_name = "N", value_parser = generation)]
    pub(crate) generation: Option<Generation>,
    /// The deployment that a new secret belongs to.
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
    /// Only this secret.
    pub(crate) name: Option<SecretName>,
    /// Print at most N lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
    /// Delete older entries, after asking: a date such as 2026-01-31 (UTC), or an age such
    /// as 90d or 1y. The deletion is itself recorded, with who did it, and that entry stays.
    #[arg(long, value_name = "DATE|AGE", value_parser = before, conflicts_with_all = ["name", "limit"])]
    pub(crate) prune_before: Option<OffsetDateTime>,
    /// Do not ask for confirmation.
    #[arg(long, requires = "prune_before")]
    pub(crate) yes: bool,
}

/// Arguments of trust.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Logical name of the store, instead of --store.
    #[arg(value_name = "STORE")]
    pub(crate) name: Option<String>,
    /// Accept this key from now on, for example after restoring a backup. It must be the key
    /// that the store has: compare it with somebody who knows the store, and type it.
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) accept: Option<Fingerprint>,
    /// Forget the key of this address, to create a new store where one was.
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
    /// Let somebody else open the store. Encrypts everything again.
    Add {
        /// The public key: age1..., ssh-ed25519 ... or ssh-rsa ..., in quotes.
        key: Recipient,
    },
    /// Remove somebody. Encrypts everything again, without them.
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
