//! What a connection asks of the broker.

use pontoon_core::driver::adapter::{SettleOutcome, Settlement};
use pontoon_core::driver::{DepthReport, Incoming, Token};
use pontoon_core::{Message, PublishOutcome, Result};
use tokio::sync::oneshot::Sender;

/// One question. A connection has at most one of each sort under way, so that what waits is bounded by the number of
/// connections. A reply that is dropped means that the connection is gone.
pub(crate) enum Command {
    /// Declare a queue, or only look for it where there are no facts; the answer is where it is.
    Declare { queue: String, facts: Option<String>, reply: Sender<Result<usize>> },
    /// Store messages.
    Publish { by: u64, queue: String, messages: Vec<Message>, reply: Sender<Vec<PublishOutcome>> },
    /// Hand over messages, as soon as there is one.
    Receive { by: u64, queue: usize, max: usize, reply: Sender<Vec<Incoming>> },
    /// End deliveries.
    Settle { by: u64, what: Vec<(Token, Settlement)>, reply: Sender<Vec<SettleOutcome>> },
    /// How many messages there are.
    Depth { queue: String, reply: Sender<Result<DepthReport>> },
    /// A consumer is gone.
    Leave { by: u64 },
    /// All connections with a lower number end.
    Cut { before: u64, reply: Sender<()> },
    /// Look whether the end has come.
    Wake,
}
