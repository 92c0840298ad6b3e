//! The receiving half: one question at a time, and what the answers brought.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pontoon_core::driver::{Inbox, Incoming, OpenConsumer, Receiver};
use pontoon_core::{MAX_DURATION, Result};

use super::leases::{Held, Leases};
use super::look::{self, Rounds, ServerClock};
use super::shared::Shared;
use super::streams::{self, Step, Streams};
use crate::RedisConfig;
use crate::entry::{self, Id};
use crate::error;
use crate::resp::{Cursor, Item, Malformed};
use crate::socket::Socket;

/// What the server was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// What is due, given back or left behind.
    Sweep,
    /// What is new.
    Read,
    /// How many streams of an ordered channel are our share.
    Share,
    /// One stream of an ordered channel.
    Own(usize),
    /// To take one back.
    Give(usize),
    /// To say when there is more.
    Wait,
}

/// What the engine is told of a stream, by its number and the generation of its tokens.
#[derive(Clone, Copy, Debug)]
enum Signal {
    Revoking(usize, u32),
    Revoked(usize, u32),
}

/// The receiving half of one generation.
pub struct RedisReceiver {
    shared: Arc<Shared>,
    socket: Socket,
    asked: Asked,
    arrived: VecDeque<Incoming>,
    /// Comes after what arrived.
    signals: Vec<Signal>,
    streams: Streams,
    rounds: Rounds,
    clock: ServerClock,
    wait: Duration,
    subscription: Option<String>,
    stopping: bool,
}

impl RedisReceiver {
    pub(super) fn new(
        shared: Arc<Shared>,
        socket: Socket,
        how: &OpenConsumer,
        config: &RedisConfig,
        server_ms: u64,
    ) -> Self {
        RedisReceiver {
            streams: Streams::new(shared.member.reading.shards.len(), config.look_every, config.lease),
            shared,
            socket,
            asked: Asked::Nothing,
            arrived: VecDeque::new(),
            signals: Vec::new(),
            rounds: Rounds::new(config.look_every, config.lease),
            clock: ServerClock { ms: server_ms, at: Instant::now() },
            wait: config.look_every.min(how.longest_read),
            subscription: how.source.subscription.as_ref().map(|subscription| subscription.name.to_string()),
            stopping: false,
        }
    }

