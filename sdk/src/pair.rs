//! Whose two things are that are one to whoever declares them: a tenant's login and
//! what it logs in to.
//!
//! It must not know what they are.

use crate::kind::{Observed, Ownership};
use crate::mark::Mark;

/// One of the two, as it was found.
#[derive(Debug, Clone)]
pub struct Part<F> {
    /// What it is like.
    pub facts: F,
    /// Whether it is out of service with its data kept.
    pub is_retained: bool,
}

impl<F> From<Observed<F>> for Part<F> {
    fn from(seen: Observed<F>) -> Self {
        Self {
            is_retained: seen.ownership.is_retained(),
            facts: seen.facts,
        }
    }
}

/// What is to be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Both are to be in service: one that is retained is all that it takes for
    /// taking back to go on.
    Declared,
    /// Both are to be retired: one that isn't is all that it takes to go on.
    Destroyed,
}

/// The two of them, as far as they are there, and whose they are; `None` where
/// neither is.
#[must_use]
#[expect(clippy::type_complexity, reason = "a tuple of the two, and one more")]
pub fn put_together<A, B>(
    one: Option<Observed<A>>,
    other: Option<Observed<B>>,
    mark: &Mark,
    moment: Moment,
) -> Option<(Option<Part<A>>, Option<Part<B>>, Ownership)> {
    let ownership = match (&one, &other) {
        (Some(one), Some(other)) => together(&one.ownership, &other.ownership, mark, moment),
        (Some(one), None) => &one.ownership,
        (None, Some(other)) => &other.ownership,
        (None, None) => return None,
    };
    let ownership = ownership.clone();
    Some((one.map(Part::from), other.map(Part::from), ownership))
}

/// What decides for the two of them. What is foreign does, whatever the other is;
/// then what something is to be done about.
fn together<'a>(
    one: &'a Ownership,
    other: &'a Ownership,
    mark: &Mark,
    moment: Moment,
) -> &'a Ownership {
    let weight = |whose: &Ownership| {
        let decides = match moment {
            Moment::Declared => whose.is_retained(),
            Moment::Destroyed => !whose.is_retained(),
        };
        let defaced = matches!(whose, Ownership::Defaced(_));
        (!whose.is_of_same(mark), decides, defaced)
    };
    if weight(one) >= weight(other) {
        one
    } else {
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Owner;

    #[test]
    fn what_decides() {
        let mark = |name: &str| {
            let owner = Owner::try_from(name.to_owned()).unwrap();
            Mark::new(owner, "postgresql_tenant")
        };
        let ours = Ownership::Marked(mark("me"));
        let kept = Ownership::Marked(mark("me").retained_now());
        let theirs = Ownership::Marked(mark("them"));
        let nobodys = Ownership::Unmarked;
        let defaced = Ownership::Defaced(mark("me"));
        for (one, other, declared, destroyed) in [
            (&ours, &ours, &ours, &ours),
            (&ours, &kept, &kept, &ours),
            (&kept, &kept, &kept, &kept),
            (&ours, &theirs, &theirs, &theirs),
            (&kept, &theirs, &theirs, &theirs),
            (&kept, &nobodys, &nobodys, &nobodys),
            (&ours, &defaced, &defaced, &defaced),
            (&kept, &defaced, &kept, &defaced),
            (&theirs, &defaced, &theirs, &theirs),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let together = |moment| together(one, other, &mark("me"), moment);
                assert_eq!(together(Moment::Declared), declared);
                assert_eq!(together(Moment::Destroyed), destroyed);
            }
        }
    }
}
