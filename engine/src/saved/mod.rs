//! A plan in a file, to be applied exactly as it was shown.
//!
//! The file has what people were shown, and hashes of everything that it was made from: of
//! the state, and of the inputs of each member that is to be touched. A plan is made anew
//! before it is applied, and anything that differs refuses it ([`compare`]). What only
//! becomes known while it is applied is held against the file by [`approved`].
//!
//! There is no secret in it, as there is none in a plan, and no input that a plan doesn't
//! show.

pub(crate) mod approved;
mod compare;
pub(crate) mod file;
mod member;
