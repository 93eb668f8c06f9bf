//! What one run of the command may do because a record says so, as the user allows it
//! and as it was found out so far. It knows no session.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

use crate::executables;
use crate::records::Location;

/// What the user allows although only a record says so.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// To start these providers: the executable and its arguments, as they are recorded.
    pub providers: Vec<Vec<String>>,
    /// To send secrets to these servers: the connection, as it is recorded.
    pub connections: Vec<Value>,
    /// To touch what is recorded as of these deployments.
    pub deployments: Vec<String>,
}

/// What one run of the command may do because a record says so.
#[derive(Default)]
pub(crate) struct Trust {
    pub(super) allowed: Allowed,
    /// The places of states that the user gave.
    places: Mutex<Vec<Location>>,
    /// The providers that they named there.
    said: Mutex<BTreeSet<Vec<String>>>,
    /// What was told to be started.
    told: Mutex<BTreeSet<Vec<String>>>,
    /// Whether it was told that what is remembered is not believed.
    doubted: AtomicBool,
    /// The deployments and addresses that the expression had at the last apply here.
    pub(super) remembered: OnceLock<BTreeSet<String>>,
}

impl Trust {
    /// With what the command line allows.
    pub(crate) fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            ..Self::default()
        }
    }

    /// Takes note of the place of a state that the user gave. If they `typed` it, its
    /// provider is meant to be started; one in a file may be anybody's idea. One of this
    /// suite is found by its name in any case.
    pub(crate) fn said(&self, location: &Location, typed: bool) {
        let by_name =
            location.args.is_empty() && executables::is_provider_name(&location.executable);
        if typed && !by_name {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.insert(words(&location.executable, &location.args));
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.push(location.clone());
    }

    /// Whether the user gave one of these as the place of a state.
    pub(crate) fn is_given(&self, locations: &[Location]) -> bool {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = places.iter();
        places.any(|place| locations.iter().any(|other| place.is_same_place(other)))
    }

    /// The places of states that the user gave.
    pub(super) fn given(&self) -> Vec<Location> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.clone()
    }

    pub(super) fn is_said(&self, words: &[String]) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.contains(words)
    }

    /// Whether nobody was told yet that what is remembered is not believed.
    pub(crate) fn is_first_doubt(&self) -> bool {
        !self.doubted.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_first_time(&self, words: Vec<String>) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(words)
    }
}

pub(super) fn words(executable: &str, args: &[String]) -> Vec<String> {
    std::iter::once(executable.to_owned())
        .chain(args.iter().cloned())
        .collect()
}