    /// Goes on until something arrived or the server has to be waited for.
    fn poll(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Result<()>> {
        self.shared.link.watch(cx.waker());
        loop {
            if let Some(dead) = self.shared.dead("receive") {
                return Poll::Ready(Err(dead));
            }
            if !self.arrived.is_empty() || !self.signals.is_empty() || (self.stopping && self.asked == Asked::Nothing) {
                return Poll::Ready(Ok(()));
            }
            if self.asked == Asked::Nothing {
                self.ask(max);
            }
            if let Err(error) = ready!(self.poll_answer(cx)) {
                self.shared.die(&error);
                return Poll::Ready(Err(error));
            }
        }
    }

    fn ask(&mut self, max: usize) {
        self.socket.is_due(true);
        let member = &self.shared.member;
        let out = self.socket.out();
        self.asked = if member.reading.ordered {
            let step = self.streams.step(Instant::now(), |stream| self.shared.lock().leases.out(stream) > 0);
            match step {
                Step::Share => {
                    streams::ask(member, out);
                    Asked::Share
                }
                Step::Own(at) => {
                    let stream = self.streams.at(at);
                    let max = if stream.held || stream.leaving { 0 } else { max };
                    look::own(member, at, stream, max, out);
                    Asked::Own(at)
                }
                Step::Give(at) => {
                    streams::give(member, at, out);
                    Asked::Give(at)
                }
                Step::Wait => {
                    look::wait(member, &self.streams.read(), self.wait, out);
                    Asked::Wait
                }
            }
        } else if self.rounds.at <= Instant::now() {
            let skipped = &mut self.streams.at(0).skipped;
            look::sweep(member, &mut self.rounds, max, skipped, out);
            skipped.clear();
            Asked::Sweep
        } else {
            look::read(member, max, self.wait, out);
            Asked::Read
        };
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = self.socket.poll_flush(cx, "receive");
        let frame = match (self.socket.poll_take(cx, "receive"), sent) {
            (Poll::Ready(frame), _) => frame?,
            (Poll::Pending, Poll::Ready(Err(error))) => return Poll::Ready(Err(error)),
            (Poll::Pending, _) => return Poll::Pending,
        };
        self.socket.is_due(false);
        let asked = std::mem::replace(&mut self.asked, Asked::Nothing);
        let read = self.read_answer(asked, &frame);
        Poll::Ready(read.unwrap_or_else(|what| Err(error::malformed(what, "receive"))))
    }

    fn read_answer(&mut self, asked: Asked, frame: &Bytes) -> Result<Result<()>, Malformed> {
        let mut cursor = Cursor::new(frame);
        if let Item::Error(text) = cursor.clone().next()? {
            return Ok(Err(error::answered("receive", &String::from_utf8_lossy(text))));
        }
        match asked {
            Asked::Nothing => return Err(Malformed("an answer was not asked for")),
            Asked::Wait => self.streams.begin_turn(),
            Asked::Share => {
                let share = usize::try_from(cursor.int()?).unwrap_or_default();
                let state = self.shared.lock();
                let leaving = self.streams.share(share, Instant::now(), |stream| state.leases.out(stream));
                let revoking = |stream| Signal::Revoking(stream, state.leases.generation(stream));
                self.signals.extend(leaving.into_iter().map(revoking));
            }
            Asked::Give(at) => {
                self.streams.gave(at);
                self.streams.went_on();
                self.signals.push(Signal::Revoked(at, self.shared.renew(at)));
            }
            Asked::Read => self.new_entries(frame, &mut cursor)?,
            Asked::Sweep => {
                let (state, more) = self.swept(0, frame, &mut cursor)?;
                if state == 0 {
                    return Ok(Err(error::lease_lost()));
                }
                if more {
                    self.rounds.at = Instant::now();
                }
            }
            Asked::Own(at) => {
                let (state, more) = self.swept(at, frame, &mut cursor)?;
                if more {
                    self.streams.found();
                }
                let last = cursor.bulk()?;
                if state == 0 {
                    return Ok(Err(error::lease_lost()));
                }
                let stream = self.streams.at(at);
                stream.owned = state == 1;
                stream.read_up_to = String::from_utf8_lossy(last).into_owned();
                self.streams.went_on();
            }
        }
        Ok(Ok(()))
    }

    /// `[[stream, [[id, fields], …]]]`, or nothing.
    fn new_entries(&mut self, frame: &Bytes, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let shared = self.shared.clone();
        let leases = &mut shared.lock().leases;
        for _ in 0..cursor.array()? {
            cursor.array()?;
            cursor.bulk()?;
            for _ in 0..cursor.array()? {
                cursor.array()?;
                let id = Id::read(cursor.bulk()?)?;
                self.entry(leases, 0, frame, cursor, Held { id, deliveries: 1 })?;
            }
        }
        Ok(())
    }

    /// `[state, server's time, [[id, deliveries, fields], …], more, …]`: the state, and whether more is due.
    fn swept(&mut self, shard: usize, frame: &Bytes, cursor: &mut Cursor<'_>) -> Result<(i64, bool), Malformed> {
        cursor.array()?;
        let state = cursor.int()?;
        self.clock = ServerClock { ms: cursor.int()?.unsigned_abs(), at: Instant::now() };
        let shared = self.shared.clone();
        let leases = &mut shared.lock().leases;
        for _ in 0..cursor.array()? {
            cursor.array()?;
            let id = Id::read(cursor.bulk()?)?;
            let deliveries = u32::try_from(cursor.int()?).unwrap_or(u32::MAX);
            self.entry(leases, shard, frame, cursor, Held { id, deliveries })?;
        }
        Ok((state, cursor.int()? == 1))
    }

    fn entry(
        &mut self,
        leases: &mut Leases,
        shard: usize,
        frame: &Bytes,
        cursor: &mut Cursor<'_>,
        held: Held,
    ) -> Result<(), Malformed> {
        self.streams.found();
        let token = leases.insert(shard as u32, held);
        let incoming = entry::incoming(frame, cursor, held.id, held.deliveries, token, self.clock.now())?;
        let only_for = incoming.message.history().only_for.as_deref();
        if self.subscription.is_some() && only_for.is_some() && only_for != self.subscription.as_deref() {
            // A copy for another subscription of this topic: done with it.
            let _ = leases.take(token);
            leases.done(token);
            self.streams.at(shard).skipped.push(held.id);
            self.rounds.at = Instant::now();
            return Ok(());
        }
        self.arrived.push_back(incoming);
        Ok(())
    }
}

impl RedisReceiver {
    /// Tells of streams that go; whether there were any. While the engine is told that one goes it is ours.
    fn tell(&mut self, into: &mut Inbox) -> bool {
        let any = !self.signals.is_empty();
        for signal in self.signals.drain(..) {
            match signal {
                // Until everything that is out of it is settled, however long that takes.
                Signal::Revoking(stream, generation) => into.revoking(stream as u32, generation, MAX_DURATION),
                Signal::Revoked(stream, generation) => into.revoked(stream as u32, generation),
            }
        }
        any
    }
}

impl Receiver for RedisReceiver {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>> {
        ready!(self.poll(cx, max))?;
        let count = max.min(self.arrived.len());
        self.arrived.drain(..count).for_each(|incoming| into.message(incoming));
        let told = self.arrived.is_empty() && self.tell(into);
        if count == 0 && !told { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn hold(&mut self, source: u32, held: bool) {
        if let Some(stream) = self.streams.get_mut(source as usize) {
            stream.held = held;
        }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<Result<()>> {
        self.stopping = true;
        loop {
            let polled = self.poll(cx, 0);
            self.arrived.drain(..).for_each(|incoming| into.message(incoming));
            self.tell(into);
            ready!(polled)?;
            if self.asked == Asked::Nothing {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl fmt::Debug for RedisReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReceiver").field("asked", &self.asked).finish_non_exhaustive()
    }
}
