//! Writing a transport with `async fn`: implement [`SimpleTransport`], and [`Adapter`] makes it a
//! [`Transport`].
//!
//! Three calls carry all messages: [`publish`](SimplePublisher::publish), [`receive`](SimpleConsumer::receive) and
//! [`settle`](SimpleConsumer::settle). The adapter keeps the futures they return, a bounded number of them, so that
//! nothing lives in a user's future and dropping one loses nothing.
//!
//! It knows which deliveries are outstanding: a second settlement of one token, or one with a token of another generation,
//! is stale and never reaches the author.
//!
//! **The one weakness:** an outcome is known when its whole call has ended, not as soon as the broker tells. One slow
//! message of a batch delays the outcomes of the others, and a call whose answer is lost leaves all of its messages
//! Unknown. Beside that it costs a box and a clone of the messages for each call. A client that is asked for the last
//! nanosecond implements the poll methods itself.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hashbrown::HashSet;

mod outstanding;

use outstanding::Outstanding;

use super::{
    Batch, BoxFuture, Completions, Disposition, Ensure, Extensions, Inbox, Incoming, Late, LateKind, OpenConsumer,
    OpenProducer, OpenedConsumer, OpenedProducer, Producer, Receiver, Settled, Settler, Ticket, Token, Transport,
};
use crate::{Capabilities, Channel, Error, ErrorKind, ErrorStatus, Message, PublishOutcome, Result};

/// How much one call takes, and how many may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallLimits {
    /// The most messages of one publish: from 1, default 256.
    pub publish: usize,
    /// The most publishes under way at once: from 1, default 1. With more, they are begun in issue order, and it is on
    /// the author that the broker stores them in this order: where it may not, declare
    /// [`Behaviour::one_unresolved_per_key`](crate::Behaviour::one_unresolved_per_key).
    pub publishes_at_once: usize,
    /// The most settlements of one call: from 1, default 256. Settlements are never under way twice at once, since a
    /// retry and an extension of the same delivery must not overtake each other.
    pub settle: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        CallLimits { publish: 256, publishes_at_once: 1, settle: 256 }
    }
}

impl CallLimits {
    /// Other numbers of messages for one publish and of publishes at once; 0 counts as 1.
    #[must_use]
    pub fn with_publishes(mut self, messages: usize, at_once: usize) -> Self {
        self.publish = messages.max(1);
        self.publishes_at_once = at_once.max(1);
        self
    }

    /// Another number of settlements for one call; 0 counts as 1.
    #[must_use]
    pub fn with_settle(mut self, settlements: usize) -> Self {
        self.settle = settlements.max(1);
        self
    }
}

/// A transport in `async fn`. What is said of [`Transport`] holds: the engine retries, times out and
/// reconnects, and every future here may be dropped at any await.
pub trait SimpleTransport: Send + Sync + 'static {
    /// Its publishing half.
    type Publisher: SimplePublisher;
    /// Its consuming half.
    type Consumer: SimpleConsumer;

    /// What the profile that this channel would use can do.
    fn capabilities(&self, channel: &Channel) -> Capabilities;

    /// How much one call takes; asked at each opening.
    fn call_limits(&self) -> CallLimits;

    /// Declares the channel, and the subscriptions named. Idempotent.
    ///
    /// # Errors
    /// `Conflict` naming the differing field, `Permission` naming the missing right, `NotFound` for an existing channel
    /// that is not there.
    fn ensure(&self, what: &Ensure) -> impl Future<Output = Result<()>> + Send;

    /// Opens one generation of a publisher.
    fn open_publisher(&self, channel: &Channel) -> impl Future<Output = Result<Self::Publisher>> + Send;

    /// Opens one generation of a consumer. Dropping the last reference to what it returns is losing the connection.
    fn open_consumer(&self, how: &OpenConsumer) -> impl Future<Output = Result<Self::Consumer>> + Send;

    /// What it offers beyond the contract.
    fn extensions(&self) -> Extensions;

    /// Closes every connection. Calling it twice is fine.
    fn close(&self) -> impl Future<Output = Result<()>> + Send;
}

/// The publishing half of one generation.
pub trait SimplePublisher: Send + Sync + 'static {
    /// Sends these messages, in this order, and tells the outcome of each, in the same order.
    ///
    /// # Errors
    /// The connection is broken: every message of this call is Unknown and the generation ends. What concerns some
    /// messages only (a refusal, a time-out) is their outcome, not an error.
    fn publish(&self, messages: Vec<Message>) -> impl Future<Output = Result<Vec<PublishOutcome>>> + Send;
}

