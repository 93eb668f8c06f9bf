//! Renaming and forgetting: the things themselves stay as they are.

use json_patch::Patch;
use nixops4_protocol::state;

use super::{StateError, States};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::records::RecordsError;
use crate::report::state::{StateChanged, StateEntry};

impl States {
    /// Gives what is recorded at or below `from` the name `to`.
    ///
    /// Fails if nothing is recorded there, or something is under the new name.
    pub async fn rename(
        &self,
        from: &MemberPath,
        to: &MemberPath,
    ) -> Result<StateChanged, Failure> {
        for path in [from, to] {
            if path.names().is_empty() {
                return Err(StateError::Root(path.clone()).into());
            }
        }
        let (_, backend) = self.that_has(from)?;
        let mut backend = backend.lock().await;
        let patch =
            state::rename(backend.document(), from.names(), to.names()).map_err(|source| {
                RecordsError::Rename {
                    from: from.clone(),
                    to: to.clone(),
                    source,
                }
            })?;
        backend.append("mv", patch).await?;
        let below = self.recorded().filter(|(_, path, _)| path.is_within(from));
        Ok(StateChanged {
            event: "mv",
            paths: vec![from.clone(), to.clone()],
            resources: below.count(),
        })
    }

    /// What [`forget`](Self::forget) would forget of each of these, in their order.
    ///
    /// Fails if nothing is recorded at or below one of them, or in several states.
    pub fn below(&self, paths: &[MemberPath]) -> Result<Vec<StateEntry>, Failure> {
        let mut entries = Vec::new();
        for path in paths {
            if path.names().is_empty() {
                return Err(StateError::Root(path.clone()).into());
            }
            self.that_has(path)?;
            let below = self.recorded();
            let below = below.filter(|(_, recorded, _)| recorded.is_within(path));
            entries.extend(
                below.map(|(backend, path, it)| StateEntry::new(backend, path, &it.resource())),
            );
        }
        Ok(entries)
    }

    /// Forgets what is recorded at or below these, without asking.
    ///
    /// Fails as [`below`](Self::below) does, before anything is forgotten.
    pub async fn forget(&self, paths: &[MemberPath]) -> Result<StateChanged, Failure> {
        let resources = self.below(paths)?.len();
        for path in paths {
            let (_, backend) = self.that_has(path)?;
            let mut backend = backend.lock().await;
            let patch = state::forget_all(backend.document(), path.names());
            // One that was named twice is gone already.
            if patch != Patch(Vec::new()) {
                backend.append("rm", patch).await?;
            }
        }
        Ok(StateChanged {
            event: "rm",
            paths: paths.to_vec(),
            resources,
        })
    }
}
