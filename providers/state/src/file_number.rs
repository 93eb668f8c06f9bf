//! Telling a file from another one that came to stand in its place.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Device and inode.
pub(crate) type FileNumber = (u64, u64);

/// Which file a path leads to.
pub(crate) fn number_of(path: &Path) -> Option<FileNumber> {
    path.metadata()
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}