/// The consuming half of one generation.
pub trait SimpleConsumer: Send + Sync + 'static {
    /// How long a lease lasts before it must be extended; `None` where the broker has none.
    fn lease(&self) -> Option<Duration>;

    /// Waits for messages, at most `max` (from 1) and at most as long as
    /// [`longest_read`](OpenConsumer::longest_read); none is a fine answer then. One call is under way at a time, and
    /// it is always waited for, unless the whole generation is dropped.
    ///
    /// # Errors
    /// The generation is dead; what it handed out before is lost to this client.
    fn receive(&self, max: usize) -> impl Future<Output = Result<Vec<Incoming>>> + Send;

    /// Settles these deliveries and tells the end of each, in the same order. May run beside `receive`.
    ///
    /// # Errors
    /// Of the whole call: with status *unknown* each settlement may or may not have happened, otherwise none has and
    /// the engine records them again.
    fn settle(&self, what: Vec<(Token, Settlement)>) -> impl Future<Output = Result<Vec<SettleOutcome>>> + Send;

    /// Gives up what is unsettled. Called once, after the last settlement.
    fn close(&self) -> impl Future<Output = Result<()>> + Send;
}

/// A [`Disposition`] that owns its parts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Settlement {
    /// Done: never again.
    Ack,
    /// Given back, free for anyone, at once.
    Release,
    /// Failed: counts, and comes back after this time.
    Retry {
        /// How long it waits.
        after: Duration,
        /// How many failures to count.
        failures: u32,
    },
    /// The lease is prolonged, to this time from now.
    Extend {
        /// From now.
        by: Duration,
    },
    /// Its successor is stored and it is settled in one step.
    Replace(Box<Replacement>),
}

/// What takes the place of a delivery.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// Where the successor goes.
    pub to: Channel,
    /// The successor.
    pub message: Message,
}

impl From<Disposition<'_>> for Settlement {
    fn from(disposition: Disposition<'_>) -> Self {
        match disposition {
            Disposition::Ack => Settlement::Ack,
            Disposition::Release => Settlement::Release,
            Disposition::Retry { after, failures } => Settlement::Retry { after, failures },
            Disposition::Extend { by } => Settlement::Extend { by },
            Disposition::Replace { to, message } => {
                Settlement::Replace(Box::new(Replacement { to: to.clone(), message: message.clone() }))
            }
        }
    }
}

/// How one settlement ended.
#[derive(Clone, Debug)]
pub enum SettleOutcome {
    /// It is final.
    Done,
    /// The lease had been lost; nothing was done.
    Stale,
    /// It failed and the lease still holds: the engine records it again.
    Failed(Error),
    /// It may or may not have happened.
    Unknown(Error),
}

/// A [`SimpleTransport`] as a [`Transport`].
///
/// ```
/// # use pontoon_core::driver::{AnyTransport, adapter::{Adapter, SimpleTransport}};
/// fn erased(mine: impl SimpleTransport) -> AnyTransport {
///     AnyTransport::new(Adapter::new(mine))
/// }
/// ```
#[derive(Debug)]
pub struct Adapter<T>(Arc<T>);

impl<T: SimpleTransport> Adapter<T> {
    /// Adapts a transport.
    #[must_use]
    pub fn new(transport: T) -> Self {
        Adapter(Arc::new(transport))
    }

    /// The transport itself.
    #[must_use]
    pub fn inner(&self) -> &T {
        &self.0
    }
}

