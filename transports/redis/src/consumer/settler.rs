//! The settling half: what was recorded goes to the server with the next flush, many settlements in one script.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use pontoon_core::driver::{Disposition, Late, LateKind, Settled, Settler, Token};
use pontoon_core::{Channel, Error, ErrorKind, Message, Result};

use super::leases::Held;
use super::shared::Shared;
use crate::keys::{Keys, shard_of};
use crate::producer::when;
use crate::resp::{Cursor, Item, bulk, number};
use crate::socket::Socket;
use crate::{entry, error, facts, scripts};

/// The most settlements in one script, which the server runs without serving anybody else.
const MOST: usize = 512;

/// A command that was sent, or waits to be sent.
#[derive(Debug)]
struct Sent {
    kind: Kind,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Settle,
    Extend,
    Replace,
    Leave,
}

/// The settling half of one generation.
pub struct RedisSettler {
    shared: Arc<Shared>,
    socket: Socket,
    /// Recorded and not written yet, for each stream.
    acks: Vec<Vec<(Token, Held)>>,
    releases: Vec<Vec<(Token, Held)>>,
    extends: Vec<Vec<Token>>,
    /// Written and not answered, in order.
    sent: VecDeque<Sent>,
    written: u64,
    answered: u64,
    /// What was written when the flush that is going on began.
    flushing: Option<u64>,
    leaving: bool,
    left: bool,
    fields: Vec<u8>,
}

impl RedisSettler {
    pub(super) fn new(shared: Arc<Shared>, socket: Socket) -> Self {
        let shards = shared.member.reading.shards.len();
        RedisSettler {
            shared,
            socket,
            acks: vec![Vec::new(); shards],
            releases: vec![Vec::new(); shards],
            extends: vec![Vec::new(); shards],
            sent: VecDeque::new(),
            written: 0,
            answered: 0,
            flushing: None,
            leaving: false,
            left: false,
            fields: Vec::new(),
        }
    }

    fn note(&mut self, kind: Kind, tokens: Vec<Token>) {
        self.written += 1;
        self.sent.push_back(Sent { kind, tokens });
    }

    /// Group, name and length of the lease: what every script takes first.
    fn put_self(&mut self) {
        let member = &self.shared.member;
        let out = self.socket.out();
        bulk(out, member.reading.group.as_bytes());
        bulk(out, member.name.as_bytes());
        number(out, member.reading.lease.as_millis() as u64);
    }

    /// Writes what was recorded as commands.
    fn write(&mut self) {
        for shard in 0..self.acks.len() {
            let shared = self.shared.clone();
            let reading = &shared.member.reading;
            let (stream, lease) = (&reading.shards[shard].stream, reading.lease_key(shard, &shared.member.name));
            let acks = std::mem::take(&mut self.acks[shard]);
            for some in acks.chunks(MOST) {
                scripts::SETTLE.begin(self.socket.out(), &[stream, &lease], 4 + some.len());
                self.put_self();
                bulk(self.socket.out(), if reading.delete { b"1" } else { b"0" });
                some.iter().for_each(|(_, held)| held.id.put(self.socket.out()));
                self.note(Kind::Settle, some.iter().map(|(token, _)| *token).collect());
            }
            let releases = std::mem::take(&mut self.releases[shard]);
            for some in releases.chunks(MOST / 2) {
                scripts::RELEASE.begin(self.socket.out(), &[stream, &lease], 3 + 2 * some.len());
                self.put_self();
                for (_, held) in some {
                    held.id.put(self.socket.out());
                    // This delivery did not count.
                    number(self.socket.out(), u64::from(held.deliveries.saturating_sub(1)));
                }
                self.note(Kind::Settle, some.iter().map(|(token, _)| *token).collect());
            }
            let extends = std::mem::take(&mut self.extends[shard]);
            if !extends.is_empty() {
                let ms = reading.lease.as_millis().to_string();
                scripts::EXTEND.call(self.socket.out(), &[&lease], &[shared.member.name.as_bytes(), ms.as_bytes()]);
                self.note(Kind::Extend, extends);
            }
            // Room for last time's is kept.
            self.acks[shard] = acks;
            self.acks[shard].clear();
        }
    }

    /// Writes a replacement at once, for the successor is only lent.
    fn replace(&mut self, token: Token, held: Held, to: &Channel, message: &Message) {
        let shared = self.shared.clone();
        let reading = &shared.member.reading;
        let from = token.source as usize;
        let lease = reading.lease_key(from, &shared.member.name);
        let shards = facts::shards(to);
        let shard = message.key.as_ref().map_or(0, |key| shard_of(key.as_bytes(), shards));
        let target = Keys::of_shard(to.name.as_str(), shard, shards);
        let parts = entry::fields(message, &mut self.fields);
        let keys = [reading.shards[from].stream.as_str(), &lease, &target.stream, &target.held, &target.due];
        scripts::REPLACE.begin(self.socket.out(), &keys, 7 + parts);
        self.put_self();
        let out = self.socket.out();
        bulk(out, if reading.delete { b"1" } else { b"0" });
        held.id.put(out);
        let (how, ms) = when(message).unwrap_or((b"now", 0));
        bulk(out, how);
        number(out, ms);
        entry::put(message, &self.fields, out);
        self.note(Kind::Replace, vec![token]);
    }

