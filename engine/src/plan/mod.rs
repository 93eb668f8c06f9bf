//! What apply would do.

pub(crate) mod decision;
pub(crate) mod difference;
pub(crate) mod planner;
pub(crate) mod refresh;
pub(crate) mod report;
pub(crate) mod scope;