impl<T: SimpleTransport> Transport for Adapter<T> {
    type Producer = AdaptedProducer<T::Publisher>;
    type Receiver = AdaptedReceiver<T::Consumer>;
    type Settler = AdaptedSettler<T::Consumer>;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        self.0.capabilities(channel)
    }

    async fn ensure(&self, what: &Ensure) -> Result<()> {
        self.0.ensure(what).await
    }

    async fn open_producer(&self, how: OpenProducer) -> Result<OpenedProducer<Self::Producer>> {
        let publisher = Arc::new(self.0.open_publisher(&how.channel).await?);
        let producer = AdaptedProducer {
            publisher,
            completions: how.completions,
            limits: self.0.call_limits(),
            calls: VecDeque::new(),
            outcomes: Vec::new(),
            dead: None,
        };
        Ok(OpenedProducer::new(producer, self.0.capabilities(&how.channel)))
    }

    async fn open_consumer(&self, how: OpenConsumer) -> Result<OpenedConsumer<Self::Receiver, Self::Settler>> {
        let consumer = Arc::new(self.0.open_consumer(&how).await?);
        let lease = consumer.lease();
        let outstanding = Outstanding::default();
        let receiver = AdaptedReceiver {
            consumer: consumer.clone(),
            prefetch: how.prefetch.max(1),
            call: None,
            fetched: VecDeque::new(),
            held: Vec::new(),
            stopped: false,
            dead: None,
            outstanding: outstanding.clone(),
            waker: None,
        };
        let settler = AdaptedSettler {
            consumer,
            limit: self.0.call_limits().settle.max(1),
            outstanding,
            pending: VecDeque::new(),
            prune_at: PRUNE,
            call: None,
            recorded: 0,
            finished: 0,
            flushing: None,
            closing: None,
            closed: false,
            late: Vec::new(),
        };
        let mut opened = OpenedConsumer::new(receiver, settler, self.0.capabilities(&how.source.channel));
        opened.lease = lease;
        Ok(opened)
    }

    fn extensions(&self) -> Extensions {
        self.0.extensions()
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

/// A publish under way, and whose outcomes it owes.
struct PublishCall {
    tickets: Vec<Ticket>,
    future: BoxFuture<'static, Result<Vec<PublishOutcome>>>,
}

/// The publishing half of an [`Adapter`].
pub struct AdaptedProducer<P> {
    publisher: Arc<P>,
    completions: Completions,
    limits: CallLimits,
    calls: VecDeque<PublishCall>,
    outcomes: Vec<(Ticket, PublishOutcome)>,
    dead: Option<Error>,
}

impl<P: SimplePublisher> AdaptedProducer<P> {
    /// Polls every call, so that each has the last waker, and completes what has ended.
    fn drive(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while self.dead.is_none() && at < self.calls.len() {
            match self.calls[at].future.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(answer) => {
                    if let Some(call) = self.calls.remove(at) {
                        self.finish(call.tickets, answer);
                    }
                }
            }
        }
        if self.dead.is_some() {
            // The engine turns what is still open Unknown.
            self.calls.clear();
        }
        self.completions.complete(&mut self.outcomes);
    }

    fn finish(&mut self, tickets: Vec<Ticket>, answer: Result<Vec<PublishOutcome>>) {
        let unknown = |error: &Error| PublishOutcome::Unknown(error.clone());
        match answer {
            Ok(outcomes) if outcomes.len() == tickets.len() => {
                self.outcomes.extend(tickets.into_iter().zip(outcomes));
            }
            Ok(outcomes) => {
                // Which is whose cannot be told: none of them may count.
                let error = miscounted("publish", tickets.len(), outcomes.len());
                self.outcomes.extend(tickets.into_iter().map(|ticket| (ticket, unknown(&error))));
            }
            Err(error) => {
                self.outcomes.extend(tickets.into_iter().map(|ticket| (ticket, unknown(&error))));
                self.dead = Some(error);
            }
        }
    }
}

fn miscounted(operation: &'static str, asked: usize, answered: usize) -> Error {
    Error::new(
        ErrorKind::Internal,
        operation,
        format!("the transport gave {answered} answers for {asked} items, so none can be trusted"),
    )
    .with_status(ErrorStatus::Unknown)
}

