//! Who reads from a queue, and who of them waits.

use std::collections::VecDeque;
use std::task::Waker;

use pontoon_core::driver::Token;

use super::State;
use super::slab::NONE;
use crate::clock::{NEVER, Nanos};
use crate::wakes::Wakes;

/// Names one consumer of one queue; never means another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerId {
    pub(super) at: u32,
    serial: u64,
}

#[derive(Debug)]
pub(super) struct Consumer {
    serial: u64,
    pub(super) outstanding: usize,
    pub(super) prefetch: usize,
    /// Set while its last poll was pending.
    pub(super) waker: Option<Waker>,
    /// Whether it stands in the line of those that wait for messages.
    pub(super) in_line: bool,
    /// When its timer fires. Leases that end before are not watched by it.
    pub(super) armed: Nanos,
    /// Leases it lost and was not told of.
    pub(super) lost: Vec<Token>,
    /// Keys it holds of which it may have more.
    pub(super) lanes: VecDeque<u32>,
    pub(super) held: bool,
    pub(super) stopped: bool,
}

#[derive(Debug, Default)]
pub(super) struct Consumers {
    all: Vec<Option<Consumer>>,
    line: VecDeque<u32>,
    serials: u64,
}

impl Consumers {
    pub(super) fn get(&self, id: ConsumerId) -> Option<&Consumer> {
        self.all.get(id.at as usize)?.as_ref().filter(|c| c.serial == id.serial)
    }

    pub(super) fn get_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.all.get_mut(id.at as usize)?.as_mut().filter(|c| c.serial == id.serial)
    }

    pub(super) fn at_mut(&mut self, at: u32) -> Option<&mut Consumer> {
        self.all.get_mut(at as usize)?.as_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.all.iter().flatten().count()
    }

    fn wake(&mut self, at: u32, wakes: &mut Wakes) {
        if let Some(consumer) = self.at_mut(at) {
            let in_line = std::mem::take(&mut consumer.in_line);
            if let Some(waker) = consumer.waker.take() {
                wakes.push(waker);
            }
            if in_line {
                self.line.retain(|&other| other != at);
            }
        }
    }

    pub(super) fn wake_all(&mut self, wakes: &mut Wakes) {
        for at in 0..self.all.len() as u32 {
            self.wake(at, wakes);
        }
    }

    /// Whether nobody waits for messages.
    pub(super) fn line_is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Wakes the one that has waited longest.
    pub(super) fn wake_first(&mut self, wakes: &mut Wakes) {
        if let Some(at) = self.line.pop_front()
            && let Some(consumer) = self.at_mut(at)
        {
            consumer.in_line = false;
            if let Some(waker) = consumer.waker.take() {
                wakes.push(waker);
            }
        }
    }

    fn earliest_alarm(&self) -> Nanos {
        self.all.iter().flatten().map(|c| c.armed).min().unwrap_or(NEVER)
    }

    fn leave_line(&mut self, at: u32) {
        if let Some(consumer) = self.at_mut(at)
            && std::mem::take(&mut consumer.in_line)
        {
            self.line.retain(|&other| other != at);
        }
    }
}

impl State {
    /// A new consumer.
    pub(crate) fn attach(&mut self, prefetch: usize) -> ConsumerId {
        self.consumers.serials += 1;
        let serial = self.consumers.serials;
        let consumer = Consumer {
            serial,
            outstanding: 0,
            prefetch: prefetch.max(1),
            waker: None,
            in_line: false,
            armed: NEVER,
            lost: Vec::new(),
            lanes: VecDeque::new(),
            held: false,
            stopped: false,
        };
        let all = &mut self.consumers.all;
        let at = all.iter().position(Option::is_none).unwrap_or(all.len());
        if at == all.len() {
            all.push(None);
        }
        all[at] = Some(consumer);
        ConsumerId { at: at as u32, serial }
    }

    /// A consumer goes: what it had out goes back, in place and counted.
    pub(crate) fn detach(&mut self, id: ConsumerId, wakes: &mut Wakes) {
        if self.consumers.get(id).is_none() {
            return;
        }
        let mine = self.leased_slots().into_iter().filter(|&slot| self.slab.at(slot).holder == id.at);
        let mine: Vec<u32> = mine.collect();
        for slot in mine {
            self.totals.lost += 1;
            self.give_back(slot, wakes);
        }
        self.consumers.wake(id.at, wakes);
        if let Some(consumer) = self.consumers.all[id.at as usize].take() {
            for key in consumer.lanes {
                if let Some(state) = self.keys.get_mut(key)
                    && state.laned_to == id.at
                {
                    state.laned_to = NONE;
                }
            }
        }
        self.wake_ready(wakes);
        self.wake_for_alarm(wakes);
    }

