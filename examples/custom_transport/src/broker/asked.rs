//! What is asked of the broker, one after the other. Nothing here waits; what must be kept goes into the turn's records.

use pontoon_core::driver::adapter::{SettleOutcome, Settlement};
use pontoon_core::driver::{DepthReport, Token};
use pontoon_core::wire::{Native, pack};
use pontoon_core::{BrokerId, Delay, Message, PublishOutcome, Receipt, Rejection, Result};

use super::{Broker, token};
use crate::journal::Place;
use crate::queues::{Held, Stored};
use crate::record::{Record, State};
use crate::{clock, error, facts};

impl Broker {
    pub(super) fn declare(&mut self, queue: &str, asked: Option<&str>) -> Result<usize> {
        match (self.queues.find(queue), asked) {
            (Some(found), None) => Ok(found),
            (Some(found), Some(asked)) => {
                facts::compare(queue, &self.queues.all()[found].facts, asked)?;
                Ok(found)
            }
            (None, None) => Err(error::missing("open channel", queue)),
            (None, Some(asked)) => {
                Record::Queue { name: queue, facts: asked }.put(&mut self.records);
                Ok(self.queues.declare(queue, asked))
            }
        }
    }

    pub(super) fn publish(&mut self, queue: &str, messages: &[Message]) -> Vec<PublishOutcome> {
        let rejected = |rejection| PublishOutcome::Rejected(rejection);
        let Some(found) = self.queues.find(queue) else {
            let refused = || rejected(Rejection::Refused(error::missing("publish", queue)));
            return messages.iter().map(|_| refused()).collect();
        };
        let mut room = self.config.max_messages.saturating_sub(self.queues.unsettled() + self.stored.len());
        let mut fields = Vec::new();
        let mut store = |message: &Message| {
            if message.body.len() as u64 > self.config.max_body {
                let error = error::too_large(message.body.len(), self.config.max_body);
                return rejected(Rejection::Refused(error));
            }
            if room == 0 {
                return rejected(Rejection::TryAgain(error::full(self.config.max_messages)));
            }
            room -= 1;
            fields.clear();
            pack(message, &Native::NONE, &mut fields);
            let state = State { due: clock::due(message.delay()), ..State::default() };
            let (number, begin) = (self.queues.next_number, self.records.len());
            self.queues.next_number += 1;
            let (fields, body) = (&fields[..], &message.body[..]);
            Record::Message { number, queue: found as u32, state, fields, body }.put(&mut self.records);
            let length = (self.records.len() - begin) as u32;
            let place = Place { at: self.disk.next_record() + begin as u64, length };
            self.stored.push((found, number, Stored { place, state }));
            PublishOutcome::Confirmed(Receipt { broker_id: BrokerId::Number(number), routed: None })
        };
        messages.iter().map(&mut store).collect()
    }

    pub(super) fn settle(&mut self, by: u64, given: Token, settlement: &Settlement) -> SettleOutcome {
        if given != token(given.position, by) {
            return SettleOutcome::Stale;
        }
        let settled = match settlement {
            Settlement::Ack => {
                let settled = self.queues.settle(given.position, by);
                if let Some(held) = settled {
                    Record::Gone { number: held.number }.put(&mut self.records);
                }
                settled.is_some()
            }
            Settlement::Release => self.release(by, given.position),
            Settlement::Retry { after, failures } => {
                let due = clock::due(Some(Delay::For(*after)));
                let retried = self.queues.retry(given.position, by, *failures, due);
                retried.is_some_and(|held| self.note(held))
            }
            _ => return SettleOutcome::Failed(error::unsupported("settle", "such settlement")),
        };
        if settled { SettleOutcome::Done } else { SettleOutcome::Stale }
    }

    /// Takes a delivery back as if it had not been.
    pub(super) fn release(&mut self, by: u64, delivery: u64) -> bool {
        self.queues.release(delivery, by).is_some_and(|held| self.note(held))
    }

    /// Writes down what became of a message.
    pub(super) fn note(&mut self, held: Held) -> bool {
        Record::Changed { number: held.number, state: held.stored.state }.put(&mut self.records);
        true
    }

    pub(super) fn depth(&self, queue: &str) -> Result<DepthReport> {
        let found = self.queues.find(queue).ok_or_else(|| error::missing("depth", queue))?;
        let queue = &self.queues.all()[found];
        let in_flight = self.queues.held_of(found) as u64;
        Ok(DepthReport::exact(queue.ready.len() as u64, queue.later.len() as u64, in_flight))
    }
}
