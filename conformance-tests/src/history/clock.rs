//! The clock of a run.

use std::time::Duration;

use tokio::time::Instant;

use super::Nanos;

/// Tells the time since the run's start: tokio's monotonic clock, which tests can pause.
///
/// Processes of one machine can share a run: one starts the clock and passes [`origin`](RunClock::origin) to the
/// others, which [`join`](RunClock::join).
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    start: Instant,
    /// What had passed of the run when this process joined it.
    before: Duration,
}

impl RunClock {
    /// A run that starts now.
    #[must_use]
    pub fn start() -> Self {
        RunClock { start: Instant::now(), before: Duration::ZERO }
    }

    /// Now, in nanoseconds since the run's start.
    #[must_use]
    pub fn now(&self) -> Nanos {
        let passed = self.before + Instant::now().saturating_duration_since(self.start);
        Nanos::try_from(passed.as_nanos()).unwrap_or(Nanos::MAX)
    }
}

#[cfg(unix)]
impl RunClock {
    /// The run's start on the machine's own monotonic clock, in nanoseconds: for other processes of this machine.
    #[must_use]
    pub fn origin(&self) -> u64 {
        let (machine, now) = at_once();
        let passed = self.before + now.saturating_duration_since(self.start);
        machine.saturating_sub(Nanos::try_from(passed.as_nanos()).unwrap_or(Nanos::MAX))
    }

    /// The clock of a run that another process of this machine started.
    #[must_use]
    pub fn join(origin: u64) -> Self {
        let (machine, start) = at_once();
        RunClock { start, before: Duration::from_nanos(machine.saturating_sub(origin)) }
    }
}

/// The machine's clock and this process's, at one moment. A busy machine may let time pass between two readings, by which
/// the events of one process would seem later than those of another: the pair counts that was read fastest.
#[cfg(unix)]
fn at_once() -> (u64, Instant) {
    let read = || {
        let own = Instant::now();
        let machine = machine_now();
        (own.elapsed(), machine, own)
    };
    let mut best = read();
    for _ in 0..32 {
        let next = read();
        if next.0 < best.0 {
            best = next;
        }
    }
    (best.1, best.2)
}

#[cfg(unix)]
fn machine_now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanos).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_clock_that_joins_tells_the_same_time() {
        let first = RunClock::start();
        let before = first.now();
        let second = RunClock::join(first.origin());
        let (between, after) = (second.now(), first.now());
        // What passes between two readings at their fastest.
        let slack = 1_000_000;
        assert!(before <= between + slack && between <= after + slack, "{before} {between} {after}");
        assert!(RunClock::join(0).now() > 1_000_000_000, "the machine's clock stands still");
    }

    #[tokio::test(start_paused = true)]
    async fn paused_time_moves_it() {
        let clock = RunClock::start();
        tokio::time::advance(Duration::from_millis(1_500)).await;
        assert_eq!(clock.now(), 1_500_000_000);
    }
}