    /// The receiving half goes; what it handed out can still be settled.
    pub(crate) fn stop_receiving(&mut self, id: ConsumerId, wakes: &mut Wakes) {
        if let Some(consumer) = self.consumers.get_mut(id) {
            consumer.stopped = true;
            consumer.waker = None;
            consumer.armed = NEVER;
            self.consumers.leave_line(id.at);
            // It may have been woken for a message that it will now not take.
            self.wake_ready(wakes);
            self.wake_for_alarm(wakes);
        }
    }

    /// It takes nothing more, but still learns of lost leases.
    pub(crate) fn stop_taking(&mut self, id: ConsumerId, wakes: &mut Wakes) {
        if let Some(consumer) = self.consumers.get_mut(id) {
            consumer.stopped = true;
            self.consumers.leave_line(id.at);
            self.wake_ready(wakes);
        }
    }

    /// Holds a consumer's taking, or lets it go on.
    pub(crate) fn hold(&mut self, id: ConsumerId, held: bool, wakes: &mut Wakes) {
        let Some(consumer) = self.consumers.get_mut(id) else { return };
        consumer.held = held;
        if held {
            self.consumers.leave_line(id.at);
            self.wake_ready(wakes);
        } else {
            self.consumers.wake(id.at, wakes);
        }
    }

    /// Notes that this consumer waits: with `in_line`, for messages; in any case for news.
    pub(super) fn park(&mut self, id: ConsumerId, waker: &Waker, in_line: bool) {
        let Some(consumer) = self.consumers.get_mut(id) else { return };
        super::park(&mut consumer.waker, waker);
        if in_line && !consumer.in_line {
            consumer.in_line = true;
            self.consumers.line.push_back(id.at);
        } else if !in_line {
            self.consumers.leave_line(id.at);
        }
    }

    /// Notes that this consumer does not wait any more.
    pub(super) fn unpark(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.consumers.get_mut(id) {
            consumer.waker = None;
            if consumer.in_line {
                self.consumers.leave_line(id.at);
            }
        }
    }

    /// Wakes one consumer where something is ready and somebody waits. Who is woken passes it on when more is ready
    /// than it takes, so that one wake serves a whole batch.
    pub(crate) fn wake_ready(&mut self, wakes: &mut Wakes) {
        if !self.consumers.line_is_empty() && (!self.fifo.is_empty() || !self.sorted.is_empty()) {
            self.consumers.wake_first(wakes);
        }
    }

    /// Wakes this consumer if it waits.
    pub(super) fn wake_consumer(&mut self, at: u32, wakes: &mut Wakes) {
        self.consumers.wake(at, wakes);
    }

    /// Where nobody's timer covers the next deadline and somebody waits, wakes one so that it sets its timer.
    pub(super) fn wake_for_alarm(&mut self, wakes: &mut Wakes) {
        if self.next_deadline() >= self.consumers.earliest_alarm() {
            return;
        }
        let waiting = self.consumers.all.iter().position(|c| c.as_ref().is_some_and(|c| c.waker.is_some()));
        if let Some(at) = waiting {
            self.consumers.wake(at as u32, wakes);
        }
    }

    /// The timer of a consumer fired.
    pub(crate) fn alarm(&mut self, id: ConsumerId, now: Nanos, wakes: &mut Wakes) {
        if let Some(consumer) = self.consumers.get_mut(id) {
            consumer.armed = NEVER;
        }
        self.tick(now, wakes);
        self.wake_ready(wakes);
        self.wake_for_alarm(wakes);
    }

    /// The timer to set for this consumer, if the one it has does not cover the next deadline.
    pub(super) fn alarm_to_set(&mut self, id: ConsumerId) -> Option<Nanos> {
        let next = self.next_deadline();
        let consumer = self.consumers.get_mut(id)?;
        if next >= consumer.armed {
            return None;
        }
        consumer.armed = next;
        Some(next)
    }

    /// The timer could not be set: nothing is covered by it.
    pub(crate) fn alarm_not_set(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.consumers.get_mut(id) {
            consumer.armed = NEVER;
        }
    }
}
