//! The publishing half: commands into one buffer, an outcome for each reply.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use pontoon_core::driver::{Batch, Completions, OpenProducer, Producer, Ticket};
use pontoon_core::{Delay, Error, Message, PublishOutcome, Receipt, Rejection, Result};

use crate::entry::{self, Id};
use crate::keys::{Keys, shard_of};
use crate::link::Link;
use crate::resp::{Cursor, Item, Malformed, array, bulk, number};
use crate::socket::{OUT_BOUND, Socket};
use crate::upkeep::Upkeep;
use crate::{RedisConfig, error, facts, scripts};

/// How many answers of the server one poll takes.
const ANSWERS: usize = 1024;

/// The publishing half of one generation, with a connection of its own. A message is Confirmed when the server answered
/// with its entry's id.
#[derive(Debug)]
pub struct RedisProducer {
    socket: Socket,
    link: Arc<Link>,
    completions: Completions,
    channel: String,
    shards: Vec<Keys>,
    max_in_flight: usize,
    max_body: u64,
    /// For messages without a key.
    next_shard: usize,
    /// Sent and not yet answered, in order.
    open: VecDeque<Ticket>,
    /// How many were answered.
    answered: u64,
    upkeep: Upkeep,
    /// Kept for their memory.
    outcomes: Vec<(Ticket, PublishOutcome)>,
    fields: Vec<u8>,
    dead: Option<Error>,
}

impl RedisProducer {
    pub(crate) fn new(socket: Socket, link: Arc<Link>, how: OpenProducer, config: &RedisConfig) -> Self {
        let name = how.channel.name.as_str();
        let shards = facts::shards(&how.channel);
        RedisProducer {
            socket,
            link,
            completions: how.completions,
            shards: (0..shards).map(|shard| Keys::of_shard(name, shard, shards)).collect(),
            channel: name.to_owned(),
            max_in_flight: how.max_in_flight.max(1),
            max_body: config.max_body,
            next_shard: 0,
            open: VecDeque::new(),
            answered: 0,
            upkeep: Upkeep::of(&how.channel, config),
            outcomes: Vec::new(),
            fields: Vec::new(),
            dead: None,
        }
    }

    /// Sends and receives what can be, and completes what is known. Sets `dead` when the connection is.
    fn pump(&mut self, cx: &mut Context<'_>) {
        self.link.watch(cx.waker());
        if self.link.is_ended() {
            self.dead.get_or_insert_with(|| error::closed("publish"));
        }
        if self.dead.is_none() {
            self.socket.is_due(!self.open.is_empty());
            let sent = self.socket.poll_flush(cx, "publish");
            // What was answered before is still to be read, and tells more than that nobody listens any more.
            self.dead = match (self.receive(cx), sent) {
                (Some(error), _) | (None, Poll::Ready(Err(error))) => Some(error),
                _ => None,
            };
        }
        self.completions.complete(&mut self.outcomes);
    }

