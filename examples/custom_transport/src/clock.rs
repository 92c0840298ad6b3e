//! Times that outlive the process: milliseconds since 1970, by the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pontoon_core::Delay;

/// Now, rounded down.
pub(crate) fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// When a message with this delay is due, never too early: 0 for at once.
pub(crate) fn due(delay: Option<Delay>) -> u64 {
    let up = Duration::from_nanos(999_999);
    match delay {
        None => 0,
        Some(Delay::For(time)) if time.is_zero() => 0,
        // The present is rounded down: one more.
        Some(Delay::For(time)) => now() + 1 + millis(time.saturating_add(up)),
        Some(Delay::Until(at)) => at.duration_since(UNIX_EPOCH).map_or(0, |at| millis(at.saturating_add(up))),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}
