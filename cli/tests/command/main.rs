//! The command as its users run it.

mod apply;
mod call;
mod completion;
mod failures;
mod gc;
mod guide;
mod inspect;
mod lifecycle;
mod manners;
mod meanwhile;
mod model;
mod output;
mod progress;
mod removal;
mod retries;
mod review;
mod roots;
mod secret;
mod support;
mod trust;
mod unrecorded;
