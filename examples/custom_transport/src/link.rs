//! One connection's way to the broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use pontoon_core::Result;
use tokio::sync::oneshot;

use crate::command::Command;
use crate::error;

/// A connection to one run of the broker. When that run is over, it is dead for good.
#[derive(Debug)]
pub(crate) struct Link {
    /// No two connections to a folder have the same, whichever run of the broker they belong to.
    pub(crate) number: u64,
    commands: Sender<Command>,
    closed: AtomicBool,
}

impl Link {
    /// A connection of this number.
    pub(crate) fn new(number: u64, commands: Sender<Command>) -> Link {
        Link { number, commands, closed: AtomicBool::new(false) }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// `Closed` here, or `Connection` when no answer comes: whether it was done is not known then.
    pub(crate) async fn ask<T>(
        &self,
        operation: &'static str,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T> {
        self.begin(operation, command)?.await.map_err(|_| error::lost(operation))
    }

    /// Asks. A broker that is gone hears nothing, and drops the answer.
    ///
    /// # Errors
    /// `Closed`.
    pub(crate) fn begin<T>(
        &self,
        operation: &'static str,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<oneshot::Receiver<T>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(error::closed(operation));
        }
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(command(reply));
        Ok(answer)
    }

    /// Ends it: what it holds goes back. Doing it twice is fine.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let _ = self.commands.send(Command::Leave { by: self.number });
    }
}
