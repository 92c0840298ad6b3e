//! Who holds which message. No I/O: what changes here is written by whoever calls.

use std::collections::{BTreeMap, HashMap};

use crate::journal::Place;
use crate::record::State;

/// A message that is not settled: where it lies, and what became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) place: Place,
    pub(crate) state: State,
}

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) facts: String,
    /// By number, which is the order in which they were stored.
    pub(crate) ready: BTreeMap<u64, Stored>,
    /// What must wait, by when it is due.
    pub(crate) later: BTreeMap<(u64, u64), Stored>,
}

impl Queue {
    /// Puts a message where its time says.
    fn put(&mut self, number: u64, stored: Stored) {
        match stored.state.due {
            0 => self.ready.insert(number, stored),
            due => self.later.insert((due, number), stored),
        };
    }
}

/// A message in a consumer's hands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) queue: usize,
    pub(crate) number: u64,
    pub(crate) stored: Stored,
    /// The connection that holds it.
    pub(crate) by: u64,
}

/// All queues of a folder.
#[derive(Debug)]
pub(crate) struct Queues {
    queues: Vec<Queue>,
    named: HashMap<String, usize>,
    /// By delivery: each hand-over has a number of its own.
    held: BTreeMap<u64, Held>,
    next_delivery: u64,
    /// The number of the next message.
    pub(crate) next_number: u64,
}

impl Queues {
    /// None.
    pub(crate) fn new() -> Queues {
        Queues { queues: Vec::new(), named: HashMap::new(), held: BTreeMap::new(), next_delivery: 1, next_number: 1 }
    }

    /// Where the queue of this name is.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.named.get(name).copied()
    }

    /// All queues, in the order in which they were declared.
    pub(crate) fn all(&self) -> &[Queue] {
        &self.queues
    }

    /// Adds a queue, and says where it is.
    pub(crate) fn declare(&mut self, name: &str, facts: &str) -> usize {
        self.named.insert(name.to_owned(), self.queues.len());
        let (name, facts) = (name.to_owned(), facts.to_owned());
        self.queues.push(Queue { name, facts, ready: BTreeMap::new(), later: BTreeMap::new() });
        self.queues.len() - 1
    }

    /// Takes a message in.
    pub(crate) fn store(&mut self, queue: usize, number: u64, stored: Stored) {
        self.queues[queue].put(number, stored);
        self.next_number = self.next_number.max(number + 1);
    }

    /// How many messages are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.held.len() + self.queues.iter().map(|queue| queue.ready.len() + queue.later.len()).sum::<usize>()
    }

    /// How many of a queue are in consumers' hands.
    pub(crate) fn held_of(&self, queue: usize) -> usize {
        self.held.values().filter(|held| held.queue == queue).count()
    }

    /// Makes ready what is due now, and says when the next is.
    pub(crate) fn ripen(&mut self, now: u64) -> Option<u64> {
        for queue in &mut self.queues {
            while let Some(first) = queue.later.first_entry().filter(|first| first.key().0 <= now) {
                let ((_, number), mut stored) = first.remove_entry();
                stored.state.due = 0;
                queue.ready.insert(number, stored);
            }
        }
        self.queues.iter().filter_map(|queue| Some(queue.later.first_key_value()?.0.0)).min()
    }

    /// Hands the first message of a queue to this connection: the number of the delivery, and what it is.
    pub(crate) fn hand_out(&mut self, queue: usize, by: u64) -> Option<(u64, Held)> {
        let (number, mut stored) = self.queues[queue].ready.pop_first()?;
        stored.state.deliveries = stored.state.deliveries.saturating_add(1);
        let delivery = self.next_delivery;
        self.next_delivery += 1;
        let held = Held { queue, number, stored, by };
        self.held.insert(delivery, held);
        Some((delivery, held))
    }

    /// Ends a delivery for good; `None` where this connection does not hold it.
    pub(crate) fn settle(&mut self, delivery: u64, by: u64) -> Option<Held> {
        let held = *self.held.get(&delivery).filter(|held| held.by == by)?;
        self.held.remove(&delivery);
        Some(held)
    }

    /// Takes a delivery back as if it had not been; `None` where this connection does not hold it.
    pub(crate) fn release(&mut self, delivery: u64, by: u64) -> Option<Held> {
        let mut held = self.settle(delivery, by)?;
        held.stored.state.deliveries -= 1;
        self.queues[held.queue].put(held.number, held.stored);
        Some(held)
    }

    /// Takes a delivery back that has failed; `None` where this connection does not hold it.
    pub(crate) fn retry(&mut self, delivery: u64, by: u64, failures: u32, due: u64) -> Option<Held> {
        let mut held = self.settle(delivery, by)?;
        held.stored.state.failures = held.stored.state.failures.saturating_add(failures);
        held.stored.state.due = due;
        self.queues[held.queue].put(held.number, held.stored);
        Some(held)
    }

    /// Takes back, counted, what these connections hold.
    pub(crate) fn take_back(&mut self, from: impl Fn(u64) -> bool) {
        for (_, held) in self.held.extract_if(.., |_, held| from(held.by)) {
            self.queues[held.queue].put(held.number, held.stored);
        }
    }

    /// Every message that is not settled.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = &mut Stored> {
        let queued = self.queues.iter_mut().flat_map(|queue| queue.ready.values_mut().chain(queue.later.values_mut()));
        queued.chain(self.held.values_mut().map(|held| &mut held.stored))
    }
}
