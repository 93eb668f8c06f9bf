//! The harness of the suite's tests: real servers on loopback, the executables
//! of this workspace, a clean place to run them in, a planted secret to look for
//! afterwards, and [`conformance`], what every resource kind has to hold.
//!
//! It must not know any resource kind or Nix expression: those are the tests'
//! own. Only [`messages`] knows what is on the wire.
//!
//! Nothing that it starts or writes outlives the test process, however that
//! ends: see [`lifeline`].

#![expect(
    clippy::missing_panics_doc,
    reason = "a harness that cannot do its work panics: that is how a test fails"
)]

// Linked for its feature alone: whatever is built together with this crate
// carries failpoints.
use nixops4_provider_sdk as _;

pub mod bao;
pub mod binaries;
pub mod canary;
pub mod conformance;
pub mod endurance;
pub mod garage;
pub mod judges;
pub mod lifeline;
pub mod mark;
pub mod messages;
pub mod pool;
pub mod port;
pub mod postgres;
pub mod provider;
pub mod proxy;
pub mod reference;
pub mod required;
pub mod sandbox;
pub mod seed;
