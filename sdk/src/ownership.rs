//! Whose a thing is, as far as marks tell.
//!
//! What a mark says is [`Mark`]'s, and where it stands the [carrier](crate::carrier)'s.

use crate::mark::Mark;

/// Whose a thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// It carries a mark of this suite.
    Marked(Mark),
    /// Whose it is, is certain; but the mark that it carries is gone or another, or
    /// nothing vouches for it yet that its user can't change. It is written again.
    Defaced(Mark),
    /// It could carry a mark and doesn't.
    Unmarked,
    /// Such things have no place for a mark; they are compared value by value.
    Unmarkable,
}

impl Ownership {
    /// What a comment on the thing says of its owner.
    #[must_use]
    pub fn from_comment(comment: Option<&str>) -> Self {
        comment
            .and_then(Mark::find_in)
            .map_or(Self::Unmarked, Self::Marked)
    }

    /// What the mark says that a thing carries, where its user can change that, beside
    /// its witness: a second copy that the user can't change, and which decides.
    ///
    /// `shown` is the mark that it carries. Without a witness, as things have none that
    /// an earlier version made, it decides, and `has_place` says whether a witness can
    /// be written. With neither, it is ours if the record leads to this very thing:
    /// then `recorded` is our mark.
    #[must_use]
    pub fn witnessed(
        shown: Option<Mark>,
        witness: Option<Mark>,
        has_place: bool,
        recorded: Option<Mark>,
    ) -> Self {
        match (witness, shown) {
            (Some(witness), Some(shown)) if witness == shown => Self::Marked(witness),
            (Some(witness), _) => Self::Defaced(witness),
            (None, Some(shown)) if has_place => Self::Defaced(shown),
            (None, Some(shown)) => Self::Marked(shown),
            (None, None) => recorded.map_or(Self::Unmarked, Self::Defaced),
        }
    }

    /// The mark that decides.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Marked(mark) | Self::Defaced(mark) => Some(mark),
            Self::Unmarked | Self::Unmarkable => None,
        }
    }

    /// Whether it is this owner's, and as the same type.
    #[must_use]
    pub fn is_of_same(&self, mark: &Mark) -> bool {
        self.mark().is_some_and(|own| own.is_of_same(mark))
    }

    /// Whether it is out of service with its data kept.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.mark()
            .is_some_and(|mark| mark.retained_since.is_some())
    }
}
