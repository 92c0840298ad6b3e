//! Time as the server sees it: nanoseconds on tokio's clock since the server was made, so that tests can pause it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Nanoseconds since the server was made.
pub(crate) type Nanos = u64;
/// Later than everything.
pub(crate) const NEVER: Nanos = u64::MAX;

/// The server's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Nanos {
        nanos(Instant::now().saturating_duration_since(self.start))
    }

    pub(crate) fn instant(&self, at: Nanos) -> Instant {
        self.start + Duration::from_nanos(at)
    }
}

/// A duration in nanoseconds; what does not fit is as good as for ever.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// Reads the clock at most once, and only when somebody needs it: a read costs as much as storing a message.
#[derive(Debug)]
pub(crate) struct Now {
    clock: Clock,
    at: Option<Nanos>,
}

impl Now {
    pub(crate) fn of(clock: Clock) -> Self {
        Now { clock, at: None }
    }

    pub(crate) fn get(&mut self) -> Nanos {
        *self.at.get_or_insert_with(|| self.clock.now())
    }
}

/// Locks, also after a panic elsewhere: every change under these locks is complete before anything can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
