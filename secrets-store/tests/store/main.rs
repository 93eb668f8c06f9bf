//! The store on real SQLite files.

mod deployment;
mod fixture;
mod identities;
mod lifecycle;
mod opening;
mod silence;
mod tampering;
mod together;
