//! The mark of ownership, as it stands on a server, like a label.
//!
//! One line of text, in whatever comment or description the server has for the
//! thing. Text of others may stand on other lines. It is written and read here alone.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How a mark begins, wherever it stands.
pub const PREFIX: &str = "nixops4-resources:";
/// What the deployment is called in a mark.
const DEPLOYMENT: &str = "deployment";
/// What early versions called it.
const FORMERLY: &str = "owner";
/// The fields of a mark. What a later version adds is passed over.
const FIELDS: [&str; 5] = [DEPLOYMENT, FORMERLY, "type", "since", "retained-since"];
/// How much of a wrong name an error shows, in characters.
const SHOWN: usize = 100;

/// Who manages a thing, as what, since when, and whether it is only kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The deployment that it belongs to.
    pub deployment: DeploymentName,
    /// The resource type as which it is managed: what belongs to a
    /// `postgresql_tenant` is nobody's `postgresql_role`. A mark that doesn't
    /// say is of any.
    pub resource_type: Option<String>,
    /// Since when: it was made then, or taken over.
    pub since: Option<OffsetDateTime>,
    /// Since when it is out of service with its data kept, if it is.
    pub retained_since: Option<OffsetDateTime>,
}

impl Mark {
    /// The mark of a thing in service that is made or taken over now.
    #[must_use]
    pub fn new(deployment: DeploymentName, resource_type: &str) -> Self {
        Self {
            deployment,
            resource_type: Some(resource_type.to_owned()),
            since: Some(now()),
            retained_since: None,
        }
    }

    /// This mark on a thing that is taken out of service now.
    #[must_use]
    pub fn retained_now(self) -> Self {
        Self {
            retained_since: Some(now()),
            ..self
        }
    }

    /// Whether both are of the same deployment and the same resource type.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        let (one, another) = (&self.resource_type, &other.resource_type);
        self.deployment == other.deployment
            && (one.is_none() || another.is_none() || one == another)
    }

    /// What the marks of this deployment have in them, for searching: each has one of
    /// these.
    #[must_use]
    pub fn traces(&self) -> [String; 2] {
        [DEPLOYMENT, FORMERLY].map(|field| format!("{PREFIX} {field}={}", self.deployment))
    }

    /// The mark as early versions wrote it, for what was named by that and keeps its name.
    #[must_use]
    pub fn as_early(&self) -> String {
        let [today, early] = self.traces();
        self.to_string().replacen(&today, &early, 1)
    }

    /// Finds the mark in a comment, as any version wrote it. A line that begins like one but can't be
    /// read is no mark: what it stands on is foreign.
    #[must_use]
    pub fn find_in(comment: &str) -> Option<Self> {
        let mut lines = comment.lines();
        Some(lines.find_map(Self::read_line)?.0)
    }

    /// Reads a line that is a mark and nothing else, and the fields in it that a mark
    /// doesn't have: a later version's, or notes of whoever wrote it.
    #[must_use]
    pub fn read_line(line: &str) -> Option<(Self, Vec<(String, String)>)> {
        let is_one_line = !line.contains(['\n', '\r']);
        let mut fields = HashMap::new();
        let mut notes = Vec::new();
        let all = line.strip_prefix(PREFIX).filter(|_| is_one_line)?;
        for field in all.split_whitespace() {
            let (name, value) = field.split_once('=')?;
            // Two of a kind: somebody has put a mark together by hand.
            if fields.insert(name, value).is_some() {
                return None;
            }
            if !FIELDS.contains(&name) {
                notes.push((name.to_owned(), value.to_owned()));
            }
        }
        let time = |name| match fields.get(name) {
            Some(text) => OffsetDateTime::parse(text, &Rfc3339).ok().map(Some),
            None => Some(None),
        };
        let deployment = match (fields.get(DEPLOYMENT), fields.get(FORMERLY)) {
            (Some(name), None) | (None, Some(name)) => *name,
            _ => return None,
        };
        let mark = Self {
            deployment: DeploymentName::try_from(deployment.to_owned()).ok()?,
            resource_type: fields.get("type").map(|name| (*name).to_owned()),
            since: time("since")?,
            retained_since: time("retained-since")?,
        };
        Some((mark, notes))
    }
}