    /// Takes answers; gives what ends the connection.
    fn poll_answers(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Option<Error> {
        self.socket.is_due(!self.sent.is_empty());
        let sent = self.socket.poll_flush(cx, "settle");
        while !self.sent.is_empty() {
            match self.socket.poll_reply(cx, "settle") {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok(len)) => {
                    let reply = Cursor::new(&self.socket.frames().bytes()[..len]).next();
                    let reply = match reply {
                        Ok(Item::Int(number)) => Ok(number),
                        Ok(Item::Error(text)) => Err(error::answered("settle", &String::from_utf8_lossy(text))),
                        Ok(_) => {
                            let what = crate::resp::Malformed("a number was due");
                            return Some(error::malformed(what, "settle"));
                        }
                        Err(what) => return Some(error::malformed(what, "settle")),
                    };
                    self.socket.frames().skip(len);
                    self.answered += 1;
                    if let Some(sent) = self.sent.pop_front() {
                        self.answer(sent, reply, late);
                    }
                }
            }
        }
        match sent {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        }
    }

    fn answer(&mut self, Sent { kind, tokens }: Sent, reply: Result<i64>, late: &mut Vec<Late>) {
        let mut state = self.shared.lock();
        if kind == Kind::Leave {
            self.left = true;
            return;
        }
        let extends = kind == Kind::Extend;
        let outcome = match reply {
            Ok(-1) => {
                state.dead.get_or_insert_with(error::lease_lost);
                Some(LateKind::Stale)
            }
            Ok(-2) => {
                let words = "the channel of the successor is not there";
                let error = Error::new(ErrorKind::NotFound, "store successor", words)
                    .with_help("declare it; opening a worker does");
                Some(LateKind::Failed(error))
            }
            // None of these was pending: somebody else removed them, or the stream.
            Ok(0) => Some(LateKind::Stale),
            Ok(_) => None,
            Err(error) => Some(LateKind::Failed(error)),
        };
        for token in tokens {
            match &outcome {
                _ if extends => {}
                Some(LateKind::Failed(_)) => state.leases.restore(token),
                _ => state.leases.done(token),
            }
            if let Some(kind) = &outcome {
                late.push(Late { token, kind: kind.clone() });
            }
        }
    }
}

impl Settler for RedisSettler {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        for (token, disposition) in what {
            let (shared, shard) = (self.shared.clone(), token.source as usize);
            let mut state = shared.lock();
            if state.dead.is_some() || shared.link.is_ended() {
                answers.push(Settled::Stale);
                continue;
            }
            let held = match disposition {
                Disposition::Extend { .. } => {
                    if state.leases.holds(*token) {
                        self.extends[shard].push(*token);
                        answers.push(Settled::Recorded);
                    } else {
                        answers.push(Settled::Stale);
                    }
                    continue;
                }
                Disposition::Ack | Disposition::Release | Disposition::Replace { .. } => state.leases.take(*token),
                // Retrying natively is not declared.
                _ => None,
            };
            drop(state);
            let Some(held) = held else {
                answers.push(Settled::Stale);
                continue;
            };
            match disposition {
                Disposition::Release => self.releases[shard].push((*token, held)),
                Disposition::Replace { to, message } => self.replace(*token, held, to, message),
                _ => self.acks[shard].push((*token, held)),
            }
            answers.push(Settled::Recorded);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        self.shared.link.watch(cx.waker());
        if self.shared.link.is_ended() {
            return Poll::Ready(Err(error::closed("settle")));
        }
        if self.flushing.is_none() {
            self.write();
            self.flushing = Some(self.written);
        }
        if let Some(error) = self.poll_answers(cx, late) {
            self.shared.die(&error);
            return Poll::Ready(Err(error));
        }
        if self.flushing.is_some_and(|until| self.answered < until) {
            return Poll::Pending;
        }
        self.flushing = None;
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        if self.left {
            return Poll::Ready(Ok(()));
        }
        if !self.leaving {
            std::task::ready!(self.poll_flush(cx, late))?;
            self.leaving = true;
            let shared = self.shared.clone();
            for _ in 0..shared.member.put_leave(self.socket.out()) {
                self.note(Kind::Leave, Vec::new());
            }
        }
        std::task::ready!(self.poll_flush(cx, late))?;
        self.left = true;
        self.shared.member.has_left();
        self.shared.die(&error::closed("settle"));
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for RedisSettler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettler").field("unanswered", &self.sent.len()).finish_non_exhaustive()
    }
}
