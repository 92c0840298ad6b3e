//! The contract for authors of transports: what a broker must offer so that the engine can do the rest.
//!
//! The engine owns retry, time-outs, reconnecting, order, dead letters, leases and draining. A transport says what its
//! broker does natively ([`Capabilities`](crate::Capabilities)), moves messages, and reports what happened: one
//! outcome per message, one answer per settlement.
//!
//! The data path ([`Producer`], [`Receiver`], [`Settler`]) consists of poll methods without futures, so that
//! submitting is synchronous, nothing lives in a user's future, and no message costs a box. Whoever prefers
//! `async fn` implements [`adapter::SimpleTransport`] instead.

mod batch;
mod completions;
mod consume;
mod erased;
mod extensions;
mod open;
mod traits;

pub mod adapter;

pub(crate) use batch::DirectBatch;
pub use batch::{Batch, BatchSource, MessageBatch, Ticket};
pub use completions::{CompletionSink, Completions};
pub use consume::{Arrival, Disposition, Inbox, Incoming, Late, LateKind, Settled, Token};
pub use erased::{AnyProducer, AnyReceiver, AnySettler, AnyTransport, BoxFuture};
pub use extensions::{DepthReport, Extensions, QueueDepth, QueuePurge};
pub use open::{Ensure, Notices, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer};
pub use traits::{Producer, Receiver, Settler, Transport};
