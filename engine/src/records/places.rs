//! Where patches change something, and whether that is the same. Pure.

use json_patch::PatchOperation;

/// Where a patch changes something.
pub(super) fn places(patch: &[PatchOperation]) -> impl Iterator<Item = &str> {
    patch.iter().map(|operation| operation.path().as_str())
}

/// Whether a patch changes one of these places, something in it, or what it is in.
pub(super) fn concerns(patch: &[PatchOperation], others: &[String]) -> bool {
    let is_in = |place: &str, other: &str| {
        let rest = place.strip_prefix(other);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    places(patch).any(|place| {
        let mut others = others.iter();
        others.any(|other| is_in(place, other) || is_in(other, place))
    })
}
