//! Places where a test can stop the process between two steps.
//!
//! Without the feature `failpoints` there is nothing here. With it, the variable
//! `FAILPOINTS` (see the crate `fail`) names points; the action `return(kill)`
//! sends SIGKILL to the process itself. A point that is passed is logged at
//! trace level under the target `failpoint`, so that a test can find them all.

/// A place called `name`, in a loop `NAME-NUMBER`.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(name: &str, number: Option<usize>) {
    let name = match number {
        None => name.to_owned(),
        Some(number) => format!("{name}-{number}"),
    };
    tracing::trace!(target: "failpoint", "{name}");
    fail::eval(&name, |action| {
        if action.as_deref() == Some("kill") {
            // Returns only if it fails, and then the test that asked for it does.
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
    });
}

#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn reach(_name: &str, _number: Option<usize>) {}

/// Reads `FAILPOINTS`, once, before the first request.
#[cfg(feature = "failpoints")]
pub(crate) fn set_up() {
    // Torn down with the process.
    std::mem::forget(fail::FailScenario::setup());
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn set_up() {}
