//! The thread that owns a folder.
//!
//! It works in turns: hand out what is ready, take what is asked, write all of it as one frame, answer. Nothing is
//! answered before the frame is written, and one frame answers many.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use pontoon_core::driver::adapter::{SettleOutcome, Settlement};
use pontoon_core::driver::{DepthReport, Incoming, Token};
use pontoon_core::wire::{Native, pack};
use pontoon_core::{BrokerId, Delay, Message, PublishOutcome, Receipt, Rejection, Result};
use tokio::sync::oneshot::Sender;

use crate::command::Command;
use crate::config::FolderConfig;
use crate::disk::Disk;
use crate::journal::Place;
use crate::queues::{Held, Queues, Stored};
use crate::record::{Record, State};
use crate::{clock, error, facts};

/// From how many bytes of records on a turn takes no further command.
const TURN: usize = 1 << 20;

/// How long it rests at most while a message waits to be due: the wall clock may be set meanwhile.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Waits for messages: a consumer that has asked.
struct Waiting {
    by: u64,
    queue: usize,
    max: usize,
    reply: Sender<Vec<Incoming>>,
}

/// What is handed over when this turn is written.
struct HandOut {
    by: u64,
    messages: Vec<Incoming>,
    reply: Sender<Vec<Incoming>>,
}

/// What is said when this turn is written, and to which connection.
type Answer = (u64, Box<dyn FnOnce()>);

/// Answers that no cut takes away.
const CONTROL: u64 = u64::MAX;

/// The broker of one folder, from its start to its end.
pub(crate) struct Broker {
    config: FolderConfig,
    disk: Disk,
    queues: Queues,
    commands: Receiver<Command>,
    crashed: Arc<AtomicBool>,
    /// Connections with a lower number have been cut.
    first: u64,
    waiting: Vec<Waiting>,
    /// What this turn writes.
    records: Vec<u8>,
    /// What this turn stores: ready when it is written.
    stored: Vec<(usize, u64, Stored)>,
    answers: Vec<Answer>,
}

impl Broker {
    /// A broker that goes on where the journal ends.
    pub(crate) fn new(
        config: FolderConfig,
        (disk, queues): (Disk, Queues),
        commands: Receiver<Command>,
        crashed: Arc<AtomicBool>,
    ) -> Broker {
        Broker {
            config,
            disk,
            queues,
            commands,
            crashed,
            first: 0,
            waiting: Vec::new(),
            records: Vec::new(),
            stored: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Works until nobody can ask any more, until the crash, or until the disk fails: what was not answered then is
    /// unknown to whoever asked. Says how much of the journal is on the disk.
    pub(crate) fn run(mut self) -> u64 {
        // An error ends this run with all its connections. What it was comes up when the next one cannot start.
        let _ = self.work();
        self.disk.synced()
    }

    fn work(&mut self) -> io::Result<()> {
        loop {
            let now = clock::now();
            let due = self.queues.ripen(now);
            let handed_out = self.hand_out()?;
            if handed_out.is_empty() && self.records.is_empty() {
                let rest = |due: u64| Duration::from_millis(due.saturating_sub(now)).min(LONGEST_REST);
                match self.commands.recv_timeout(due.map_or(Duration::MAX, rest)) {
                    Ok(command) => self.take(command),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            }
            while self.records.len() < TURN
                && let Ok(command) = self.commands.try_recv()
            {
                self.take(command);
            }
            if self.has_crashed() {
                return Ok(());
            }
            self.disk.append(&mut self.records)?;
            if self.has_crashed() {
                return Ok(());
            }
            self.answer(handed_out);
            self.disk.compact(&self.config, &mut self.queues)?;
        }
    }

    fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::Acquire)
    }

    /// Gives ready messages to those who wait. The delivery is counted in the journal before it is made.
    fn hand_out(&mut self) -> io::Result<Vec<HandOut>> {
        let mut handed_out = Vec::new();
        for Waiting { by, queue, max, reply } in std::mem::take(&mut self.waiting) {
            let mut messages = Vec::new();
            while messages.len() < max && !reply.is_closed() {
                let Some((delivery, held)) = self.queues.hand_out(queue, by) else { break };
                let token = token(delivery, by);
                self.note(held);
                messages.push(self.disk.incoming(token, held.number, held.stored)?);
            }
            if !messages.is_empty() {
                handed_out.push(HandOut { by, messages, reply });
            } else if !reply.is_closed() {
                self.waiting.push(Waiting { by, queue, max, reply });
            }
        }
        Ok(handed_out)
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Declare { queue, facts, reply } => {
                let end = self.declare(&queue, facts.as_deref());
                self.when_written(CONTROL, reply, end);
            }
            Command::Publish { by, .. } | Command::Receive { by, .. } | Command::Settle { by, .. }
                if by < self.first => {} // Its reply is dropped: the connection is over.
            Command::Publish { by, queue, messages, reply } => {
                let outcomes = self.publish(&queue, &messages);
                self.when_written(by, reply, outcomes);
            }
            Command::Receive { by, queue, max, reply } => self.waiting.push(Waiting { by, queue, max, reply }),
            Command::Settle { by, what, reply } => {
                let ends = what.into_iter().map(|(token, settlement)| self.settle(by, token, &settlement)).collect();
                self.when_written(by, reply, ends);
            }
            Command::Depth { queue, reply } => {
                let depth = self.depth(&queue);
                self.when_written(CONTROL, reply, depth);
            }
            Command::Leave { by } => self.end(|connection| connection == by),
            Command::Cut { before, reply } => {
                self.first = before;
                self.end(|connection| connection < before);
                self.when_written(CONTROL, reply, ());
            }
            Command::Wake => {}
        }
    }