    /// Takes answers, a bounded number of them; gives what ends the connection.
    fn receive(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        for _ in 0..ANSWERS {
            match self.socket.poll_reply(cx, "publish") {
                Poll::Pending => return None,
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok(len)) if self.upkeep.is_next(self.answered) => self.socket.frames().skip(len),
                Poll::Ready(Ok(len)) => {
                    self.answered += 1;
                    let outcome = outcome(&self.socket.frames().bytes()[..len], &self.channel);
                    self.socket.frames().skip(len);
                    let ticket = self.open.pop_front();
                    match (outcome, ticket) {
                        (Ok(outcome), Some(ticket)) => self.outcomes.push((ticket, outcome)),
                        (Err(what), _) => return Some(error::malformed(what, "publish")),
                        (_, None) => {
                            return Some(error::malformed(Malformed("an answer was not asked for"), "publish"));
                        }
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        None
    }

    fn has_room(&self) -> bool {
        self.open.len() < self.max_in_flight && self.socket.waiting() < OUT_BOUND
    }

    /// Appends the command that stores a message.
    fn put(&mut self, message: &Message) {
        let shard = match &message.key {
            _ if self.shards.len() == 1 => 0,
            Some(key) => usize::from(shard_of(key.as_bytes(), self.shards.len() as u16)),
            None => {
                self.next_shard = (self.next_shard + 1) % self.shards.len();
                self.next_shard
            }
        };
        let keys = &self.shards[shard];
        let parts = entry::fields(message, &mut self.fields);
        let out = self.socket.out();
        match when(message) {
            None => {
                array(out, 4 + parts);
                bulk(out, b"XADD");
                bulk(out, keys.stream.as_bytes());
                bulk(out, b"NOMKSTREAM");
                bulk(out, b"*");
            }
            Some((how, ms)) => {
                scripts::DELAY.begin(out, &[&keys.stream, &keys.held, &keys.due], 2 + parts);
                bulk(out, how);
                number(out, ms);
            }
        }
        entry::put(message, &self.fields, out);
    }
}

/// How a message's delay is told to a script: `in` or `at`, with milliseconds.
pub(crate) fn when(message: &Message) -> Option<(&'static [u8], u64)> {
    let millis = |duration: Duration| {
        // Never early: a part of a millisecond is a whole one.
        u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    };
    match message.delay()? {
        Delay::For(delay) if delay.is_zero() => None,
        Delay::For(delay) => Some((b"in", millis(delay))),
        Delay::Until(at) => at.duration_since(UNIX_EPOCH).ok().map(|since| (&b"at"[..], millis(since))),
    }
}

/// What a reply to one publish means.
fn outcome(reply: &[u8], channel: &str) -> Result<PublishOutcome, Malformed> {
    Ok(match Cursor::new(reply).next()? {
        // It waits, and is named when it is due.
        Item::Bulk(b"") => PublishOutcome::Confirmed(Receipt::default()),
        Item::Bulk(id) => PublishOutcome::Confirmed(Receipt { broker_id: Id::read(id)?.broker_id(), routed: None }),
        Item::Nil => PublishOutcome::Rejected(Rejection::Refused(error::no_such_channel("publish", channel))),
        // The server checks a command before it does anything of it.
        Item::Error(text) => {
            let text = String::from_utf8_lossy(text);
            let error = error::answered("publish", &text).with("channel", channel);
            PublishOutcome::Rejected(if error::is_try_again(&text) {
                Rejection::TryAgain(error)
            } else {
                Rejection::Refused(error)
            })
        }
        _ => return Err(Malformed("the id of an entry was due")),
    })
}

impl Producer for RedisProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        if !self.has_room() {
            self.pump(cx);
        }
        if self.link.is_ended() {
            self.dead.get_or_insert_with(|| error::closed("publish"));
        }
        if let Some(dead) = &self.dead {
            return Poll::Ready(Err(dead.clone()));
        }
        if !self.has_room() {
            return Poll::Pending;
        }
        while self.has_room()
            && let Some((ticket, message)) = batch.peek()
        {
            let bytes = message.body.len();
            if bytes as u64 > self.max_body {
                let error = error::too_large(&self.channel, bytes, self.max_body);
                self.outcomes.push((ticket, PublishOutcome::Rejected(Rejection::Refused(error))));
            } else {
                self.put(message);
                self.open.push_back(ticket);
            }
            batch.pop();
        }
        self.upkeep.put(&self.shards, self.answered + self.open.len() as u64, self.socket.out());
        // A connection that ends here took the messages with it: the next poll says so.
        self.pump(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.pump(cx);
        match &self.dead {
            Some(dead) => Poll::Ready(dead.clone()),
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.pump(cx);
        match &self.dead {
            _ if self.open.is_empty() => {
                self.dead.get_or_insert_with(|| error::closed("publish"));
                Poll::Ready(Ok(()))
            }
            Some(_) => Poll::Ready(Err(error::lost("close producer"))),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_meaning() {
        use PublishOutcome::{Confirmed, Rejected};
        let of = |reply: &str| outcome(reply.as_bytes(), "q");
        assert!(
            matches!(of("$3\r\n1-0\r\n"), Ok(Confirmed(receipt)) if receipt.broker_id == Id { ms: 1, seq: 0 }.broker_id())
        );
        assert!(matches!(of("$0\r\n\r\n"), Ok(Confirmed(receipt)) if receipt == Receipt::default()));
        assert!(matches!(of("$-1\r\n"), Ok(Rejected(Rejection::Refused(_)))));
        for text in ["OOM command not allowed", "MISCONF Errors writing", "READONLY You", "NOREPLICAS x", "LOADING x"] {
            assert!(matches!(of(&format!("-{text}\r\n")), Ok(Rejected(Rejection::TryAgain(_)))), "{text}");
        }
        for text in ["WRONGTYPE Operation", "NOPERM no", "ERR anything"] {
            assert!(matches!(of(&format!("-{text}\r\n")), Ok(Rejected(Rejection::Refused(_)))), "{text}");
        }
        assert!(of("*0\r\n").is_err() && of(":1\r\n").is_err() && of("$1\r\nx\r\n").is_err());
    }

    #[test]
    fn a_delay_is_never_shorter_than_asked() {
        let in_nanos = |nanos| when(&Message::new("").with_delay(Delay::For(Duration::from_nanos(nanos))));
        assert_eq!(in_nanos(0), None);
        assert_eq!(in_nanos(1), Some((&b"in"[..], 1)));
        assert_eq!(in_nanos(2_000_001), Some((&b"in"[..], 3)));
        let at = |at| when(&Message::new("").with_delay(Delay::Until(at)));
        assert_eq!(at(UNIX_EPOCH + Duration::from_millis(7)), Some((&b"at"[..], 7)));
        assert_eq!(at(UNIX_EPOCH - Duration::from_millis(7)), None);
    }
}
