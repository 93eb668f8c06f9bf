//! Whether the server has the password that is wanted.

use std::time::Duration;

use nixops4_provider_sdk::postgresql::client::{Meaning, Target, connect};
use nixops4_provider_sdk::{Context, Error, ExposeSecret as _, Result, SecretRef, SecretString};

use super::facts::Facts;
use super::inputs::Inputs;
use crate::connection::Connection;
use crate::name::Name;
use crate::scram;
use crate::server::Server;
use crate::sql::Literal;

/// How long a test login may take; longer means that nothing can be told.
const TEST_LOGIN: Duration = Duration::from_secs(10);

/// Whether the server has the password that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Password {
    /// None is wanted.
    Unmanaged,
    /// It has.
    Same,
    /// It has another one, or none.
    Other,
    /// It can't be seen, and the reference is the recorded one.
    UnknownUnchanged,
    /// It can't be seen, and the reference isn't recorded.
    UnknownChanged,
}

/// Finds it out, as far as that is possible here. `recorded` is the reference
/// that was used the last time.
pub(crate) async fn state(
    cx: &Context,
    server: &Server,
    inputs: &Inputs,
    recorded: Option<&SecretRef>,
    facts: &Facts,
) -> Result<Password> {
    let Some(reference) = &inputs.password else {
        return Ok(Password::Unmanaged);
    };
    if server.reads_verifiers {
        let password = cx.secret(reference, "/password").await?;
        let verifier = facts.verifier.as_ref();
        let same = verifier.is_some_and(|it| scram::matches(&password, it.expose_secret()));
        return Ok(if same {
            Password::Same
        } else {
            Password::Other
        });
    }
    // A password that has expired is refused like one that is wrong.
    let expired = facts
        .valid_until
        .is_some_and(super::expiry::Expiry::is_over);
    if inputs.verify_password && !expired {
        let password = cx.secret(reference, "/password").await?;
        if let Some(known) = test_logins(cx, &inputs.connection, &facts.name, &password).await? {
            return Ok(known);
        }
    }
    let unchanged = recorded == Some(reference);
    Ok(if unchanged {
        Password::UnknownUnchanged
    } else {
        Password::UnknownChanged
    })
}

/// What a login with this password tells. Where one with a wrong password isn't
/// refused for the password, it tells nothing: `pg_hba.conf` doesn't ask for it.
async fn test_logins(
    cx: &Context,
    at: &Connection,
    role: &Name,
    password: &SecretString,
) -> Result<Option<Password>> {
    let mut target = at.login().target(cx).await?;
    role.as_str().clone_into(&mut target.user);
    let wrong = format!("wrong on purpose {}", std::process::id()).into();
    if !matches!(log_in(&mut target, wrong).await, Login::WrongPassword) {
        return Ok(None);
    }
    Ok(match log_in(&mut target, password.clone()).await {
        Login::Accepted => Some(Password::Same),
        Login::WrongPassword => Some(Password::Other),
        Login::Unclear => None,
    })
}

enum Login {
    /// The password was right, whatever came after it.
    Accepted,
    WrongPassword,
    Unclear,
}

async fn log_in(target: &mut Target, password: SecretString) -> Login {
    target.password = Some(password);
    let Ok(done) = tokio::time::timeout(TEST_LOGIN, connect(target)).await else {
        return Login::Unclear;
    };
    let failure = match done {
        Ok(session) => {
            session.close().await;
            return Login::Accepted;
        }
        Err(failure) => failure,
    };
    match failure.meaning() {
        Some(Meaning::WrongPassword) => Login::WrongPassword,
        // No LOGIN, no CONNECT, or no such database: that is looked at later.
        Some(Meaning::NotAdmitted | Meaning::Denied | Meaning::NoDatabase | Meaning::Closed) => {
            Login::Accepted
        }
        _ => Login::Unclear,
    }
}

/// The clause that sets the wanted password, with a space before it; empty where
/// none is wanted.
pub(super) async fn clause(cx: &Context, inputs: &Inputs) -> Result<String> {
    let Some(reference) = &inputs.password else {
        return Ok(String::new());
    };
    let password = cx.secret(reference, "/password").await?;
    if password.expose_secret().is_empty() || password.expose_secret().contains('\0') {
        return Err(Error::input("/password", "the password is empty or has a NUL character in it, and the server would refuse it at each login")
            .hint("put another one where the reference leads"));
    }
    let verifier = scram::verifier(&password);
    Ok(format!(" PASSWORD {}", Literal(verifier.expose_secret())))
}
