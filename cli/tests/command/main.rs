//! The command as its users run it.

mod apply;
mod call;
mod failures;
mod gc;
mod guide;
mod lifecycle;
mod manners;
mod meanwhile;
mod model;
mod output;
mod removal;
mod retries;
mod roots;
mod secret;
mod support;
mod trust;
mod unrecorded;
