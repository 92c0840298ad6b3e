//! Receiving and settling: what the two halves of a consumer do.

use std::task::Waker;
use std::time::Duration;

use pontoon_core::driver::{Disposition, Inbox, Settled, Token};

use super::State;
use super::consumers::ConsumerId;
use super::slab::{NONE, Place};
use crate::clock::{NEVER, Nanos, Now, nanos};
use crate::wakes::Wakes;

/// A token: the slot and the lease, of which the generation is the lower half.
pub(super) fn token_of(slot: u32, lease: u64) -> Token {
    Token { position: (lease >> 32) << 32 | u64::from(slot), source: 0, generation: lease as u32 }
}

/// The slot and the lease of a token.
fn split(token: Token) -> (u32, u64) {
    (token.position as u32, (token.position >> 32) << 32 | u64::from(token.generation))
}

/// What came of a receive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Something was handed over.
    Some,
    /// Nothing: the waker is kept.
    Nothing,
    /// This consumer is no longer connected.
    Detached,
    /// The queue was deleted.
    Gone,
}

impl State {
    /// Hands over what there is for this consumer: messages, and leases it lost. The second value is the timer to set.
    pub(crate) fn receive(
        &mut self,
        id: ConsumerId,
        into: &mut Inbox,
        max: usize,
        waker: &Waker,
        now: &mut Now,
        wakes: &mut Wakes,
    ) -> (Received, Option<Nanos>) {
        if self.gone {
            return (Received::Gone, None);
        }
        if self.next_deadline() != NEVER || self.next_retirement != NEVER {
            self.tick(now.get(), wakes);
        }
        let Some(consumer) = self.consumers.get_mut(id) else { return (Received::Detached, None) };
        let told = !consumer.lost.is_empty();
        if told {
            consumer.lost.drain(..).for_each(|token| into.lease_lost(token));
        }
        let idle = consumer.held || consumer.stopped;
        let may = if idle { 0 } else { max.min(consumer.prefetch.saturating_sub(consumer.outstanding)) };
        self.unpark(id);
        let given = if may == 0 { 0 } else { self.hand_out(id, may, now, into, wakes) };
        if given > 0 || told {
            // What is left is for the next in line.
            self.wake_ready(wakes);
            (Received::Some, self.alarm_to_set(id))
        } else {
            self.park(id, waker, may > 0);
            (Received::Nothing, self.alarm_to_set(id))
        }
    }

    /// The slot of a token whose lease is valid; a stale one is counted.
    pub(crate) fn leased(&mut self, id: ConsumerId, token: Token, now: &mut Now, wakes: &mut Wakes) -> Option<u32> {
        let leased = self.is_leased(id, token, now, wakes);
        self.totals.stale += u64::from(!leased);
        leased.then_some(split(token).0)
    }

    /// Whether the lease of a token is valid.
    pub(crate) fn is_leased(&mut self, id: ConsumerId, token: Token, now: &mut Now, wakes: &mut Wakes) -> bool {
        let (slot, lease) = split(token);
        let Some(armed) = self.consumers.get(id).map(|consumer| consumer.armed) else { return false };
        let valid = |state: &State| {
            let stored = state.slab.get(slot)?;
            let mine = stored.place == Place::Out && stored.lease == lease && stored.holder == id.at;
            mine.then_some(stored.until)
        };
        let Some(until) = valid(self) else { return false };
        // A lease that a timer watches ends when the timer fires, so the clock need not be read for each settlement.
        if until < armed {
            self.tick(now.get(), wakes);
            return valid(self).is_some();
        }
        true
    }

    /// Settles one delivery. A replacement needs another queue's lock as well and is not done here.
    pub(crate) fn settle(
        &mut self,
        id: ConsumerId,
        token: Token,
        disposition: &Disposition<'_>,
        now: &mut Now,
        wakes: &mut Wakes,
    ) -> Settled {
        let Some(slot) = self.leased(id, token, now, wakes) else { return Settled::Stale };
        match disposition {
            Disposition::Ack => self.ack(slot, wakes),
            Disposition::Release => self.release(slot, wakes),
            Disposition::Retry { after, failures } => self.retry(slot, *after, *failures, now, wakes),
            Disposition::Extend { by } => self.extend(slot, *by, now, wakes),
            // A disposition of a later version: the delivery stays out, and comes back when its lease ends.
            _ => return Settled::Stale,
        }
        Settled::Recorded
    }

