//! Who a client is to the server.
//!
//! A credential is resolved before the client connects, and is shown by nothing from
//! then on: its header is marked as sensitive, and the redaction knows its value.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::pin::Pin;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nixops4_http_client::Method;
use nixops4_http_client::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::client::Client;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::secret::remember;

/// Who a client is to the server.
#[derive(Clone)]
pub struct Authentication {
    pub(super) way: Way,
    /// Where the credential stands in the inputs.
    pub(super) at: Option<String>,
}

#[derive(Clone)]
pub(super) enum Way {
    /// The server is asked by nobody in particular.
    Nobody,
    /// The same header with every request.
    Header(HeaderName, HeaderValue),
    /// A log-in, for a session that ends some time.
    LogIn { key: u64, log_in: Rc<dyn Erased> },
}

impl fmt::Debug for Authentication {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::Nobody => "nobody".to_owned(),
            Way::Header(name, _) => format!("a header {name}"),
            Way::LogIn { .. } => "a log-in".to_owned(),
        };
        write!(out, "{way}, of {:?}", self.at)
    }
}

impl Authentication {
    /// No credential.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            way: Way::Nobody,
            at: None,
        }
    }

    /// `Authorization: Bearer TOKEN`. `at` is where the token's reference stands.
    pub fn bearer(token: &SecretString, at: &str) -> Result<Self> {
        Self::header(AUTHORIZATION, "Bearer ", token, at)
    }

    /// A header of this name, with `prefix` before the token: `X-API-Key: TOKEN`, or
    /// `Authorization: ShopToken=TOKEN`.
    pub fn header(name: HeaderName, prefix: &str, token: &SecretString, at: &str) -> Result<Self> {
        let value = header_value(prefix, token).map_err(|error| error.at(at))?;
        Ok(Self {
            way: Way::Header(name, value),
            at: Some(at.to_owned()),
        })
    }

    /// A user and a password with every request.
    pub fn basic(user: &str, password: &SecretString, at: &str) -> Result<Self> {
        // It would be read as where the password begins.
        if user.contains(':') {
            let problem = "a user whose name has a colon in it can't log in this way";
            return Err(Error::input(at, problem).hint("use another one"));
        }
        let pair = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        Self::header(AUTHORIZATION, "Basic ", &SecretString::from(pair), at)
    }

    /// A log-in. This process makes one session for each server and `key` and keeps it
    /// until the server says that it is over; so `key` has in it whatever else makes a
    /// session, such as the user and the reference to the password.
    pub fn log_in(key: &impl Hash, log_in: impl LogIn, at: &str) -> Self {
        Self {
            way: Way::LogIn {
                key: hash(key),
                log_in: Rc::new(log_in),
            },
            at: Some(at.to_owned()),
        }
    }
}

/// Logs in to a server.
pub trait LogIn: 'static {
    /// Logs in. `anonymous` is a client of that server without a credential.
    fn log_in(&self, cx: &Context, anonymous: &Client) -> impl Future<Output = Result<Session>>;
}

/// What a log-in gives: headers to send from then on.
#[derive(Clone, Default)]
pub struct Session {
    always: HeaderMap,
    with_changes: HeaderMap,
}

impl Session {
    /// Shows the session by this header, with `prefix` before the token.
    pub fn header(mut self, name: HeaderName, prefix: &str, token: &SecretString) -> Result<Self> {
        self.always.insert(name, header_value(prefix, token)?);
        Ok(self)
    }

    /// The same with changes alone, such as for a token against forged requests.
    pub fn header_of_changes(mut self, name: HeaderName, token: &SecretString) -> Result<Self> {
        self.with_changes.insert(name, header_value("", token)?);
        Ok(self)
    }

    pub(super) fn headers(&self, method: &Method) -> HeaderMap {
        let mut headers = self.always.clone();
        if !method.is_safe() {
            headers.extend(self.with_changes.clone());
        }
        headers
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "session by {:?}",
            self.always.keys().collect::<Vec<_>>()
        )
    }
}

fn header_value(prefix: &str, token: &SecretString) -> Result<HeaderValue> {
    remember(token);
    let text = Zeroizing::new(format!("{prefix}{}", token.expose_secret()));
    let mut header = HeaderValue::from_str(&text).map_err(|_| {
        Error::new("the token contains characters that are not allowed in a header")
            .hint("see that its reference leads to the token alone, on one line")
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// [`LogIn`] as an object.
pub(super) trait Erased {
    fn log_in<'a>(&'a self, cx: &'a Context, anonymous: &'a Client) -> LoggingIn<'a>;
}

type LoggingIn<'a> = Pin<Box<dyn Future<Output = Result<Session>> + 'a>>;

impl<T: LogIn> Erased for T {
    fn log_in<'a>(&'a self, cx: &'a Context, anonymous: &'a Client) -> LoggingIn<'a> {
        Box::pin(LogIn::log_in(self, cx, anonymous))
    }
}

/// The sessions of this process, by server and key.
#[derive(Default)]
pub(super) struct Sessions(RefCell<HashMap<u64, Rc<Kept>>>);

/// One of them. Whoever finds it locked waits for the log-in of another, and shares it.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Numbered>>);

/// A session, with how many there were before it.
#[derive(Clone)]
pub(super) struct Numbered {
    number: u64,
    pub(super) session: Rc<Session>,
}

impl Sessions {
    pub(super) fn of(&self, server: &str, key: u64) -> Rc<Kept> {
        let mut all = self.0.borrow_mut();
        Rc::clone(all.entry(hash(&(server, key))).or_default())
    }
}

impl Kept {
    /// The session; a new one if there is none yet, or if it is still the one that is
    /// `over`.
    pub(super) async fn get(
        &self,
        over: Option<&Numbered>,
        log_in: impl Future<Output = Result<Session>>,
    ) -> Result<Numbered> {
        let mut kept = self.0.lock().await;
        let next = match (&*kept, over) {
            (Some(known), Some(over)) if known.number == over.number => known.number + 1,
            (Some(known), _) => return Ok(known.clone()),
            (None, _) => 0,
        };
        // A log-in that fails leaves none: the next one begins anew.
        *kept = None;
        let made = Numbered {
            number: next,
            session: Rc::new(log_in.await?),
        };
        *kept = Some(made.clone());
        Ok(made)
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
