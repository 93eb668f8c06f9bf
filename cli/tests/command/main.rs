//! The command as its users run it.

mod apply;
mod call;
mod failures;
mod output;
mod roots;
mod support;
