//! Work that takes its time without waiting for anything, such as looking for primes:
//! beside the request, so that this still ends at its deadline and at Ctrl-C.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nixops4_provider_sdk::{Context, Error, Result};

/// How soon an interruption is noticed.
const SLICE: Duration = Duration::from_millis(50);

/// Whether nobody waits for the work any more.
#[derive(Clone, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says so when the request ends, however it does.
struct Waiting(GivenUp);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Does it in a thread of its own. What comes of it after it was given up is dropped
/// there.
pub(crate) async fn aside<T: Send + 'static>(
    cx: &Context,
    work: impl FnOnce(&GivenUp) -> T + Send + 'static,
) -> Result<T> {
    let waiting = Waiting(GivenUp::default());
    let given_up = waiting.0.clone();
    let (done, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("making".to_owned())
        .spawn(move || {
            // Nobody may be there to take it.
            let _ = done.send(work(&given_up));
        })
        .map_err(|error| Error::new("unable to start a thread").because(error))?;
    let mut outcome = pin!(outcome);
    loop {
        match tokio::time::timeout(SLICE, outcome.as_mut()).await {
            Ok(Ok(made)) => return Ok(made),
            Ok(Err(_)) => return Err(Error::new("making it failed by a bug; the log says where")),
            Err(_) => cx.checkpoint()?,
        }
    }
}