/// The deployment that a thing belongs to: 1 to 64 letters, digits and `. _ / -`,
/// beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$"))]
pub struct DeploymentName(String);

impl DeploymentName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeploymentName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && name.len() <= 64 && name.chars().all(fits) {
            return Ok(Self(name));
        }
        let begin: String = name.chars().take(SHOWN).collect();
        let rest = if begin.len() < name.len() { "..." } else { "" };
        Err(format!(
            "{begin:?}{rest} can't be a deployment: use 1 to 64 letters, digits and . _ / -, \
             beginning with a letter or digit"
        ))
    }
}

impl fmt::Display for DeploymentName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A field that marks don't have, of a line that is one.
#[must_use]
pub fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    fields.find_map(|(field, value)| (field == name).then_some(value))
}

/// Seconds are enough, and read better.
fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX} {DEPLOYMENT}={}", self.deployment)?;
        if let Some(resource_type) = &self.resource_type {
            write!(out, " type={resource_type}")?;
        }
        for (name, time) in [
            ("since", self.since),
            ("retained-since", self.retained_since),
        ] {
            if let Some(time) = time {
                let time = time.format(&Rfc3339).map_err(|_| fmt::Error)?;
                write!(out, " {name}={time}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deployment(name: &str) -> DeploymentName {
        DeploymentName::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn what_is_no_mark() {
        for text in [
            "",
            "a comment",
            "nixops4-resources:",
            "nixops4-resources: retained-since=2026-01-01T00:00:00Z",
            "nixops4-resources: owner=",
            "nixops4-resources: owner=demo retained-since=yesterday",
            "xnixops4-resources: owner=demo",
            "nixops4-resources: owner=demo owner=other",
            "nixops4-resources: owner=demo loose",
            "nixops4-resources: owner=demo since=once",
            "nixops4-resources: owner=démo",
            "nixops4-resources: deployment=",
            "nixops4-resources: deployment=demo deployment=demo",
            "nixops4-resources: deployment=demo owner=demo",
        ] {
            assert_eq!(Mark::find_in(text), None, "{text}");
        }
    }

    #[test]
    fn what_an_early_version_wrote_is_read() {
        let early = "nixops4-resources: owner=demo type=t since=2026-01-02T03:04:05Z";
        let mark = Mark::find_in(early).unwrap();
        let today = early.replace("owner=", "deployment=");
        assert_eq!(mark.to_string(), today);
        assert_eq!(mark.as_early(), early);
        assert_eq!(Mark::find_in(&today), Some(mark.clone()));
        let [of_today, of_early] = mark.traces();
        assert!(today.contains(&of_today) && early.contains(&of_early));
    }

    #[test]
    fn beside_other_text() {
        let text = "the mail server's\nnixops4-resources: deployment=demo shape=round\nask Ann";
        let mark = Mark::find_in(text).unwrap();
        assert_eq!(mark.deployment, deployment("demo"));
        assert_eq!((mark.resource_type, mark.since), (None, None));
    }

    #[test]
    fn whose_it_is() {
        let mark = |name, of| Mark::new(deployment(name), of);
        let role = mark("demo", "test_role");
        assert!(role.is_of_same(&mark("demo", "test_role").retained_now()));
        assert!(!role.is_of_same(&mark("demo", "test_tenant")));
        assert!(!role.is_of_same(&mark("other", "test_role")));
        let any = Mark {
            resource_type: None,
            ..role.clone()
        };
        assert!(role.is_of_same(&any) && any.is_of_same(&role));
    }

    proptest! {
        #[test]
        fn round_trip(name in "[A-Za-z0-9][A-Za-z0-9._/-]{0,40}", retained: bool) {
            let mark = Mark::new(deployment(&name), "test_thing");
            let mark = if retained { mark.retained_now() } else { mark };
            prop_assert_eq!(Mark::find_in(&mark.to_string()), Some(mark));
        }
    }
}
