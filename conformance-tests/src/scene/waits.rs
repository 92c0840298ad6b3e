//! Waiting: in the end, within a bound.

use std::future::Future;
use std::time::Duration;

use super::{Broken, Held, Scene};

impl Scene {
    /// Waits, for what the check is about. Never to give something time to happen: that is [`until`](Self::until).
    pub async fn rest(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// `stall` when it does not within the patience of the timings.
    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Held {
        let deadline = tokio::time::Instant::now() + self.timings().patience();
        while !holds() {
            if tokio::time::Instant::now() >= deadline {
                return Err(Broken::stall(format!("{what}: not within {:?}", self.timings().patience())));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Waits for a future, within the patience of the timings.
    ///
    /// # Errors
    /// `stall` when it does not end.
    pub async fn in_time<T>(&self, what: &str, future: impl Future<Output = T>) -> Held<T> {
        let patience = self.timings().patience();
        tokio::time::timeout(patience, future)
            .await
            .map_err(|_| Broken::stall(format!("{what}: not within {patience:?}")))
    }
}
