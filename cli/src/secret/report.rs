//! What `secret` prints of a store, as text and as JSON. Pure, and without values.

use std::fmt::Write as _;

use nixops4_secrets_store::{
    Entry, Fingerprint, Identities, Inspection, ListedRecipient, Recognition, Record, Retained,
    Rotation, SecretName, StoreUrl, Version,
};
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::ui::text::{self, Paint};

/// A secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Secret<'a> {
    name: &'a str,
    owner: &'a str,
    kind: &'a str,
    created_at: String,
    generations: Vec<Kept<'a>>,
    retained: Option<Mark<'a>>,
    rotation_requested: Option<Mark<'a>>,
}

/// One value of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    generation: u32,
    id: String,
    created_at: String,
    public_part: Option<&'a str>,
}

/// Who did something, and when.
#[derive(Debug, Serialize)]
pub(super) struct Mark<'a> {
    by: &'a str,
    since: String,
}

impl<'a> From<&'a Rotation> for Mark<'a> {
    fn from(mark: &'a Rotation) -> Self {
        Self {
            by: &mark.by,
            since: date(mark.since),
        }
    }
}

impl<'a> From<&'a Retained> for Mark<'a> {
    fn from(mark: &'a Retained) -> Self {
        Self {
            by: &mark.by,
            since: date(mark.since),
        }
    }
}

/// A line of the record.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    at: String,
    person: &'a str,
    owner: Option<&'a str>,
    action: &'static str,
    name: Option<&'a str>,
    generation: Option<u32>,
    detail: Option<&'a str>,
}

/// What was deleted of the record.
#[derive(Debug, Serialize)]
pub(super) struct Pruned {
    pruned: u64,
    before: String,
}

impl Pruned {
    pub(super) fn new(pruned: u64, before: OffsetDateTime) -> Self {
        Self {
            pruned,
            before: date(before),
        }
    }
}

/// A recipient.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Key<'a> {
    recipient: &'a str,
    added_at: String,
    ours: bool,
}

/// A store, and what is known of it here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trust<'a> {
    store: &'a str,
    address: String,
    id: &'a str,
    key: Fingerprint,
    root: Fingerprint,
    /// `known`, `moved`, `new`, `older` or `another`.
    recognition: &'static str,
    known: Option<KnownAs<'a>>,
    known_stores: String,
}

/// What is known.
#[derive(Debug, Serialize)]
pub(super) struct KnownAs<'a> {
    address: &'a str,
    since: String,
    /// The oldest first.
    keys: &'a [Fingerprint],
}

impl<'a> Trust<'a> {
    pub(super) fn new(
        store: &'a str,
        url: &StoreUrl,
        identities: &Identities,
        seen: &'a Inspection,
    ) -> Self {
        Self {
            store,
            address: url.to_string(),
            id: &seen.id,
            key: seen.key,
            root: seen.root,
            recognition: match seen.recognition {
                Recognition::Known => "known",
                Recognition::Moved => "moved",
                Recognition::New => "new",
                Recognition::Older => "older",
                Recognition::Another => "another",
            },
            known: seen.known.as_ref().map(|known| KnownAs {
                address: &known.address,
                since: date(known.since),
                keys: known.keys(),
            }),
            known_stores: identities.known_stores().display().to_string(),
        }
    }
}

/// That a key was accepted.
#[derive(Debug, Serialize)]
pub(super) struct Accepted {
    address: String,
    accepted: Fingerprint,
}

impl Accepted {
    pub(super) fn new(url: &StoreUrl, accepted: Fingerprint) -> Self {
        Self {
            address: url.to_string(),
            accepted,
        }
    }
}

/// That nothing is known of an address any more.
#[derive(Debug, Serialize)]
pub(super) struct Forgotten {
    address: String,
    forgotten: bool,
}

impl Forgotten {
    pub(super) fn new(url: &StoreUrl, forgotten: bool) -> Self {
        Self {
            address: url.to_string(),
            forgotten,
        }
    }
}

/// A store and what is known of it, a fact a line, and what that means.
pub(super) fn trust(trust: &Trust<'_>, paint: Paint) -> String {
    let mut lines = String::new();
    let mut line = |what: &str, text: &str| {
        let what = paint.dim(&format!("{what:12}"));
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{what} {}", text::harmless(text));
    };
    line("store", &format!("{} at {}", trust.store, trust.address));
    line("id", trust.id);
    line("key", &trust.key.to_string());
    line("first key", &trust.root.to_string());
    if let Some(known) = &trust.known {
        let last = known.keys.last().map(Fingerprint::to_string);
        line("known key", &last.unwrap_or_default());
        line("known since", &known.since);
        if known.address != trust.address {
            line("known at", known.address);
        }
    }
    line("known stores", &trust.known_stores);
    let (is_fine, meaning) = match trust.recognition {
        "known" => (true, "It is the store that is known here."),
        "moved" => (
            true,
            "It is a store that is known here, at another address.",
        ),
        "new" => (
            true,
            "It is not known here yet. Compare its key with somebody who knows the store; the first \
             use accepts it, and so does `--accept FINGERPRINT`.",
        ),
        "older" => (
            false,
            "It is an older copy of the store that is known here, and is refused. If it was put \
             there on purpose, accept its key with `--accept FINGERPRINT`, and see who its \
             recipients are.",
        ),
        _ => (
            false,
            "It is NOT the store that is known here, and is refused. Find out who put it there. If \
             that was on purpose, compare its key with whoever did it, and accept it with `--accept \
             FINGERPRINT`.",
        ),
    };
    let meaning = if is_fine {
        meaning.to_owned()
    } else {
        paint.warn(meaning)
    };
    lines.push_str(&meaning);
    lines.push('\n');
    lines
}

