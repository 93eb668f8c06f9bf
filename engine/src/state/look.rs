//! What is recorded now.

use super::{StateError, States};
use crate::member::MemberPath;
use crate::report::FORMAT;
use crate::report::state::{StateEntry, StateList};

impl States {
    /// What is recorded at or below `paths`; all of it if there are none.
    ///
    /// Fails if nothing is recorded at one of them.
    pub fn list(&self, paths: &[MemberPath]) -> Result<StateList, StateError> {
        let mut resources: Vec<StateEntry> = self
            .recorded()
            .filter(|(_, path, _)| {
                paths.is_empty() || paths.iter().any(|wanted| path.is_within(wanted))
            })
            .map(|(backend, path, recorded)| StateEntry::new(backend, path, &recorded.resource()))
            .collect();
        resources.sort_by(|a, b| a.path.cmp(&b.path));
        for path in paths {
            if !resources.iter().any(|entry| entry.path.is_within(path)) {
                return Err(StateError::NotRecorded(path.clone()));
            }
        }
        Ok(StateList {
            format: FORMAT,
            resources,
        })
    }

    /// What is recorded of one resource, with its inputs and outputs.
    ///
    /// Fails if nothing is recorded there, or in several states.
    pub fn entry(&self, path: &MemberPath) -> Result<StateEntry, StateError> {
        let found: Vec<_> = self
            .recorded()
            .filter(|(_, recorded, _)| *recorded == path)
            .collect();
        match found[..] {
            [] => Err(StateError::NotRecorded(path.clone())),
            [(backend, _, recorded)] => {
                let recorded = recorded.resource();
                Ok(StateEntry::new(backend, path, &recorded).with_properties(&recorded))
            }
            _ => {
                let backends = found.iter().map(|(backend, _, _)| (*backend).clone());
                Err(StateError::Several(backends.collect()))
            }
        }
    }
}
