//! What a role may do with an object, and what separates that from what it
//! should be able to do.
//!
//! Pure: it must not know a connection, nor how an object is written in SQL.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::Name;

/// A right to do something with an object; `ALL` for each that such an object
/// has on this server.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Privilege {
    All,
    Select,
    Insert,
    Update,
    Delete,
    Truncate,
    References,
    Trigger,
    Maintain,
    Usage,
    Create,
    Connect,
    #[serde(alias = "TEMP")]
    Temporary,
    Execute,
}

impl Privilege {
    /// Those that the catalog names.
    const SINGLE: [Self; 13] = [
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Truncate,
        Self::References,
        Self::Trigger,
        Self::Maintain,
        Self::Usage,
        Self::Create,
        Self::Connect,
        Self::Temporary,
        Self::Execute,
    ];

    /// As in SQL and in the catalog.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Truncate => "TRUNCATE",
            Self::References => "REFERENCES",
            Self::Trigger => "TRIGGER",
            Self::Maintain => "MAINTAIN",
            Self::Usage => "USAGE",
            Self::Create => "CREATE",
            Self::Connect => "CONNECT",
            Self::Temporary => "TEMPORARY",
            Self::Execute => "EXECUTE",
        }
    }

    /// The privilege of this name in `aclexplode`.
    pub(crate) fn from_catalog(keyword: &str) -> Option<Self> {
        Self::SINGLE
            .into_iter()
            .find(|privilege| privilege.keyword() == keyword)
    }

    /// The first major version that has it.
    fn since(self) -> u32 {
        if self == Self::Maintain { 17 } else { 0 }
    }
}

/// What objects of one kind have in common: the same privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    Database,
    Tablespace,
    Schema,
    Table,
    Column,
    Sequence,
    Function,
    Type,
    Language,
    ForeignServer,
    ForeignDataWrapper,
    LargeObject,
}

impl Class {
    /// The privileges that such objects have, on the newest version.
    pub(crate) fn privileges(self) -> &'static [Privilege] {
        use Privilege as P;
        match self {
            Self::Database => &[P::Create, P::Connect, P::Temporary],
            Self::Tablespace => &[P::Create],
            Self::Schema => &[P::Create, P::Usage],
            Self::Table => &[
                P::Select,
                P::Insert,
                P::Update,
                P::Delete,
                P::Truncate,
                P::References,
                P::Trigger,
                P::Maintain,
            ],
            Self::Column => &[P::Select, P::Insert, P::Update, P::References],
            Self::Sequence => &[P::Usage, P::Select, P::Update],
            Self::Function => &[P::Execute],
            Self::Type | Self::Language | Self::ForeignServer | Self::ForeignDataWrapper => {
                &[P::Usage]
            }
            Self::LargeObject => &[P::Select, P::Update],
        }
    }

    /// These privileges on a server of this major version, `ALL` spelt out.
    /// Fails with the first that such objects don't have there.
    pub(crate) fn expand(
        self,
        privileges: &BTreeSet<Privilege>,
        version: u32,
    ) -> Result<BTreeSet<Privilege>, Privilege> {
        let there: BTreeSet<_> = self
            .privileges()
            .iter()
            .copied()
            .filter(|one| one.since() <= version)
            .collect();
        let all = privileges.contains(&Privilege::All);
        let strange = |one: &&Privilege| **one != Privilege::All && !there.contains(one);
        match privileges.iter().find(strange) {
            Some(one) => Err(*one),
            None if all => Ok(there),
            None => Ok(privileges.clone()),
        }
    }
}

/// What is done about privileges that aren't declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// The role has exactly these privileges on these objects: whatever else it
    /// has there is revoked, whoever granted it.
    #[default]
    Authoritative,
    /// These privileges are added; nothing else is touched.
    Additive,
}

/// What a role should have on each of some objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Without `ALL`.
    pub(crate) privileges: BTreeSet<Privilege>,
    /// Whether it may pass them on.
    pub(crate) grantable: bool,
    pub(crate) mode: Mode,
}

/// One privilege that the role has on an object, as `aclexplode` says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// Who granted it: nobody else can revoke it.
    pub(crate) grantor: Name,
    pub(crate) privilege: Privilege,
    /// Whether the role may pass it on.
    pub(crate) grantable: bool,
}

/// Privileges by the role that granted them.
pub(crate) type ByGrantor = BTreeMap<Name, BTreeSet<Privilege>>;

/// What has to be done about the role on one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// To grant, with or without grant option as is demanded.
    pub(crate) grant: BTreeSet<Privilege>,
    /// To revoke.
    pub(crate) revoke: ByGrantor,
    /// To revoke the grant option of, and to leave otherwise.
    pub(crate) revoke_option: ByGrantor,
}

impl Difference {
    pub(crate) fn is_empty(&self) -> bool {
        self.grant.is_empty() && self.revoke.is_empty() && self.revoke_option.is_empty()
    }

    fn revoke(&mut self, entry: &Entry) {
        self.revoke
            .entry(entry.grantor.clone())
            .or_default()
            .insert(entry.privilege);
    }

    fn revoke_option(&mut self, entry: &Entry) {
        self.revoke_option
            .entry(entry.grantor.clone())
            .or_default()
            .insert(entry.privilege);
    }
}

/// What separates `have` from the demand.
pub(crate) fn difference(demand: &Demand, have: &[Entry]) -> Difference {
    let mut difference = Difference::default();
    for privilege in &demand.privileges {
        let suffices =
            |one: &Entry| one.privilege == *privilege && (one.grantable || !demand.grantable);
        if !have.iter().any(suffices) {
            difference.grant.insert(*privilege);
        }
    }
    if demand.mode == Mode::Authoritative {
        for entry in have {
            if !demand.privileges.contains(&entry.privilege) {
                difference.revoke(entry);
            } else if entry.grantable && !demand.grantable {
                difference.revoke_option(entry);
            }
        }
    }
    difference
}

/// What takes privileges back: all of them, or only these. What the owner of an
/// object has of itself stays.
pub(crate) fn withdrawal(
    only: Option<&BTreeSet<Privilege>>,
    own_grantor: Option<&Name>,
    have: &[Entry],
) -> Difference {
    let mut difference = Difference::default();
    for entry in have {
        let meant = only.is_none_or(|only| only.contains(&entry.privilege));
        if meant && own_grantor != Some(&entry.grantor) {
            difference.revoke(entry);
        }
    }
    difference
}

/// What was demanded before and isn't any more, when nothing else is touched.
pub(crate) fn shrinkage(before: &Demand, now: &Demand, have: &[Entry]) -> Difference {
    let mut difference = Difference::default();
    for entry in have
        .iter()
        .filter(|entry| before.privileges.contains(&entry.privilege))
    {
        if !now.privileges.contains(&entry.privilege) {
            difference.revoke(entry);
        } else if entry.grantable && before.grantable && !now.grantable {
            difference.revoke_option(entry);
        }
    }
    difference
}

#[cfg(test)]
mod tests;