/// A time, to the second, in UTC.
pub(super) fn date(time: OffsetDateTime) -> String {
    let time = time.to_offset(UtcOffset::UTC);
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

fn version(version: &Version) -> Kept<'_> {
    Kept {
        name: None,
        generation: version.generation.get(),
        id: version.id.to_string(),
        created_at: date(version.created_at),
        public_part: version.public_part.as_deref(),
    }
}

/// A value that was kept just now.
pub(super) fn kept<'a>(name: &'a SecretName, made: &'a Version) -> Kept<'a> {
    Kept {
        name: Some(name.as_str()),
        ..version(made)
    }
}

pub(super) fn secrets<'a>(entries: &'a [Entry]) -> Vec<Secret<'a>> {
    let secret = |entry: &'a Entry| Secret {
        name: entry.name.as_str(),
        owner: &entry.owner,
        kind: &entry.kind,
        created_at: date(entry.created_at),
        generations: entry.generations.iter().map(version).collect(),
        retained: entry.retained.as_ref().map(Mark::from),
        rotation_requested: entry.rotation.as_ref().map(Mark::from),
    };
    entries.iter().map(secret).collect()
}

pub(super) fn records(records: &[Record]) -> Vec<Line<'_>> {
    records
        .iter()
        .map(|record| Line {
            at: date(record.at),
            person: &record.person,
            owner: record.owner.as_deref(),
            action: record.action.as_str(),
            name: record.name.as_ref().map(SecretName::as_str),
            generation: record.generation.map(Into::into),
            detail: record.detail.as_deref(),
        })
        .collect()
}

pub(super) fn recipients(recipients: &[ListedRecipient]) -> Vec<Key<'_>> {
    recipients
        .iter()
        .map(|listed| Key {
            recipient: listed.recipient.as_str(),
            added_at: date(listed.added_at),
            ours: listed.is_ours,
        })
        .collect()
}

/// The secrets, one a line.
pub(super) fn list(entries: &[Entry], paint: Paint) -> String {
    if entries.is_empty() {
        return "there are no secrets in this store\n".to_owned();
    }
    let width = |of: fn(&Entry) -> usize| entries.iter().map(of).max().unwrap_or(0);
    let names = width(|entry| entry.name.as_str().len());
    let kinds = width(|entry| entry.kind.chars().count());
    let mut lines = String::new();
    for entry in entries {
        let numbers: Vec<String> = entry
            .generations
            .iter()
            .map(|version| version.generation.to_string())
            .collect();
        let since = entry.newest().map(|newest| date(newest.created_at));
        // Writing to a string does not fail.
        let _ = write!(
            lines,
            "{} {} {}",
            paint.bold(&format!("{:names$}", entry.name.as_str())),
            text::line(&format!("{:kinds$}", entry.kind)),
            text::line(&format!(
                "generation {} of {}, made {}",
                numbers.join(", "),
                entry.owner,
                since.unwrap_or_default()
            )),
        );
        for (what, by) in [
            ("retained by", entry.retained.as_ref().map(|mark| &mark.by)),
            (
                "rotation asked for by",
                entry.rotation.as_ref().map(|mark| &mark.by),
            ),
        ] {
            if let Some(by) = by {
                let note = text::line(&format!("; {what} {by}"));
                lines.push_str(&paint.warn(&note));
            }
        }
        lines.push('\n');
    }
    lines
}

/// The record, one line each.
pub(super) fn audit(records: &[Record], paint: Paint) -> String {
    if records.is_empty() {
        return "nothing is on record\n".to_owned();
    }
    let mut lines = String::new();
    for record in records {
        let mut line = format!("{} {}", record.person, record.action);
        if let Some(name) = &record.name {
            let _ = write!(line, " {name}");
        }
        if let Some(generation) = record.generation {
            let _ = write!(line, " generation {generation}");
        }
        if let Some(owner) = &record.owner {
            let _ = write!(line, ", for {owner}");
        }
        if let Some(detail) = &record.detail {
            let _ = write!(line, " ({detail})");
        }
        let at = paint.dim(&date(record.at));
        let _ = writeln!(lines, "{at} {}", text::line(&line));
    }
    lines
}

/// The recipients, one a line.
pub(super) fn listed(recipients: &[ListedRecipient], paint: Paint) -> String {
    let mut lines = String::new();
    for listed in recipients {
        let ours = if listed.is_ours { " (yours)" } else { "" };
        let since = paint.dim(&format!("since {}{ours}", date(listed.added_at)));
        let _ = writeln!(lines, "{} {since}", listed.recipient);
    }
    lines
}
