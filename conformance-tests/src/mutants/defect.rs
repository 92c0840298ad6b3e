//! What a mutant may do to a correct transport: one method for each seam, each passing through unless a defect says
//! otherwise.

use std::time::Duration;

use pontoon_core::driver::{Disposition, Ensure, Extensions, Incoming, Late, Settled, Ticket, Token};
use pontoon_core::engine::{ConsumerOptions, Delivery, PublisherOptions};
use pontoon_core::{Attempt, Capabilities, Channel, Error, Event, Message, MessageId, PublishOutcome, Result, Source};

use super::MutantTransport;
use crate::scene::End;

/// What happens to one message that a producer takes.
#[derive(Debug)]
pub enum Fate {
    /// It is passed on, perhaps changed.
    Pass(Message),
    /// Its outcome is told at once. What is given along is passed on all the same, and its true outcome is heard by
    /// nobody.
    Told(PublishOutcome, Option<Message>),
    /// It is passed on, and others behind it whose outcomes nobody hears.
    Beside(Message, Vec<Message>),
}

/// What happens to one settlement.
#[derive(Debug)]
pub enum Deed<'a> {
    /// It is done, perhaps differently.
    Do(Disposition<'a>),
    /// Nothing is done, and this is answered.
    Pretend(Settled),
    /// It is done, and others with it.
    With(Disposition<'a>, Vec<(Token, Disposition<'a>)>),
    /// *Recorded* is answered; it is done with the next settlement.
    Later,
}

/// Where a consumer sits.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// What it reads.
    pub source: &'a Source,
    /// Which one it is: each generation of each consumer has its own number.
    pub reader: u64,
    /// Whether it was told to stop.
    pub stopping: bool,
}

/// A way to break one promise. Every method leaves everything as it is unless it is overridden.
///
/// The first group is called at the driver seam and breaks what a transport promises. The second is called where the
/// application meets the engine, and breaks what the engine promises.
#[allow(unused_variables)]
pub trait Defect: Send + Sync + 'static {
    /// Changes what a profile declares.
    fn capabilities(&self, channel: &Channel, found: &mut Capabilities) {}

    /// Changes what is declared; `None` declares nothing and says that it did.
    ///
    /// # Errors
    /// Any, instead of declaring.
    fn ensure(&self, what: Ensure) -> Result<Option<Ensure>> {
        Ok(Some(what))
    }

    /// Changes which channel is declared, and opened.
    fn channel(&self, channel: &mut Channel) {}

    /// Changes the order, or the contents, of what is taken in one go.
    fn batch(&self, channel: &Channel, messages: &mut [(Ticket, Message)]) {}

    /// Decides about one message.
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        Fate::Pass(message)
    }

    /// Changes an outcome before the engine hears it; `None` swallows it.
    fn outcome(&self, channel: &Channel, id: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        Some(outcome)
    }

    /// What is told of messages without an outcome when their connection dies; `None` tells nothing, as is right.
    fn at_death(&self, channel: &Channel) -> Option<PublishOutcome> {
        None
    }

    /// Changes a message that arrives. How many times the engine sees it: 1 unless said otherwise.
    fn arrive(&self, seat: Seat<'_>, incoming: &mut Incoming) -> usize {
        1
    }

    /// Decides about one settlement. `out` are the tokens that this consumer holds, oldest first.
    fn settle<'a>(&self, seat: Seat<'_>, token: Token, what: Disposition<'a>, out: &[Token]) -> Deed<'a> {
        Deed::Do(what)
    }

    /// How many acks of [`Deed::Later`] are kept back until the consumer closes; the others are done with the next
    /// settlement.
    fn keeps_back(&self) -> usize {
        0
    }

    /// Changes an answer.
    fn answer(&self, seat: Seat<'_>, what: &Disposition<'_>, answer: Settled) -> Settled {
        answer
    }

    /// Changes a settlement that did not become final; `None` keeps it from the engine.
    fn late(&self, seat: Seat<'_>, late: Late) -> Option<Late> {
        Some(late)
    }

    /// A generation died of this; `None` keeps it from the engine, which then waits for ever.
    fn died(&self, channel: &Channel, error: Error) -> Option<Error> {
        Some(error)
    }

    /// Whether a lost lease is signalled.
    fn tells_lost_lease(&self, seat: Seat<'_>) -> bool {
        true
    }

    /// How many messages one receive may bring.
    fn demand(&self, seat: Seat<'_>, max: usize) -> usize {
        max
    }

    /// Changes what is offered beyond the contract.
    fn extensions(&self, inner: Extensions) -> Extensions {
        inner
    }

    /// Changes how closing the transport ends; `times` counts from 1.
    ///
    /// # Errors
    /// Any.
    fn closed(&self, times: u64, end: Result<()>) -> Result<()> {
        end
    }

    /// Changes how a consumer is opened.
    fn consumer(&self, source: &mut Source, options: &mut ConsumerOptions) {}

    /// Changes how a publisher is opened.
    fn publisher(&self, channel: &mut Channel, options: &mut PublisherOptions) {}

    /// Changes a message before the engine sees it.
    fn publishing(&self, message: Message) -> Message {
        message
    }

    /// Changes how a delivery ends.
    fn end(&self, source: &Source, message: &Message, end: End) -> End {
        end
    }

    /// An acknowledgement is about to be awaited until it is final.
    fn confirming(&self) {}

    /// The application dropped the future of a publish, or of its outcome.
    fn dropped(&self, id: &MessageId) {}

    /// Changes which attempt a delivery is said to be.
    fn attempt(&self, message: &Message, attempt: Attempt) -> Attempt {
        attempt
    }

    /// Whether what a cancelled call for the next delivery had found is lost.
    fn loses_cancelled(&self) -> bool {
        false
    }

    /// Changes what the application sees of deliveries that were taken together.
    fn taken_together(&self, batch: &mut Vec<Delivery>) {}

    /// Changes by when a consumer is drained.
    fn drain(&self, within: Duration) -> Duration {
        within
    }

    /// Whether the application's event hook hears of this.
    fn tells(&self, event: &Event<'_>) -> bool {
        true
    }
}

/// No defect: the wrapper itself must not break anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faithful;

impl Defect for Faithful {}

/// Wraps a transport so that it has a defect.
#[must_use]
pub fn wrap(
    inner: pontoon_core::driver::AnyTransport,
    defect: std::sync::Arc<dyn Defect>,
) -> pontoon_core::driver::AnyTransport {
    pontoon_core::driver::AnyTransport::new(MutantTransport::new(inner, defect))
}
