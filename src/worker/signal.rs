//! Shutdown by signal.

use std::future::Future;

/// What a shell reports for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Ends at the first SIGINT (Ctrl-C) or SIGTERM. A second one ends the process at once, with exit status 130: whoever
/// asks twice does not want to wait for a drain.
///
/// Signals count from this call on, not from the first poll.
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    let signals = Signals::listen();
    async move {
        let Some(mut signals) = signals else {
            // Ending now would stop a worker that nobody asked to stop.
            tracing::error!(target: "pontoon", "the operating system refuses to deliver signals");
            return std::future::pending().await;
        };
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(INTERRUPTED);
        });
    }
}

/// Listens without a gap between two signals.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt()).ok()?;
        let terminate = signal(SignalKind::terminate()).ok()?;
        Some(Signals { interrupt, terminate })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Option<Self> {
        Some(Signals)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
