//! When to stop: the work is done, or somebody interrupts. A second interruption ends the process at once.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::journal::Journal;

/// What a process says that was ended by SIGINT.
const INTERRUPTED: i32 = 130;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Working,
    Stopping { since: Instant, interrupted: bool },
}

/// Tells everyone to stop. Clones tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    state: Arc<watch::Sender<State>>,
    journal: Arc<OnceLock<Arc<Journal>>>,
    allowed: Duration,
}

impl Stop {
    /// Listens to signals from now on; after the first one the process has this long.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn listen(allowed: Duration) -> io::Result<Self> {
        let mut signals = Signals::listen()?;
        let stop = Stop { state: Arc::new(watch::channel(State::Working).0), journal: Arc::default(), allowed };
        let heard = stop.clone();
        tokio::spawn(async move {
            signals.next().await;
            heard.begin(true);
            eprintln!("interrupted: ending within {allowed:?}; once more to end at once");
            signals.next().await;
            if let Some(journal) = heard.journal.get() {
                // Nobody is left to tell if this fails.
                let _ = journal.try_flush();
            }
            std::process::exit(INTERRUPTED);
        });
        Ok(stop)
    }

    /// Flushes this journal even when the process ends at once.
    pub(crate) fn keep(&self, journal: &Arc<Journal>) {
        let _ = self.journal.set(journal.clone());
    }

    /// The work is done.
    pub(crate) fn finish(&self) {
        self.begin(false);
    }

    fn begin(&self, interrupted: bool) {
        self.state.send_modify(|state| {
            *state = match *state {
                State::Working => State::Stopping { since: Instant::now(), interrupted },
                // The time allowed began with the first reason to stop.
                State::Stopping { since, interrupted: before } => {
                    State::Stopping { since, interrupted: before || interrupted }
                }
            };
        });
    }

    /// Whether it is time to stop, for either reason.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.state.borrow() != State::Working
    }

    /// Whether somebody interrupted.
    pub(crate) fn interrupted(&self) -> bool {
        matches!(*self.state.borrow(), State::Stopping { interrupted: true, .. })
    }

    /// Ends when it is time to stop, for either reason.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut state = self.state.subscribe();
        async move {
            // The sender lives in every clone, this future's owner included; if all are gone it is time as well.
            let _ = state.wait_for(|state| *state != State::Working).await;
        }
    }

    /// What the future gives, unless it is time to stop first.
    pub(crate) async fn unless<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.wait() => None,
            value = future => Some(value),
        }
    }

    /// What the future gives, if it does so within this share of the time that is allowed for stopping.
    pub(crate) async fn within<T>(&self, share: f64, future: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.by(share), future).await.ok()
    }

    /// Ends when this share of the time allowed has passed.
    pub(crate) async fn until(&self, share: f64) {
        sleep_until(self.by(share)).await;
    }

    /// How much of that share is left.
    pub(crate) fn left(&self, share: f64) -> Duration {
        self.by(share).saturating_duration_since(Instant::now())
    }

    /// When this share of the time allowed will have passed.
    fn by(&self, share: f64) -> Instant {
        match *self.state.borrow() {
            State::Working => Instant::now() + self.allowed.mul_f64(share),
            State::Stopping { since, .. } => since + self.allowed.mul_f64(share),
        }
    }
}

/// SIGINT, and SIGTERM where there is one. Listens without a gap between two signals.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Signals {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
