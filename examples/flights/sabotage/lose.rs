//! Messages are confirmed and dropped.

use std::sync::Arc;

use pontoon_core::driver::{Completions, MessageBatch, Ticket};
use pontoon_core::{Message, PublishOutcome, Receipt};

use super::Choice;

pub(super) struct Lose {
    choice: Arc<Choice>,
    completions: Completions,
    lies: Vec<(Ticket, PublishOutcome)>,
}

impl Lose {
    pub(super) fn new(choice: Arc<Choice>, completions: Completions) -> Self {
        Lose { choice, completions, lies: Vec::new() }
    }

    pub(super) fn meet(&mut self, ticket: Ticket, message: Message, onward: &mut MessageBatch) {
        if self.choice.next() {
            self.lies.push((ticket, PublishOutcome::Confirmed(Receipt::default())));
        } else {
            onward.push(ticket, message);
        }
    }

    pub(super) fn lie(&mut self) {
        self.completions.complete(&mut self.lies);
    }
}
