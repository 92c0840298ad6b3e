//! When to try to connect again.

use std::time::Duration;

use crate::Moment;

/// How long to wait between attempts to reconnect: a random share of a bound that starts at `first` and doubles with
/// each failure up to `cap` ("full jitter": clients that lost the same broker do not return in step).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconnect {
    /// The bound of the first wait; 100 ms by default.
    pub first: Duration,
    /// The largest bound; 10 s by default. A connection that stood as long as the last bound counts as healed.
    pub cap: Duration,
}

impl Reconnect {
    /// Waits of up to `first`, doubling up to `cap`.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Reconnect { first, cap }
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Reconnect::new(Duration::from_millis(100), Duration::from_secs(10))
    }
}

/// Counts failures to connect and tells how long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    how: Reconnect,
    failures: u32,
    connected_at: Option<Moment>,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(how: Reconnect) -> Self {
        Backoff { how, failures: 0, connected_at: None }
    }

    /// The connection stands. The count is forgotten only when it lasts: a broker that accepts and drops every
    /// connection at once must not be hammered.
    pub fn connected(&mut self, now: Moment) {
        self.connected_at = Some(now);
    }

    fn bound(&self, failures: u32) -> Duration {
        self.how.first.saturating_mul(1 << failures.min(31)).min(self.how.cap)
    }

    /// The connection was lost, or could not be made: how long to wait before the next attempt. `random` in 0..1
    /// places the wait below its bound.
    pub fn failed(&mut self, now: Moment, random: f64) -> Duration {
        let last = self.bound(self.failures.saturating_sub(1));
        if self.connected_at.take().is_some_and(|at| now.since(at) >= last) {
            self.failures = 0;
        }
        let bound = self.bound(self.failures);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn bounds_double_up_to_the_cap() {
        let mut backoff = Backoff::new(Reconnect::new(MS(100), MS(1000)));
        let waits: Vec<_> = (0..6).map(|_| backoff.failed(Moment::ZERO, 1.0)).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000].map(MS));
        assert_eq!(backoff.failed(Moment::ZERO, 0.25), MS(250));
        assert_eq!(backoff.failed(Moment::ZERO, 0.0), MS(0));
    }

    #[test]
    fn only_a_lasting_connection_resets() {
        let mut backoff = Backoff::new(Reconnect::new(MS(100), MS(1000)));
        let at = |ms| Moment::ZERO + MS(ms);
        backoff.failed(at(0), 1.0);
        backoff.connected(at(10));
        assert_eq!(backoff.failed(at(109), 1.0), MS(200), "lasted less than the last bound of 100 ms");
        backoff.connected(at(2000));
        assert_eq!(backoff.failed(at(2199), 1.0), MS(400), "lasted less than the last bound of 200 ms");
        backoff.connected(at(3000));
        assert_eq!(backoff.failed(at(3400), 1.0), MS(100), "lasted as long as the last bound");
        assert_eq!(backoff.failed(at(9000), 1.0), MS(200), "waiting is not standing");
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Reconnect::new(Duration::MAX, Duration::from_secs(10)));
        for _ in 0..100 {
            assert!(backoff.failed(Moment::ZERO, f64::NAN.max(1.0)) <= Duration::from_secs(10));
        }
    }
}
