//! A provider: its kinds, with their types erased, and `main`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nixops4_protocol::codec::Size;
use nixops4_protocol::describe::Description;
use nixops4_protocol::message::Request;

use crate::answer::{Answer, AnyKind, Keeping, Managed};
use crate::clock::Clock;
use crate::context::{Context, Sessions};
use crate::error::{Error, Result, shortened};
use crate::kind::{Owner, ResourceKind};
use crate::serve;
use crate::state_kind::StateKind;
use crate::typed::SHOWN;

/// An executable that manages some kinds of things.
pub struct Provider {
    name: &'static str,
    description: &'static str,
    version: &'static str,
    kinds: BTreeMap<&'static str, Box<dyn AnyKind>>,
    /// Resource types that two kinds have.
    repeated: Vec<&'static str>,
    keeps_state: bool,
}

/// What a request is handled with, beside its kind.
pub(crate) struct Surroundings {
    pub(crate) time: Duration,
    pub(crate) clock: Rc<Clock>,
    pub(crate) interrupted: Arc<AtomicBool>,
    pub(crate) sessions: Sessions,
}

impl Surroundings {
    /// The context of the request that is being handled.
    pub(crate) fn context(&self, owner: Owner, resource_type: &'static str) -> Context {
        Context::new(
            owner,
            resource_type,
            Rc::clone(&self.clock),
            Arc::clone(&self.interrupted),
            self.sessions.clone(),
        )
    }
}

impl Provider {
    /// A provider called `name`, the first part of each of its resource types.
    #[must_use]
    pub fn new(name: &'static str, description: &'static str, version: &'static str) -> Self {
        let kinds = BTreeMap::new();
        Self {
            name,
            description,
            version,
            kinds,
            repeated: Vec::new(),
            keeps_state: false,
        }
    }

    /// Adds a kind.
    #[must_use]
    pub fn kind<K: ResourceKind>(mut self) -> Self {
        self.add(K::TYPE, Box::new(Managed::<K>::new()));
        self
    }

    /// Adds a kind that keeps state. Such a provider ignores SIGINT: whoever
    /// writes state ends it by closing its stdin, and would lose an event
    /// otherwise.
    #[must_use]
    pub fn state_kind<K: StateKind>(mut self) -> Self {
        self.add(K::TYPE, Box::new(Keeping::<K>::new()));
        self.keeps_state = true;
        self
    }

    fn add(&mut self, resource_type: &'static str, kind: Box<dyn AnyKind>) {
        if self.kinds.insert(resource_type, kind).is_some() {
            self.repeated.push(resource_type);
        }
    }

    /// Checks what the compiler can't: that a kind's own inputs aren't called
    /// like those that every kind has, that each field is camelCase and has a
    /// doc comment, that unknown fields are refused, and that the constants of
    /// [`ResourceKind`] name fields that exist. `describe` does it first, so a
    /// test that compares its output covers it.
    pub fn check(&self) -> Result<()> {
        let repeated = self.repeated.iter();
        let problems: Vec<_> = repeated
            .map(|name| format!("{name}, TYPE: two kinds have it"))
            .chain(
                self.kinds
                    .values()
                    .flat_map(|kind| kind.problems(self.name)),
            )
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(
            Error::new(format!("the provider {:?} is not well made", self.name))
                .because(problems.join("\n")),
        )
    }

    /// What the provider says of itself, as committed: without its version.
    #[must_use]
    pub fn describe(&self) -> Description {
        Description {
            name: self.name.to_owned(),
            version: None,
            description: self.description.to_owned(),
            executable: format!("nixops4-resources-{}", self.name),
            kinds: self
                .kinds
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), kind.describe()))
                .collect(),
        }
    }

    /// `main`: answers requests on stdin until its end, or one of the arguments
    /// `describe`, `--version` and `--help`.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_str()).collect();
        match arguments[..] {
            [] => serve::serve(&self),
            [Some("describe")] => self.print_description(),
            [Some("--version")] => {
                print(&format!("nixops4-resources-{} {}", self.name, self.version))
            }
            [Some("--help")] => print(&self.usage()),
            _ => complain(&self.usage(), 64),
        }
    }

    fn print_description(&self) -> ExitCode {
        if let Err(error) = self.check() {
            return complain(&error.to_string(), 70);
        }
        let description = Description {
            version: Some(self.version.to_owned()),
            ..self.describe()
        };
        match serde_json::to_string(&description) {
            Ok(description) => print(&description),
            Err(error) => complain(&format!("the description can't be written: {error}"), 70),
        }
    }

    fn usage(&self) -> String {
        format!(
            "usage: nixops4-resources-{} [describe | --version | --help]\n{}\nWithout an argument \
             it answers the NixOps4 resource provider protocol on stdin and stdout; to try it by \
             hand use `nixops4-resources call`.",
            self.name, self.description
        )
    }

    pub(crate) fn ignores_interrupts(&self) -> bool {
        self.keeps_state
    }

    /// How large a request may be: an event may have a whole state in it.
    pub(crate) fn request_size(&self) -> Size {
        if self.keeps_state {
            Size::State
        } else {
            Size::Message
        }
    }

    pub(crate) async fn handle(&self, at: &Surroundings, request: Request) -> Result<Answer> {
        let wanted = request.resource_type();
        let Some(kind) = self.kinds.get(wanted) else {
            let known: Vec<_> = self.kinds.keys().copied().collect();
            let wanted = shortened(wanted, SHOWN);
            return Err(
                Error::new(format!("this provider has no resource type {wanted:?}"))
                    .hint(format!("it has {}", known.join(", "))),
            );
        };
        kind.handle(at, request).await
    }
}

fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    // With stderr gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(code)
}
