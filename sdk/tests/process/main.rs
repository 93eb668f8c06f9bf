//! The example providers as processes: what goes in and comes out, signals,
//! time, panics and secrets.

mod running;
mod secrets;
mod signals;
mod transcript;
