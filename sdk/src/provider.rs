//! A provider: its kinds, with their types erased.
//!
//! It must not know where requests come from.

use std::collections::BTreeMap;

use nixops4_protocol::codec::Size;
use nixops4_protocol::describe::Description;
use nixops4_protocol::message::Request;

use crate::answer::{Answer, AnyKind, Keeping, Managed};
use crate::composite::{Composed, Composite};
use crate::context::Surroundings;
use crate::error::{Error, Result, shortened};
use crate::kind::ResourceKind;
use crate::relation::{Related, Relation};
use crate::state_kind::StateKind;
use crate::typed::SHOWN;

/// An executable that manages some kinds of things.
pub struct Provider {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) version: &'static str,
    kinds: BTreeMap<&'static str, Box<dyn AnyKind>>,
    /// Resource types that two kinds have.
    repeated: Vec<&'static str>,
    keeps_state: bool,
}

impl Provider {
    /// A provider called `name`, the first part of each of its resource types.
    #[must_use]
    pub fn new(name: &'static str, description: &'static str, version: &'static str) -> Self {
        let kinds = BTreeMap::new();
        Self {
            name,
            description,
            version,
            kinds,
            repeated: Vec::new(),
            keeps_state: false,
        }
    }

    /// Adds a kind.
    #[must_use]
    pub fn kind<K: ResourceKind>(mut self) -> Self {
        self.add(K::TYPE, Box::new(Managed::<K>::new()));
        self
    }

    /// Adds a kind of relations.
    #[must_use]
    pub fn relation<R: Relation>(self) -> Self {
        self.kind::<Related<R>>()
    }

    /// Adds a kind that is made of two others.
    #[must_use]
    pub fn composite<C: Composite>(self) -> Self {
        self.kind::<Composed<C>>()
    }

    /// Adds a kind that keeps state. Such a provider ignores SIGINT: whoever
    /// writes state ends it by closing its stdin, and would lose an event
    /// otherwise.
    #[must_use]
    pub fn state_kind<K: StateKind>(mut self) -> Self {
        self.add(K::TYPE, Box::new(Keeping::<K>::new()));
        self.keeps_state = true;
        self
    }

    fn add(&mut self, resource_type: &'static str, kind: Box<dyn AnyKind>) {
        if self.kinds.insert(resource_type, kind).is_some() {
            self.repeated.push(resource_type);
        }
    }

    /// Checks what the compiler can't: that a kind's own inputs aren't called
    /// like those that every kind has, that each field is camelCase and has a
    /// doc comment, that unknown fields are refused, and that the constants of
    /// [`ResourceKind`] name fields that exist. `describe` does it first, so a
    /// test that compares its output covers it.
    pub fn check(&self) -> Result<()> {
        let repeated = self.repeated.iter();
        let problems: Vec<_> = repeated
            .map(|name| format!("{name}, TYPE: two kinds have it"))
            .chain(
                self.kinds
                    .values()
                    .flat_map(|kind| kind.problems(self.name)),
            )
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(
            Error::new(format!("the provider {:?} is not well made", self.name))
                .because(problems.join("\n")),
        )
    }

    /// What the provider says of itself, as committed: without its version.
    #[must_use]
    pub fn describe(&self) -> Description {
        Description {
            name: self.name.to_owned(),
            version: None,
            description: self.description.to_owned(),
            executable: format!("nixops4-resources-{}", self.name),
            kinds: self
                .kinds
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), kind.describe()))
                .collect(),
        }
    }

    pub(crate) fn ignores_interrupts(&self) -> bool {
        self.keeps_state
    }

    /// How large a request may be: an event may have a whole state in it.
    pub(crate) fn request_size(&self) -> Size {
        if self.keeps_state {
            Size::State
        } else {
            Size::Message
        }
    }

    pub(crate) async fn handle(&self, at: &Surroundings, request: Request) -> Result<Answer> {
        let wanted = request.resource_type();
        let Some(kind) = self.kinds.get(wanted) else {
            let known: Vec<_> = self.kinds.keys().copied().collect();
            let wanted = shortened(wanted, SHOWN);
            return Err(
                Error::new(format!("this provider has no resource type {wanted:?}"))
                    .hint(format!("it has {}", known.join(", "))),
            );
        };
        kind.handle(at, request).await
    }
}
