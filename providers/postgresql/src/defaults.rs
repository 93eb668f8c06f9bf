//! Defaults that several kinds have, for serde to call.

/// What is on unless it is switched off.
pub(crate) fn yes() -> bool {
    true
}
