//! The receiving half: one question at a time, and what the answers brought.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pontoon_core::Result;
use pontoon_core::driver::{Inbox, Incoming, OpenConsumer, Receiver};

use super::leases::{Held, Leases};
use super::look::{self, Rounds, ServerClock};
use super::shared::Shared;
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
    /// One stream of an ordered channel.
    Own(usize),
    /// To say when there is more.
    Wait,
}

/// One stream of an ordered channel.
#[derive(Debug, Default)]
struct Stream {
    owned: bool,
    held: bool,
    /// How far it was read.
    read_up_to: String,
    skipped: Vec<Id>,
}

/// The receiving half of one generation.
pub struct RedisReceiver {
    shared: Arc<Shared>,
    socket: Socket,
    asked: Asked,
    arrived: VecDeque<Incoming>,
    streams: Vec<Stream>,
    /// The next stream to ask for; all were asked when it is their number.
    turn: usize,
    /// Whether this turn brought anything.
    found: bool,
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
            streams: shared.member.reading.shards.iter().map(|_| Stream::default()).collect(),
            shared,
            socket,
            asked: Asked::Nothing,
            arrived: VecDeque::new(),
            turn: 0,
            found: false,
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
            if !self.arrived.is_empty() || (self.stopping && self.asked == Asked::Nothing) {
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
            if let Some(stream) = self.streams.get_mut(self.turn) {
                let max = if stream.held { 0 } else { max };
                look::own(member, self.turn, &mut self.rounds, max, stream.owned, &stream.skipped, out);
                stream.skipped.clear();
                Asked::Own(self.turn)
            } else {
                let owned = self.streams.iter().enumerate().filter(|(_, stream)| stream.owned && !stream.held);
                let from: Vec<_> = owned.map(|(at, stream)| (at, stream.read_up_to.clone())).collect();
                look::wait(member, &from, self.wait, out);
                Asked::Wait
            }
        } else if self.rounds.at <= Instant::now() {
            let skipped = &mut self.streams[0].skipped;
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
            Asked::Wait => (self.turn, self.found) = (0, false),
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
                self.found |= more;
                let last = cursor.bulk()?;
                if state == 0 {
                    return Ok(Err(error::lease_lost()));
                }
                let stream = &mut self.streams[at];
                stream.owned = state == 1;
                stream.read_up_to = String::from_utf8_lossy(last).into_owned();
                self.turn += 1;
                if self.turn == self.streams.len() && self.found {
                    (self.turn, self.found) = (0, false);
                }
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
        self.found = true;
        let token = leases.insert(shard as u32, held);
        let incoming = entry::incoming(frame, cursor, held.id, held.deliveries, token, self.clock.now())?;
        let only_for = incoming.message.history().only_for.as_deref();
        if self.subscription.is_some() && only_for.is_some() && only_for != self.subscription.as_deref() {
            // A copy for another subscription of this topic: done with it.
            let _ = leases.take(token);
            leases.done(token);
            self.streams[shard].skipped.push(held.id);
            self.rounds.at = Instant::now();
            return Ok(());
        }
        self.arrived.push_back(incoming);
        Ok(())
    }
}

impl Receiver for RedisReceiver {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>> {
        ready!(self.poll(cx, max))?;
        let count = max.min(self.arrived.len());
        self.arrived.drain(..count).for_each(|incoming| into.message(incoming));
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
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
