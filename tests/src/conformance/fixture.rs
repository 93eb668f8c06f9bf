//! What a kind tells the suite about itself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use crate::canary::Canary;
use crate::messages::Object;
use crate::sandbox::Sandbox;

/// One resource kind on a real server of its own: while the fixture is there,
/// nobody else uses that server.
///
/// Every `name` is one that the suite chose: letters, digits and `-`, at most
/// 40 characters, unique.
pub trait Fixture: Sized + 'static {
    /// Resource type on the wire.
    const TYPE: &'static str;
    /// Name of the executable.
    const PROVIDER: &'static str;
    /// Whether the kind refuses to be made without state.
    const NEEDS_STATE: bool = false;
    /// Whether destroying keeps the thing unless the author says otherwise.
    const RETAINS: bool;
    /// Whether a thing that was changed still shows what it was before.
    const KEEPS_HISTORY: bool = false;
    /// Whether the server can rename such a thing.
    const RENAMES: bool;
    /// Whether a thing carries its owner's mark. A relation between two other
    /// things has no place for one, belongs to nobody and can't be retained.
    const OWNED: bool = true;
    /// What the failpoints begin with that this kind shares with another, which
    /// is killed at them instead.
    const KILLED_ELSEWHERE: &'static [&'static str] = &[];
    /// The inputs by which a thing is found, as every record has them.
    const LOCATED_BY: &'static [&'static str] = &["owner", "name", "connection", "store"];

    /// Whether there is such a server here. Without it nothing is checked.
    #[must_use]
    fn is_there() -> bool {
        true
    }

    /// A server to work on.
    fn new() -> Self;

    /// Where the provider runs.
    fn sandbox(&self) -> &Sandbox;

    /// What the provider's environment has beside that of the sandbox.
    fn environment(&self) -> Vec<(&'static str, OsString)>;

    /// Valid inputs of a thing, without the owner. No input that
    /// [`Self::fields`] changes has the value there.
    fn inputs(&self, name: &str) -> Object;

    /// What can be changed, and what comes of it; the name left out.
    fn fields(&self) -> Vec<Field>;

    /// How somebody else can change a thing.
    fn drifts(&self) -> Vec<Drift<Self>>;

    /// Inputs that are wrong.
    fn bad(&self) -> Vec<Bad>;

    /// What is to be done about a recorded thing that vanished.
    fn loss(&self) -> Loss {
        Loss::MadeAgain
    }

    /// What is there under this name, the owner's mark included. Two things that
    /// were made alike look alike: without ids, times and salts.
    fn look(&self, name: &str) -> Option<Value>;

    /// Differs after every write to the thing, even of what was there before.
    fn version(&self, name: &str) -> String;

    /// Everything that is on the server, by name: also what the kind did not
    /// mean to make.
    fn everything(&self) -> BTreeSet<String>;

    /// Whether the thing can be used: it isn't retained.
    fn is_in_service(&self, name: &str) -> bool;

    /// Puts data into the thing, or has it own some, for [`Self::has_data`].
    fn put_data(&self, name: &str);

    /// Whether the data is still there. Only asked while it is in service.
    fn has_data(&self, name: &str) -> bool;

    /// Removes the thing and its data.
    fn vanish(&self, name: &str);

    /// Makes a thing without a mark, as somebody would by hand; false where
    /// every thing has an owner.
    fn make_unmarked(&self, name: &str) -> bool;

    /// Takes the owner's mark off a thing, or puts one without a mark in its place,
    /// where [`Self::make_unmarked`] can make one.
    fn unmark(&self, name: &str) {
        self.vanish(name);
        assert!(self.make_unmarked(name));
    }

    /// Pointers to the inputs that hold a reference to a secret.
    fn references(&self) -> Vec<&'static str>;

    /// Every secret that there has been so far.
    fn secrets(&self) -> Vec<Canary>;

    /// Where the secrets may stand in clear.
    fn planted(&self) -> Vec<PathBuf>;

    /// What the server wrote, by label: its logs and files.
    fn writings(&self) -> Vec<(String, Vec<u8>)>;
}

/// A field that can be changed.
#[derive(Debug, Clone)]
pub struct Field {
    /// JSON pointer to it.
    pub pointer: &'static str,
    /// Another valid value.
    pub value: Value,
    /// What comes of the change.
    pub verdict: Verdict,
}

/// What comes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Changed,
    /// It is refused, because only a replacement could do it.
    Refused,
    /// It is of no meaning for a thing that is there.
    Ignored,
}

/// A change by somebody else.
pub struct Drift<F> {
    /// JSON pointer to the field that shows it.
    pub pointer: &'static str,
    /// Makes it.
    pub make: fn(&F, &str),
}

/// Inputs that are wrong in one place.
#[derive(Debug, Clone)]
pub struct Bad {
    /// What to put into valid inputs, by JSON pointer.
    pub patch: Vec<(&'static str, Value)>,
    /// What the error names.
    pub pointer: &'static str,
    /// What it says.
    pub words: Vec<&'static str>,
}

/// What is to be done about a recorded thing that vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It is made again.
    MadeAgain,
    /// It is an error that names this input: another one in its place would do
    /// harm.
    Refused(&'static str),
}
