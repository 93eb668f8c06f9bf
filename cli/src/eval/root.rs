//! Where the deployment is: a file, or a flake.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::EvalError;

/// The file that is taken if none is named.
pub(crate) const DEFAULT: &str = "nixops4.nix";
const FLAKE: &str = "flake.nix";

/// A deployment's root, absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Root {
    /// A file, or a directory with a `default.nix`.
    File(PathBuf),
    /// The directory of a flake whose output `nixops4` it is.
    Flake(PathBuf),
}

impl Root {
    /// The one that is named, else `nixops4.nix` in the current directory, else
    /// the flake that the current directory is in.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, EvalError> {
        let missing = |source| EvalError::File {
            file: named.unwrap_or(Path::new(DEFAULT)).to_owned(),
            source,
        };
        let file = std::path::absolute(named.unwrap_or(Path::new(DEFAULT))).map_err(missing)?;
        match file.metadata() {
            Ok(_) => Ok(Self::File(file)),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => file
                .parent()
                .into_iter()
                .flat_map(Path::ancestors)
                .find(|directory| directory.join(FLAKE).is_file())
                .map(|directory| Self::Flake(directory.to_owned()))
                .ok_or(EvalError::NoRoot),
            Err(error) => Err(missing(error)),
        }
    }

    /// The author's own directory.
    pub(super) fn project(&self) -> &Path {
        match self {
            Self::File(file) => file.parent().unwrap_or(file),
            Self::Flake(directory) => directory,
        }
    }

    /// The file, or the flake's directory.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Flake(path) => path,
        }
    }

    /// A file of the author's as the author knows it: Nix reads a flake from a
    /// copy in its store.
    pub(super) fn authors(&self, file: &str) -> Option<String> {
        if Path::new(file).starts_with(self.project()) {
            return Some(file.to_owned());
        }
        let Self::Flake(directory) = self else {
            return None;
        };
        let (_, rest) = file.split_once("-source/")?;
        let own = directory.join(rest);
        own.is_file().then(|| own.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Root;

    #[test]
    fn a_flakes_copy_is_told_as_the_authors_own_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.nix"), "").unwrap();
        let own = directory.path().join("a.nix");
        let flake = Root::Flake(directory.path().to_owned());
        let store = "/nix/store/00000000000000000000000000000000-source";
        assert_eq!(
            flake.authors(&format!("{store}/a.nix")).as_deref(),
            own.to_str()
        );
        assert_eq!(flake.authors(&format!("{store}/b.nix")), None);
        assert_eq!(
            flake.authors(own.to_str().unwrap()).as_deref(),
            own.to_str()
        );
        let file = Root::File(own.clone());
        assert_eq!(file.authors(&format!("{store}/a.nix")), None);
    }

    #[test]
    fn a_named_file_has_to_be_there() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Root::find(Some(directory.path())).is_ok());
        let error = Root::find(Some(&directory.path().join("x.nix"))).unwrap_err();
        assert!(error.to_string().contains("x.nix"), "{error}");
    }
}
