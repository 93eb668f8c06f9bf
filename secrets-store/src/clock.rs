//! Whether the clock of this machine can be right. What checks certificates and what
//! writes times down can't go on with one that is not: some of it would panic.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The end of the year 9998, in hours since 1970: behind it, no date can be written.
const END: Duration = Duration::from_hours(70_380_768);

/// Why nothing is done by this clock.
#[derive(Debug, thiserror::Error)]
#[error(
    "the clock of this machine is wrong: it says that this is {0}\nhint: set it, or let it be set from the network, then try again"
)]
pub struct WrongClock(&'static str);

/// Fails if `now` is before 1970, as on a machine without a battery that was just
/// started, or so late that it can't be written as a date.
pub fn check(now: SystemTime) -> Result<(), WrongClock> {
    match now.duration_since(UNIX_EPOCH) {
        Err(_) => Err(WrongClock("before 1970")),
        Ok(since) if since >= END => Err(WrongClock("the year 9999 or later")),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_can_not_be_right() {
        let second = Duration::from_secs(1);
        check(SystemTime::now()).unwrap();
        check(UNIX_EPOCH).unwrap();
        check(UNIX_EPOCH + END - second).unwrap();
        for (now, word) in [
            (UNIX_EPOCH - Duration::from_nanos(1), "before 1970"),
            (
                UNIX_EPOCH - Duration::from_hours(24 * 365 * 100),
                "before 1970",
            ),
            (UNIX_EPOCH + END, "9999"),
        ] {
            let error = check(now).unwrap_err().to_string();
            assert!(
                error.contains(word) && error.contains("\nhint: "),
                "{error}"
            );
        }
        // What can be right can be written down.
        let latest = time::OffsetDateTime::from(UNIX_EPOCH + END - second);
        assert_eq!(latest.year(), 9998);
    }
}
