//! The four traits. Every sentence here is a rule that the conformance suite checks.

use std::future::Future;
use std::task::{Context, Poll};

use super::{
    Batch, Disposition, Ensure, Extensions, Inbox, Late, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer,
    Settled, Token,
};
use crate::{Capabilities, Channel, Error, Result};

/// The control plane of a broker: declare, open, close. Authors write plain `async fn`.
///
/// **Who retries:** the engine. A transport never retries, never reconnects and never sets a time-out of its own: an
/// operation that fails returns its error with the status that lets the engine decide.
/// **Cancellation:** every future here may be dropped at any await; leave nothing half-declared that a repetition
/// would refuse.
/// **Concurrency:** all methods may be called at once from several tasks.
pub trait Transport: Send + Sync + 'static {
    /// Its publishing half.
    type Producer: Producer;
    /// Its receiving half.
    type Receiver: Receiver;
    /// Its settling half.
    type Settler: Settler;

    /// What the profile that this channel would use can do. Synchronous: answer from what the connection has learnt.
    fn capabilities(&self, channel: &Channel) -> Capabilities;

    /// Declares the channel, and the subscriptions named, as their facts say. Idempotent. A channel that another program
    /// declared (`existing`) is only looked for, by whatever right the user has; nothing of it is declared.
    ///
    /// # Errors
    /// `Conflict` naming the differing field, `Permission` naming the missing right, `NotFound` for an existing channel
    /// that is not there. Whatever fails leaves everything else working.
    fn ensure(&self, what: &Ensure) -> impl Future<Output = Result<()>> + Send;

    /// Opens one generation of a producer. `how.completions` is its only way to answer.
    fn open_producer(&self, how: OpenProducer) -> impl Future<Output = Result<OpenedProducer<Self::Producer>>> + Send;

    /// Opens one generation of a consumer.
    fn open_consumer(
        &self,
        how: OpenConsumer,
    ) -> impl Future<Output = Result<OpenedConsumer<Self::Receiver, Self::Settler>>> + Send;

    /// What it offers beyond the contract. Nothing that needs tokens.
    fn extensions(&self) -> Extensions;

    /// Closes every connection. Calling it twice is fine.
    fn close(&self) -> impl Future<Output = Result<()>> + Send;
}

/// The publishing half of one generation.
///
/// Never two calls at once. No poll method blocks, sleeps, spawns or waits for I/O: it may run on a user's thread. The
/// waker in `cx` belongs to the engine, never to a user's future; the last one passed to any poll method counts.
pub trait Producer: Send + 'static {
    /// Takes messages from the front of the batch, in issue order, as many as fit, and starts sending before it
    /// returns.
    ///
    /// `Ready(Ok)`: took at least one. `Pending`: took none, and wakes when there is room; this is the back-pressure,
    /// and what makes natural batches. `Ready(Err)`: took none, and this generation is dead. What is wrong with one
    /// message is completed as its outcome, not returned.
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>>;

    /// Drives I/O that has no thread of its own, and completes what is known. Bounded work per call. `Ready` only when
    /// the generation is dead: the engine then turns every open ticket Unknown and decides on resending.
    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error>;

    /// Closes after everything submitted has its outcome. Calling it again after `Ready` is fine.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
}

/// The receiving half of one generation.
///
/// Polled from the user's `next()`, without a hop, and by the engine's pump while nobody is in `next()`: a lease may be
/// running on what the server has already handed out. Dropping a `next()` is harmless, since all state lives here and
/// in the inbox. The rules of [`Producer`] on blocking and wakers hold.
pub trait Receiver: Send + 'static {
    /// `Ready(Ok)`: pushed at least one arrival, and at most `max` messages. `Ready(Err)`: the generation is dead; what
    /// it handed out before is lost to this client.
    ///
    /// Revocations go through the same inbox, so that they are ordered with messages, in two phases: *revoking*: give
    /// up what is unstarted, settling stays valid until the deadline; then *revoked*.
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>>;

    /// Holds one source (a partition or shard) without stopping the others, or lets it go on.
    fn hold(&mut self, source: u32, held: bool);

    /// Stops fetching. A read in flight may still deliver into the inbox, and the engine releases what it brings.
    /// `Ready(Ok)` when nothing more can arrive.
    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<Result<()>>;
}

/// The settling half of one generation: a separate object, used while a receive is pending.
///
/// It does only what the broker does natively. The engine has confirmed any successor before it records.
pub trait Settler: Send + 'static {
    /// Records settlements. Synchronous, infallible, in order; pushes exactly one answer for each: *recorded* is valid
    /// as far as this client knows, *stale* is known to be lost. Never settles anything but the token given.
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>);

    /// `Ready(Ok)`: everything recorded before this flush began is final, and what is not in `late` is done. Later
    /// records must not keep it pending; `late` may name some of them already. One flush at a time.
    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>>;

    /// Flushes, then gives up the settling half. Unsettled tokens go back to the broker.
    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>>;
}
