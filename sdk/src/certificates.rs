//! Certificates that an input gives: in a file, or by reference. Whom they make trusted is
//! for those who use them.

use std::path::Path;

use crate::error::{Error, Result};

/// The certificates in a file, in PEM. `pointer` is where its path stands in the inputs.
pub(crate) fn read(file: &Path, pointer: &str) -> Result<Vec<u8>> {
    let pem = std::fs::read(file).map_err(|error| {
        Error::input(
            pointer,
            format!("unable to read the certificates in {}", file.display()),
        )
        .because(error)
        .hint("give a PEM file that this process can read")
    })?;
    certificates(pem, pointer)
}

/// What has no certificate in it would be taken for an empty list of them.
pub(crate) fn certificates(pem: Vec<u8>, pointer: &str) -> Result<Vec<u8>> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Ok(pem);
    }
    Err(Error::input(pointer, "there is no certificate in PEM here")
        .hint("it begins with -----BEGIN CERTIFICATE-----"))
}
