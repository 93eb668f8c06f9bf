//! The mark of ownership: written and read by `nixops4_protocol::mark` alone, so that the
//! command reads it as providers do.

pub use nixops4_protocol::mark::{DeploymentName, Mark, PREFIX, field};
