use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::*;
use crate::model::{cx, request};

fn failure(retry: Retry) -> Error {
    Error::new("busy").retry(retry)
}

#[tokio::test]
async fn until_it_succeeds() {
    let calls = Cell::new(0);
    let cx = cx();
    let done = retrying(&cx, async || {
        calls.set(calls.get() + 1);
        if calls.get() < 4 {
            Err(failure(Retry::UntilDeadline))
        } else {
            Ok(calls.get())
        }
    });
    assert_eq!(done.await.unwrap(), 4);
}

#[tokio::test]
async fn never_is_once() {
    let calls = Cell::new(0);
    let cx = cx();
    let failed = retrying(&cx, async || {
        calls.set(calls.get() + 1);
        Err::<(), _>(failure(Retry::Never))
    });
    assert_eq!(failed.await.unwrap_err().to_string(), "busy");
    assert_eq!(calls.get(), 1);
}

#[tokio::test]
async fn a_busy_server_is_given_up_before_the_deadline_with_its_own_words() {
    let (cx, _) = request(Duration::from_millis(300));
    let calls = Cell::new(0);
    let failed = retrying(&cx, async || {
        calls.set(calls.get() + 1);
        assert!(
            !cx.time_left().is_zero(),
            "an attempt without any time left"
        );
        Err::<(), _>(failure(Retry::UntilDeadline))
    });
    assert_eq!(failed.await.unwrap_err().to_string(), "busy");
    assert!(calls.get() > 2);
}

/// The time of a brief failure is counted from the first one, however long the
/// server was busy before.
#[tokio::test]
async fn briefly_is_counted_from_the_first_brief_failure() {
    let brief_since = Cell::new(None);
    let brief = Cell::new(0);
    let calls = Cell::new(0);
    let cx = cx();
    let failed = retrying(&cx, async || {
        calls.set(calls.get() + 1);
        if calls.get() <= 3 {
            tokio::time::sleep(BRIEFLY / 2).await;
            return Err::<(), _>(failure(Retry::UntilDeadline));
        }
        brief.set(brief.get() + 1);
        brief_since.set(brief_since.get().or_else(|| Some(Instant::now())));
        Err(failure(Retry::Briefly))
    });
    assert!(failed.await.is_err());
    assert!(brief_since.get().unwrap().elapsed() >= BRIEFLY);
    assert!(brief.get() > 3);
}

#[tokio::test]
async fn an_interruption_ends_the_pause() {
    let (cx, flag) = request(Duration::from_mins(1));
    let begun = Instant::now();
    let failed = retrying(&cx, async || {
        flag.store(true, Ordering::SeqCst);
        Err::<(), _>(failure(Retry::UntilDeadline))
    });
    assert!(failed.await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(2));
}
