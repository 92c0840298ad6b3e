//! What a producer is offered: messages with their tickets, in issue order.

use crate::{Message, PublishOutcome, Receipt};

/// Names one submission of one message. A resent message has another ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The engine's slot.
    pub slot: u32,
    /// How often the slot was used: tells a late completion from a valid one.
    pub generation: u32,
}

/// Where a [`Batch`] comes from.
pub trait BatchSource {
    /// How many messages may be taken.
    fn len(&self) -> usize;
    /// Whether nothing may be taken.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The one at the front.
    fn peek(&self) -> Option<(Ticket, &Message)>;
    /// Takes the one at the front: from now on the producer owes its outcome.
    fn pop(&mut self);
    /// The same, with the message itself; see [`Batch::store`].
    fn take(&mut self) -> Option<Message> {
        let message = self.peek().map(|(_, message)| message.clone());
        self.pop();
        message
    }
}

/// Messages offered to [`Producer::poll_submit`](super::Producer::poll_submit).
pub struct Batch<'a>(Source<'a>);

enum Source<'a> {
    Any(&'a mut dyn BatchSource),
    /// The engine's own, without a virtual call for each message.
    Direct(DirectBatch<'a>),
}

impl<'a> Batch<'a> {
    /// A batch over this source.
    pub fn new(source: &'a mut dyn BatchSource) -> Self {
        Batch(Source::Any(source))
    }

    pub(crate) fn direct(source: DirectBatch<'a>) -> Self {
        Batch(Source::Direct(source))
    }

    /// How many messages may be taken.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Any(source) => source.len(),
            Source::Direct(source) => source.messages.len() - *source.taken,
        }
    }

    /// Whether nothing is left to take.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message at the front with its ticket, without taking it.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<(Ticket, &Message)> {
        match &self.0 {
            Source::Any(source) => source.peek(),
            Source::Direct(source) => source.peek(),
        }
    }

    /// Takes the message at the front: its outcome is owed from now on.
    #[inline]
    pub fn pop(&mut self) {
        match &mut self.0 {
            Source::Any(source) => source.pop(),
            Source::Direct(source) => *source.taken += 1,
        }
    }

    /// Takes the message at the front, itself and not a copy: `store` moves it from its place and stores it at once, so
    /// that it is confirmed with the receipt that it gives, and nothing is owed. What comes back, if anything, goes to
    /// [`Completions`](super::Completions) like any outcome.
    #[inline]
    #[must_use = "it goes to the completions"]
    pub fn store(&mut self, store: impl FnOnce(&mut Option<Message>) -> Receipt) -> Option<(Ticket, PublishOutcome)> {
        match &mut self.0 {
            Source::Any(source) => {
                let (ticket, _) = source.peek()?;
                Some((ticket, PublishOutcome::Confirmed(store(&mut source.take()))))
            }
            Source::Direct(source) => {
                let receipt = store(source.messages.get_mut(*source.taken)?);
                source.stored.push((*source.taken as u32, receipt));
                *source.taken += 1;
                None
            }
        }
    }
}

/// Messages that never were in a slot of the engine: offered from where they were made.
pub(crate) struct DirectBatch<'a> {
    /// All there, but for those taken whole.
    pub messages: &'a mut [Option<Message>],
    pub taken: &'a mut usize,
    /// Those that were stored at once, by their place.
    pub stored: &'a mut Vec<(u32, Receipt)>,
    /// The slot that the first one's ticket names; the others' follow.
    pub first_slot: u32,
    pub generation: u32,
}

impl DirectBatch<'_> {
    #[inline]
    fn peek(&self) -> Option<(Ticket, &Message)> {
        let message = self.messages.get(*self.taken)?.as_ref()?;
        Some((Ticket { slot: self.first_slot + *self.taken as u32, generation: self.generation }, message))
    }
}

/// A batch that owns its messages: for wrappers that pass on other messages than they were offered, and for tests.
#[derive(Debug, Default)]
pub struct MessageBatch(std::collections::VecDeque<(Ticket, Message)>);

impl MessageBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a message.
    pub fn push(&mut self, ticket: Ticket, message: Message) {
        self.0.push_back((ticket, message));
    }

    /// Takes back what no producer took.
    pub fn take_front(&mut self) -> Option<(Ticket, Message)> {
        self.0.pop_front()
    }
}

impl BatchSource for MessageBatch {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn peek(&self) -> Option<(Ticket, &Message)> {
        self.0.front().map(|(ticket, message)| (*ticket, message))
    }
    fn pop(&mut self) {
        self.0.pop_front();
    }
}
