//! The handler's retry policy: how often, and how long between.

use std::time::Duration;

/// How often a handler may fail on a message, and how long the message waits in between.
///
/// ```
/// use std::time::Duration;
/// use pontoon_core::Retry;
/// const RETRY: Retry = Retry::exponential(Duration::from_millis(200), Duration::from_secs(30)).attempts(5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    max_attempts: u32,
    curve: Curve,
    first: Duration,
    cap: Duration,
    jitter: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    Fixed,
    Linear,
    Exponential,
}

impl Retry {
    /// The policy of a handler that names none: 10 attempts, 200 ms doubling to 30 s, jitter 0.2.
    pub const DEFAULT: Retry = Retry::exponential(Duration::from_millis(200), Duration::from_secs(30)).attempts(10);

    /// No retry: the first failure dead-letters.
    #[must_use]
    pub const fn never() -> Self {
        Retry { max_attempts: 1, curve: Curve::Fixed, first: Duration::ZERO, cap: Duration::ZERO, jitter: 0.0 }
    }

    /// The same wait after each failure; 10 attempts until said otherwise.
    #[must_use]
    pub const fn fixed(wait: Duration) -> Self {
        Retry { max_attempts: 10, curve: Curve::Fixed, first: wait, cap: wait, jitter: 0.2 }
    }

    /// The wait grows by `first` with each failure, up to `cap`; 10 attempts until said otherwise.
    #[must_use]
    pub const fn linear(first: Duration, cap: Duration) -> Self {
        Retry { max_attempts: 10, curve: Curve::Linear, first, cap, jitter: 0.2 }
    }

    /// The wait doubles with each failure, from `first` up to `cap`; 10 attempts until said otherwise.
    #[must_use]
    pub const fn exponential(first: Duration, cap: Duration) -> Self {
        Retry { max_attempts: 10, curve: Curve::Exponential, first, cap, jitter: 0.2 }
    }

    /// At most this many attempts, the first included; 0 counts as 1.
    #[must_use]
    pub const fn attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = if max_attempts == 0 { 1 } else { max_attempts };
        self
    }

    /// Spreads each wait over ± this share of it, 0 to 1 (0.2 by default), so that failures do not return in step.
    #[must_use]
    pub const fn jitter(mut self, share: f64) -> Self {
        // Written so that NaN becomes 0.
        self.jitter = if share > 1.0 {
            1.0
        } else if share > 0.0 {
            share
        } else {
            0.0
        };
        self
    }

    /// The most attempts, the first included.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The longest wait the policy can ask for, jitter included.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        let base = if self.curve == Curve::Fixed { self.first } else { self.cap };
        base.saturating_add(base.mul_f64(self.jitter))
    }

    /// The wait after this many failures (1 for the first); `random` in 0..1 places it within the jitter.
    #[must_use]
    pub fn wait(&self, failures: u32, random: f64) -> Duration {
        let failures = failures.max(1);
        let base = match self.curve {
            Curve::Fixed => self.first,
            Curve::Linear => self.first.saturating_mul(failures).min(self.cap),
            Curve::Exponential => self.first.saturating_mul(1 << (failures - 1).min(31)).min(self.cap),
        };
        base.mul_f64(1.0 + self.jitter * (2.0 * random.clamp(0.0, 1.0) - 1.0))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn curves_follow_their_definition() {
        let flat = |retry: Retry, n| retry.jitter(0.0).wait(n, 0.9);
        let exponential = Retry::exponential(MS(100), MS(1000));
        assert_eq!([1, 2, 3, 4, 5, 99].map(|n| flat(exponential, n)), [100, 200, 400, 800, 1000, 1000].map(MS));
        let linear = Retry::linear(MS(100), MS(250));
        assert_eq!([0, 1, 2, 3].map(|n| flat(linear, n)), [100, 100, 200, 250].map(MS));
        assert_eq!(flat(Retry::fixed(MS(7)), 50), MS(7));
        assert_eq!(Retry::fixed(MS(7)).attempts(0).max_attempts(), 1);
        assert_eq!(Retry::never().max_attempts(), 1);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let retry = Retry::fixed(MS(100)).jitter(0.5);
        assert_eq!(retry.wait(1, 0.0), MS(50));
        assert_eq!(retry.wait(1, 0.5), MS(100));
        assert_eq!(retry.wait(1, 1.0), MS(150));
        assert_eq!(retry.longest_wait(), MS(150));
        assert_eq!(Retry::exponential(MS(1), MS(10)).jitter(f64::NAN).longest_wait(), MS(10));
        assert_eq!(Retry::fixed(MS(100)).jitter(7.0).longest_wait(), MS(200));
    }
}
