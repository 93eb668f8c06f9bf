//! The README and the guides: what they show is in the examples, and their
//! commands work as they stand, but for the places that they name. Those are
//! servers on ports of their own, and keys in a folder of their own.

mod document;
mod garage;
mod options;
mod postgresql;
mod readme;
mod rights;
mod workshop;
