//! What a producer is offered: messages with their tickets, in issue order.

use crate::Message;

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
}

/// Messages offered to [`Producer::poll_submit`](super::Producer::poll_submit).
pub struct Batch<'a>(&'a mut dyn BatchSource);

impl<'a> Batch<'a> {
    /// A batch over this source.
    pub fn new(source: &'a mut dyn BatchSource) -> Self {
        Batch(source)
    }

    /// How many messages may be taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is left to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The message at the front with its ticket, without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<(Ticket, &Message)> {
        self.0.peek()
    }

    /// Takes the message at the front: its outcome is owed from now on.
    pub fn pop(&mut self) {
        self.0.pop();
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
