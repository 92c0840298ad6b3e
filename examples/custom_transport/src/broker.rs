//! The thread that owns a folder.
//!
//! It works in turns: hand out what is ready, take what is asked, write all of it as one frame, answer. Nothing is
//! answered before the frame is written, and one frame answers many.

mod asked;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use pontoon_core::driver::{Incoming, Token};
use tokio::sync::oneshot::Sender;

use crate::clock;
use crate::command::Command;
use crate::config::FolderConfig;
use crate::disk::Disk;
use crate::queues::{Queues, Stored};

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
