//! What apply would do.

pub(crate) mod decision;
pub(crate) mod difference;
pub(crate) mod judge;
pub(crate) mod report;
pub(crate) mod scope;
pub(crate) mod survey;
pub(crate) mod unnamed;