impl<P: SimplePublisher> Producer for AdaptedProducer<P> {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        self.drive(cx);
        if let Some(error) = &self.dead {
            return Poll::Ready(Err(error.clone()));
        }
        if self.calls.len() >= self.limits.publishes_at_once.max(1) {
            return Poll::Pending;
        }
        let many = batch.len().min(self.limits.publish.max(1));
        let (mut tickets, mut messages) = (Vec::with_capacity(many), Vec::with_capacity(many));
        while tickets.len() < many
            && let Some((ticket, message)) = batch.peek()
        {
            tickets.push(ticket);
            messages.push(message.clone());
            batch.pop();
        }
        if tickets.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let publisher = self.publisher.clone();
        let future = Box::pin(async move { publisher.publish(messages).await });
        self.calls.push_back(PublishCall { tickets, future });
        // Begun before this returns, hence in issue order.
        self.drive(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.drive(cx);
        match &self.dead {
            Some(error) => Poll::Ready(error.clone()),
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.drive(cx);
        match &self.dead {
            Some(error) => Poll::Ready(Err(error.clone())),
            None if self.calls.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

/// The receiving half of an [`Adapter`].
pub struct AdaptedReceiver<C> {
    consumer: Arc<C>,
    prefetch: usize,
    call: Option<BoxFuture<'static, Result<Vec<Incoming>>>>,
    /// Received and not yet handed over: beyond `max`, or of a held source. At most a prefetch and one call's worth.
    fetched: VecDeque<Incoming>,
    held: Vec<u32>,
    stopped: bool,
    dead: Option<Error>,
    outstanding: Outstanding,
    /// Whom to wake when a source is let go on.
    waker: Option<Waker>,
}

impl<C: SimpleConsumer> AdaptedReceiver<C> {
    /// Hands over up to `max` of what was fetched; says how many.
    fn hand_over(&mut self, into: &mut Inbox, max: usize) -> usize {
        let mut given = 0;
        if self.held.is_empty() {
            while given < max
                && let Some(incoming) = self.fetched.pop_front()
            {
                self.outstanding.hold(incoming.token);
                into.message(incoming);
                given += 1;
            }
        } else {
            let mut kept = VecDeque::with_capacity(self.fetched.len());
            for incoming in self.fetched.drain(..) {
                if given < max && !self.held.contains(&incoming.token.source) {
                    self.outstanding.hold(incoming.token);
                    into.message(incoming);
                    given += 1;
                } else {
                    kept.push_back(incoming);
                }
            }
            self.fetched = kept;
        }
        given
    }

    /// Polls the call under way. Ready when it has ended, well or badly, and when there is none.
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(call) = &mut self.call else { return Poll::Ready(()) };
        match call.as_mut().poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(messages)) => self.fetched.extend(messages),
            Poll::Ready(Err(error)) => self.dead = Some(error),
        }
        self.call = None;
        Poll::Ready(())
    }
}

impl<C: SimpleConsumer> Receiver for AdaptedReceiver<C> {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>> {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        // A second round, since the first may only end a read that brought nothing.
        for _ in 0..2 {
            let under_way = self.poll_call(cx).is_pending();
            if self.hand_over(into, max) > 0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = &self.dead {
                return Poll::Ready(Err(error.clone()));
            }
            if under_way || self.stopped || max == 0 || self.fetched.len() >= self.prefetch {
                return Poll::Pending;
            }
            let consumer = self.consumer.clone();
            self.call = Some(Box::pin(async move { consumer.receive(max).await }));
        }
        if self.poll_call(cx).is_ready() {
            // Reads that bring nothing at once must not keep this thread.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn hold(&mut self, source: u32, held: bool) {
        self.held.retain(|known| *known != source);
        if held {
            self.held.push(source);
        } else if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<Result<()>> {
        self.stopped = true;
        self.held.clear();
        let ended = self.poll_call(cx).is_ready();
        self.hand_over(into, usize::MAX);
        match &self.dead {
            Some(error) => Poll::Ready(Err(error.clone())),
            None if ended => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

/// So many recorded settlements may wait before superseded extensions among them are looked for.
const PRUNE: usize = 1024;

/// A settlement that no call has taken yet.
struct Pending {
    token: Token,
    settlement: Settlement,
    /// How many recorded ones it stands for: itself, and extensions that it supersedes.
    ends: u64,
}

/// Leaves out extensions of deliveries that were settled or extended again after them: a stalled call must not let
/// heartbeats pile up, nor an old one undo a settlement.
fn without_superseded(all: impl DoubleEndedIterator<Item = Pending>) -> Vec<Pending> {
    let mut later = HashSet::new();
    let mut kept: Vec<Pending> = Vec::new();
    for pending in all.rev() {
        let last_of_token = later.insert(pending.token);
        match kept.last_mut() {
            Some(next) if !last_of_token && matches!(pending.settlement, Settlement::Extend { .. }) => {
                next.ends += pending.ends;
            }
            _ => kept.push(pending),
        }
    }
    kept.reverse();
    kept
}

/// A settle call under way: whose, how many recorded ones it ends, and the call.
struct SettleCall {
    /// Each, and whether it was to end its delivery.
    tokens: Vec<(Token, bool)>,
    ends: u64,
    future: BoxFuture<'static, Result<Vec<SettleOutcome>>>,
}

/// The settling half of an [`Adapter`].
pub struct AdaptedSettler<C> {
    consumer: Arc<C>,
    limit: usize,
    outstanding: Outstanding,
    pending: VecDeque<Pending>,
    /// How many pending ones make it worth looking for superseded extensions.
    prune_at: usize,
    call: Option<SettleCall>,
    /// How many were recorded, ever.
    recorded: u64,
    /// How many of them, the first ones, are final.
    finished: u64,
    /// Up to where the flush under way goes.
    flushing: Option<u64>,
    closing: Option<BoxFuture<'static, Result<()>>>,
    closed: bool,
    late: Vec<Late>,
}

impl<C: SimpleConsumer> AdaptedSettler<C> {
    /// The next call: what was recorded first.
    fn next_call(&mut self) -> Option<SettleCall> {
        let many = self.pending.len().min(self.limit);
        if many == 0 {
            return None;
        }
        let what = without_superseded(self.pending.drain(..many));
        let ends = what.iter().map(|pending| pending.ends).sum();
        let ending = |settlement: &Settlement| !matches!(settlement, Settlement::Extend { .. });
        let tokens = what.iter().map(|pending| (pending.token, ending(&pending.settlement))).collect();
        let what = what.into_iter().map(|pending| (pending.token, pending.settlement)).collect();
        let consumer = self.consumer.clone();
        let future = Box::pin(async move { consumer.settle(what).await });
        Some(SettleCall { tokens, ends, future })
    }

    /// Ready when everything up to `target` is final.
    fn poll_until(&mut self, cx: &mut Context<'_>, target: u64) -> Poll<()> {
        while self.finished < target {
            if self.call.is_none() {
                self.call = self.next_call();
            }
            let Some(call) = &mut self.call else { break };
            let Poll::Ready(answer) = call.future.as_mut().poll(cx) else { return Poll::Pending };
            self.finished += call.ends;
            let tokens = std::mem::take(&mut call.tokens);
            self.call = None;
            self.finish(tokens, answer);
        }
        Poll::Ready(())
    }

    fn finish(&mut self, tokens: Vec<(Token, bool)>, answer: Result<Vec<SettleOutcome>>) {
        let all = |outcome: SettleOutcome| tokens.iter().map(|_| outcome.clone()).collect();
        let outcomes = match answer {
            Ok(outcomes) if outcomes.len() == tokens.len() => outcomes,
            Ok(outcomes) => all(SettleOutcome::Unknown(miscounted("settle", tokens.len(), outcomes.len()))),
            Err(error) if error.status() == ErrorStatus::Unknown => all(SettleOutcome::Unknown(error)),
            Err(error) => all(SettleOutcome::Failed(error)),
        };
        for ((token, ending), outcome) in tokens.into_iter().zip(outcomes) {
            let kind = match outcome {
                SettleOutcome::Done => continue,
                SettleOutcome::Stale => LateKind::Stale,
                SettleOutcome::Failed(error) => {
                    if ending {
                        // It will be recorded again.
                        self.outstanding.hold(token);
                    }
                    LateKind::Failed(error)
                }
                SettleOutcome::Unknown(error) => LateKind::Unknown(error),
            };
            self.late.push(Late { token, kind });
        }
    }
}

impl<C: SimpleConsumer> Settler for AdaptedSettler<C> {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        for (token, disposition) in what {
            if !self.outstanding.admits(*token, disposition) {
                answers.push(Settled::Stale);
                continue;
            }
            self.pending.push_back(Pending { token: *token, settlement: (*disposition).into(), ends: 1 });
            self.recorded += 1;
            answers.push(Settled::Recorded);
        }
        if self.pending.len() > self.prune_at {
            self.pending = without_superseded(self.pending.drain(..)).into();
            self.prune_at = PRUNE.max(self.pending.len() * 2);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        let target = *self.flushing.get_or_insert(self.recorded);
        let end = self.poll_until(cx, target);
        late.append(&mut self.late);
        if end.is_ready() {
            self.flushing = None;
        }
        end.map(Ok)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        let end = self.poll_until(cx, self.recorded);
        late.append(&mut self.late);
        if end.is_pending() {
            return Poll::Pending;
        }
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        let consumer = &self.consumer;
        let closing = self.closing.get_or_insert_with(|| {
            let consumer = consumer.clone();
            Box::pin(async move { consumer.close().await })
        });
        let Poll::Ready(end) = closing.as_mut().poll(cx) else { return Poll::Pending };
        self.closing = None;
        self.closed = true;
        Poll::Ready(end)
    }
}

macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Opaque on purpose: what is behind it may hold credentials.
                f.write_str(stringify!($name))
            }
        }
    )*};
}
opaque_debug!(AdaptedProducer, AdaptedReceiver, AdaptedSettler);

#[cfg(test)]
mod tests;
