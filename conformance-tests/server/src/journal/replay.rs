//! What the records add up to: everything that the server held.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use pontoon_core::driver::Ensure;
use pontoon_core::wire::Read;
use pontoon_core::{Channel, ChannelKind, Delay, Message, Order, Result};
use pontoon_memory::{MemoryServer, Restored};

use super::{Queue, Record};

/// Everything that the server held.
#[derive(Default)]
pub(crate) struct Image {
    steps: Vec<Step>,
    queues: BTreeMap<Queue, Held>,
    records: u64,
}

/// What was done to the channels.
enum Step {
    Declared(Ensure),
    Deleted(String),
}

/// A queue.
#[derive(Default)]
struct Held {
    messages: HashMap<u64, Entry>,
    next_number: u64,
}

/// A message.
struct Entry {
    message: Message,
    /// When it took its place, and which record said so: places are in this order.
    place: (u64, u64),
    stored: u64,
    due: u64,
    deliveries: u32,
    failures: u32,
    expired: bool,
}

impl Image {
    /// What was declared and not deleted since, in order.
    pub(crate) fn declared(&self) -> Vec<&Ensure> {
        let mut declared = Vec::new();
        for step in &self.steps {
            match step {
                Step::Declared(ensure) => declared.push(ensure),
                Step::Deleted(name) => declared.retain(|known: &&Ensure| known.channel.name.as_str() != name),
            }
        }
        declared
    }

    /// How many messages there are.
    pub(crate) fn messages(&self) -> usize {
        self.queues.values().map(|held| held.messages.len()).sum()
    }

    /// The latest of all times in it, so that no later one is before it.
    pub(crate) fn latest(&self) -> u64 {
        let entries = self.queues.values().flat_map(|held| held.messages.values());
        entries.map(|entry| entry.stored).max().unwrap_or(0)
    }

    /// Takes the next record into account. What it says of a message that is gone changes nothing.
    pub(crate) fn apply(&mut self, record: Record<Read>) {
        self.records += 1;
        match record {
            Record::Declared(ensure) => self.declare(ensure),
            Record::Deleted { channel } => {
                self.queues.retain(|queue, _| queue.channel != channel);
                self.steps.push(Step::Deleted(channel));
            }
            Record::Stored { channel, number, at, message } => self.store(&channel, number, at, &message.message),
            Record::Gone { queue, number } => {
                self.queues.get_mut(&queue).and_then(|held| held.messages.remove(&number));
            }
            Record::Delivered { queue, number, expired } => self.edit(&queue, number, |entry, _| {
                entry.deliveries += 1;
                entry.expired = expired;
                entry.due = 0;
            }),
            Record::Released { queue, number } => self.edit(&queue, number, |entry, _| {
                entry.deliveries = entry.deliveries.saturating_sub(1);
            }),
            Record::Retried { queue, number, at, due, failures } => {
                let falls_behind = self.last(&queue.channel).is_some_and(|channel| channel.order == Order::FallBehind);
                self.edit(&queue, number, |entry, record| {
                    entry.failures = entry.failures.saturating_add(failures);
                    entry.deliveries = entry.deliveries.saturating_add(failures.saturating_sub(1));
                    entry.due = due;
                    if falls_behind {
                        entry.place = (at, record);
                    }
                });
            }
        }
    }

    fn declare(&mut self, ensure: Ensure) {
        let channel = &ensure.channel;
        let names = |channel: &Channel, subscription: Option<&str>| Queue {
            channel: channel.name.as_str().to_owned(),
            subscription: subscription.map(str::to_owned),
        };
        if let Some(target) = channel.dead_letter_channel() {
            self.queues.entry(names(&target, None)).or_default();
        }
        self.queues.entry(names(channel, None)).or_default();
        for subscription in &ensure.subscriptions {
            self.queues.entry(names(channel, Some(subscription.name.as_str()))).or_default();
        }
        self.steps.push(Step::Declared(ensure));
    }

    /// The facts of a channel: the last declaration that succeeded says them.
    fn last(&self, channel: &str) -> Option<&Channel> {
        let mut declared = self.steps.iter().rev().filter_map(|step| match step {
            Step::Declared(ensure) => Some(&ensure.channel),
            Step::Deleted(_) => None,
        });
        declared.find(|known| known.name.as_str() == channel)
    }

    fn store(&mut self, channel: &str, number: u64, at: u64, message: &Message) {
        let due = match message.delay() {
            None => 0,
            Some(Delay::For(delay)) => at.saturating_add(nanos(delay)),
            Some(Delay::Until(until)) => until.duration_since(std::time::UNIX_EPOCH).map_or(0, nanos),
        };
        let only = message.history().only_for.as_deref();
        let is_topic = self.last(channel).is_some_and(|channel| channel.kind == ChannelKind::Topic);
        let first = Queue { channel: channel.to_owned(), subscription: None };
        for (queue, held) in self.queues.range_mut(first..).take_while(|(queue, _)| queue.channel == channel) {
            held.next_number = held.next_number.max(number + 1);
            // A topic itself only counts; a copy may be for one subscription alone.
            let subscription = queue.subscription.as_deref();
            if subscription.is_none() == is_topic || (is_topic && only.is_some_and(|only| subscription != Some(only))) {
                continue;
            }
            // A message that was published with a delay takes its place when it is due.
            let entry = Entry {
                message: message.clone(),
                place: (at.max(due), self.records),
                stored: at,
                due,
                deliveries: 0,
                failures: 0,
                expired: false,
            };
            held.messages.insert(number, entry);
        }
    }

    fn edit(&mut self, queue: &Queue, number: u64, change: impl FnOnce(&mut Entry, u64)) {
        if let Some(entry) = self.queues.get_mut(queue).and_then(|held| held.messages.get_mut(&number)) {
            change(entry, self.records);
        }
    }

    /// Puts everything into a server that holds nothing yet, as of `now`.
    ///
    /// # Errors
    /// Of what was declared: only when the records contradict each other.
    pub(crate) fn restore(self, server: &MemoryServer, now: u64) -> Result<()> {
        for step in &self.steps {
            match step {
                Step::Declared(ensure) => server.declare(ensure)?,
                Step::Deleted(name) => drop(server.delete(name)),
            }
        }
        for (queue, held) in self.queues {
            let mut messages: Vec<(u64, Entry)> = held.messages.into_iter().collect();
            messages.sort_by_key(|(_, entry)| entry.place);
            let messages = messages.into_iter().map(|(number, entry)| Restored {
                message: entry.message,
                number,
                age: Duration::from_nanos(now.saturating_sub(entry.stored)),
                held_for: Duration::from_nanos(entry.due.saturating_sub(now)),
                deliveries: entry.deliveries,
                failures: entry.failures,
                expired: entry.expired,
            });
            server.restore(&queue.channel, queue.subscription.as_deref(), messages, held.next_number)?;
        }
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
