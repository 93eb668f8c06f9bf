//! One key or token, as the server has it.

use std::fmt;

use super::Credential;
use crate::moment::Moment;
use crate::title::Title;

/// One thing on the server.
pub(crate) struct Remote<C: Credential> {
    pub(crate) id: C::Id,
    pub(crate) title: Title,
    pub(crate) expiration: Option<Moment>,
    pub(crate) more: C::More,
}

impl<C: Credential> Clone for Remote<C> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            title: self.title.clone(),
            expiration: self.expiration,
            more: self.more.clone(),
        }
    }
}

impl<C: Credential> fmt::Debug for Remote<C> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remote")
            .field("id", &self.id)
            .field("title", &self.title)
            .field("expiration", &self.expiration)
            .field("more", &self.more)
            .finish()
    }
}

/// What becomes of the end of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    Unchanged,
    Never,
    At(Moment),
}

impl Expiry {
    pub(crate) fn wanted(moment: Option<Moment>) -> Self {
        moment.map_or(Self::Never, Self::At)
    }

    /// The moment, and whether it never comes, as requests have them.
    pub(crate) fn fields(self) -> (Option<time::OffsetDateTime>, bool) {
        match self {
            Self::Unchanged => (None, false),
            Self::Never => (None, true),
            Self::At(moment) => (Some(moment.time()), false),
        }
    }
}
