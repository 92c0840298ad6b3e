//! How a producer answers.

use std::fmt;
use std::sync::Arc;

use super::Ticket;
use crate::PublishOutcome;

/// Takes the outcomes of one producer generation. Clone it into callbacks and threads as needed.
///
/// Exactly one outcome per ticket, in any order, as soon as it is known. Late and double ones are dropped and counted;
/// the conformance suite asserts that there are none.
#[derive(Clone)]
pub struct Completions(Arc<dyn CompletionSink>);

/// What stands behind [`Completions`].
pub trait CompletionSink: Send + Sync + 'static {
    /// Takes all outcomes, leaving the vector empty for reuse. May be called from any thread, and from within
    /// `poll_submit` and `poll_drive`. Not under a lock that those methods take.
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>);
}

impl Completions {
    /// Completions that go to this sink.
    #[must_use]
    pub fn new(sink: Arc<dyn CompletionSink>) -> Self {
        Completions(sink)
    }

    /// Takes all outcomes, leaving the vector empty for reuse.
    pub fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        if !outcomes.is_empty() {
            self.0.complete(outcomes);
        }
    }
}

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completions")
    }
}