    fn declare(&mut self, queue: &str, asked: Option<&str>) -> Result<usize> {
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

    fn publish(&mut self, queue: &str, messages: &[Message]) -> Vec<PublishOutcome> {
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

    fn settle(&mut self, by: u64, given: Token, settlement: &Settlement) -> SettleOutcome {
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
    fn release(&mut self, by: u64, delivery: u64) -> bool {
        self.queues.release(delivery, by).is_some_and(|held| self.note(held))
    }

    /// Writes down what became of a message.
    fn note(&mut self, held: Held) -> bool {
        Record::Changed { number: held.number, state: held.stored.state }.put(&mut self.records);
        true
    }

    fn depth(&self, queue: &str) -> Result<DepthReport> {
        let found = self.queues.find(queue).ok_or_else(|| error::missing("depth", queue))?;
        let queue = &self.queues.all()[found];
        let in_flight = self.queues.held_of(found) as u64;
        Ok(DepthReport::exact(queue.ready.len() as u64, queue.later.len() as u64, in_flight))
    }

    /// Connections are over: what they hold goes back, counted, and they wait for nothing.
    fn end(&mut self, which: impl Fn(u64) -> bool) {
        self.queues.take_back(&which);
        self.waiting.retain(|waiting| !which(waiting.by));
    }

    fn when_written<T: 'static>(&mut self, to: u64, reply: Sender<T>, what: T) {
        let answer = move || {
            // Nobody waits any more: it is done all the same.
            let _ = reply.send(what);
        };
        self.answers.push((to, Box::new(answer)));
    }

    /// The turn is written: what it stored is ready, and everybody is told. Who was cut meanwhile hears nothing.
    fn answer(&mut self, handed_out: Vec<HandOut>) {
        for (queue, number, stored) in self.stored.drain(..) {
            self.queues.store(queue, number, stored);
        }
        for (to, answer) in self.answers.drain(..) {
            if to >= self.first {
                answer();
            }
        }
        for HandOut { by, messages, reply } in handed_out {
            if by < self.first {
                continue;
            }
            // Whoever asked waits no longer: these were never delivered.
            for message in reply.send(messages).err().into_iter().flatten() {
                self.release(by, message.token.position);
            }
        }
    }
}

/// The token of this delivery to this connection. The number of a delivery begins anew with each run of the broker, the
/// number of a connection does not.
fn token(delivery: u64, by: u64) -> Token {
    Token { position: delivery, source: 0, generation: by as u32 }
}
