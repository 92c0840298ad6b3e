//! The one place where the engine reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::Moment;

/// Tells the time to the state machines: tokio's monotonic clock, and a wall clock that follows it.
///
/// The wall clock is read once, when the clock is made, and advances with the monotonic one: paused tokio time moves
/// both, and a wall clock that is set back moves neither.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall_start: Duration,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        // A wall clock before 1970 is broken; 0 says "unknown" and keeps everything else working.
        let wall_start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start: Instant::now(), wall_start }
    }

    /// The current moment. Costs one read of the system's monotonic clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::after_start(Instant::now().saturating_duration_since(self.start))
    }

    /// The moment as an instant that timers take. Moments too far for the system's clock become one 30 years ahead.
    #[must_use]
    pub fn instant(&self, moment: Moment) -> Instant {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        self.start.checked_add(moment.since(Moment::ZERO)).unwrap_or_else(|| Instant::now() + FAR)
    }

    /// The wall clock at that moment: milliseconds since 1970.
    #[must_use]
    pub fn wall_ms(&self, moment: Moment) -> u64 {
        let since_1970 = self.wall_start.saturating_add(moment.since(Moment::ZERO));
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_moves_both_clocks() {
        let clock = Clock::new();
        let (before, wall) = (clock.now(), clock.wall_ms(clock.now()));
        assert!(wall > 1_600_000_000_000);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(90));
        assert_eq!(clock.wall_ms(clock.now()) - wall, 90_000);
        assert_eq!(clock.instant(clock.now()), Instant::now());
    }

    #[test]
    fn never_is_an_instant_too() {
        let clock = Clock::new();
        assert!(clock.instant(Moment::NEVER) > Instant::now() + Duration::from_secs(3600));
    }
}
