//! Places where a test can stop the process between two steps.
//!
//! Without the feature `failpoints` there is nothing here. With it, the crate
//! `fail` decides (its variable is `FAILPOINTS`; who runs the process sets it up),
//! and the action `return(kill)` sends SIGKILL to the process itself. A point that
//! is passed is logged at trace level under the target `failpoint`, so that a test
//! can find them all.

/// A place called `name`, unique in the crate.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(name: &str) {
    tracing::trace!(target: "failpoint", "{name}");
    fail::eval(name, |action| {
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
pub(crate) fn reach(_name: &str) {}