    /// Settles a slice of deliveries. Acknowledgements of leases that a timer watches are nearly all there is: for them
    /// consumer, room and waiters are looked at once, and not for each.
    pub(crate) fn settle_all(
        &mut self,
        id: ConsumerId,
        what: &[(Token, Disposition<'_>)],
        answers: &mut Vec<Settled>,
        now: &mut Now,
        wakes: &mut Wakes,
    ) {
        answers.reserve(what.len());
        let mut rest = what;
        while !rest.is_empty() {
            let acked = self.ack_watched(id, rest, wakes);
            answers.extend(std::iter::repeat_n(Settled::Recorded, acked));
            rest = &rest[acked..];
            if let Some(((token, disposition), others)) = rest.split_first() {
                answers.push(self.settle(id, *token, disposition, now, wakes));
                rest = others;
            }
        }
    }

    /// Acknowledges from the front as long as it goes without looking at the clock; how many.
    fn ack_watched(&mut self, id: ConsumerId, what: &[(Token, Disposition<'_>)], wakes: &mut Wakes) -> usize {
        let Some(armed) = self.consumers.get(id).map(|consumer| consumer.armed) else { return 0 };
        let mut acked = 0;
        for (token, disposition) in what {
            let (slot, lease) = split(*token);
            let valid = matches!(disposition, Disposition::Ack)
                && self.slab.get(slot).is_some_and(|stored| {
                    stored.place == Place::Out
                        && stored.lease == lease
                        && stored.holder == id.at
                        && stored.until >= armed
                });
            if !valid {
                break;
            }
            self.unlist_lease(slot);
            let stored = self.slab.at(slot);
            let (key, weight) = (stored.key, stored.weight);
            self.bytes -= u64::from(weight);
            self.slab.remove(slot);
            if key != NONE {
                self.keys.at_mut(key).out -= 1;
                self.keys.leave(key);
                self.offer(key, wakes);
            }
            acked += 1;
        }
        if acked > 0 {
            self.out -= acked;
            self.totals.acknowledged += acked as u64;
            self.wake_room(wakes);
            self.took_back(id.at, acked, wakes);
        }
        acked
    }

    fn ack(&mut self, slot: u32, wakes: &mut Wakes) {
        self.totals.acknowledged += 1;
        self.settled(slot, wakes);
    }

    /// Its successor is stored: it goes.
    pub(crate) fn replaced(&mut self, slot: u32, wakes: &mut Wakes) {
        self.totals.replaced += 1;
        self.settled(slot, wakes);
    }

    fn settled(&mut self, slot: u32, wakes: &mut Wakes) {
        let key = self.slab.at(slot).key;
        let holder = self.no_longer_out(slot);
        self.forget(slot, wakes);
        if key != NONE {
            self.offer(key, wakes);
        }
        self.may_take_again(holder, wakes);
    }

    fn release(&mut self, slot: u32, wakes: &mut Wakes) {
        self.totals.released += 1;
        let stored = self.slab.at_mut(slot);
        stored.deliveries -= 1;
        let holder = stored.holder;
        self.give_back(slot, wakes);
        self.may_take_again(holder, wakes);
    }

    fn retry(&mut self, slot: u32, after: Duration, failures: u32, now: &mut Now, wakes: &mut Wakes) {
        self.totals.retried += 1;
        let stored = self.slab.at_mut(slot);
        stored.failures = stored.failures.saturating_add(failures);
        // Every failure was a delivery to a handler; the first of them is counted as this one.
        stored.deliveries = stored.deliveries.saturating_add(failures.saturating_sub(1));
        let key = stored.key;
        let holder = self.no_longer_out(slot);
        let due = (!after.is_zero()).then(|| now.get().saturating_add(nanos(after.min(pontoon_core::MAX_DURATION))));
        self.retry_later(slot, due, wakes);
        if key != NONE {
            self.offer(key, wakes);
        }
        self.may_take_again(holder, wakes);
    }

    fn extend(&mut self, slot: u32, by: Duration, now: &mut Now, wakes: &mut Wakes) {
        let until = now.get().saturating_add(nanos(by.min(pontoon_core::MAX_DURATION)));
        self.extend_lease(slot, until, wakes);
    }

    /// A consumer has so many less out: where it waits because it had its fill, it may go on.
    fn took_back(&mut self, at: u32, count: usize, wakes: &mut Wakes) {
        let Some(consumer) = self.consumers.at_mut(at) else { return };
        let was_full = consumer.outstanding >= consumer.prefetch;
        consumer.outstanding -= count;
        let waits = consumer.waker.is_some() && !consumer.in_line && !consumer.held && !consumer.stopped;
        if was_full && waits {
            self.wake_consumer(at, wakes);
        }
    }

    /// A consumer that waits because it had its fill may go on.
    fn may_take_again(&mut self, at: u32, wakes: &mut Wakes) {
        let full = self.consumers.at_mut(at).is_some_and(|c| {
            c.waker.is_some() && !c.in_line && !c.held && !c.stopped && c.outstanding + 1 == c.prefetch
        });
        if full {
            self.wake_consumer(at, wakes);
        }
    }
}
