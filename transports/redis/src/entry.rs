//! A message as an entry of a stream: the fields of the library, the user's headers, and last the body.

use std::time::Duration;

use bytes::Bytes;
use pontoon_core::driver::{Incoming, Token};
use pontoon_core::wire::{Form, Native, Value, read, write};
use pontoon_core::{BrokerId, Message};

use crate::resp::{Cursor, Digits, Malformed, bulk, parts};

/// The field that holds the body. A user's header of this name travels escaped.
const BODY: &str = "body";
/// When a message that waited was stored, in milliseconds since 1970: its TTL counts from then.
const STORED: &[u8] = b"pontoon-stored";

const FORM: Form = Form::TEXT_LIST.interpreting(|name| name == BODY);
/// A delay lies in the sorted set, and is over when the message is delivered.
const NATIVE: Native = Native { delay: true, ..Native::NONE };

/// The name of an entry: the server's milliseconds, and a number among those of one millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

impl Id {
    pub(crate) fn read(text: &[u8]) -> Result<Self, Malformed> {
        let wrong = Malformed("the id of an entry cannot be read");
        let dash = text.iter().position(|byte| *byte == b'-').ok_or(wrong)?;
        Ok(Id { ms: digits(&text[..dash]).ok_or(wrong)?, seq: digits(&text[dash + 1..]).ok_or(wrong)? })
    }

    /// Appends it as one part of a command.
    pub(crate) fn put(self, to: &mut Vec<u8>) {
        let (ms, seq) = (Digits::of(self.ms), Digits::of(self.seq));
        parts(to, &[ms.as_bytes(), b"-", seq.as_bytes()]);
    }

    pub(crate) fn broker_id(self) -> BrokerId {
        BrokerId::Pair(self.ms, self.seq)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    let some = !text.is_empty();
    let value = text.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    });
    value.filter(|_| some)
}

/// Writes the fields of a message, but for the body, as parts of a command; how many parts there are with it.
#[inline]
pub(crate) fn fields(message: &Message, to: &mut Vec<u8>) -> usize {
    to.clear();
    let mut count = 2;
    write(message, &FORM, &NATIVE, |name, value| {
        parts(to, &[name.escape.as_bytes(), name.rest.as_bytes()]);
        // The form has no types: there is nothing but texts and bytes.
        bulk(to, value.as_bytes().unwrap_or_default());
        count += 2;
    });
    count
}

/// Appends what [`fields`] wrote, and the body.
#[inline]
pub(crate) fn put(message: &Message, fields: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(fields);
    bulk(to, BODY.as_bytes());
    bulk(to, &message.body);
}

/// The fields of an entry, each with its value.
#[derive(Clone, Copy)]
struct Fields<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((self.cursor.bulk().ok()?, self.cursor.bulk().ok()?))
    }
}

/// Reads the fields of an entry that begin here; bodies share the memory of `frame`. `now` is the server's time in
/// milliseconds.
pub(crate) fn incoming(
    frame: &Bytes,
    cursor: &mut Cursor<'_>,
    id: Id,
    deliveries: u32,
    token: Token,
    now: u64,
) -> Result<Incoming, Malformed> {
    let count = cursor.array()?;
    let all = Fields { cursor: *cursor, left: count / 2 };
    let (mut body, mut stored) = (None, id.ms);
    for at in 0..count / 2 {
        let (name, value) = (cursor.bulk()?, cursor.bulk()?);
        if name == BODY.as_bytes() && body.is_none() {
            body = Some((at, value));
        } else if name == STORED {
            stored = digits(value).unwrap_or(stored);
        }
    }
    let mut message = Message::new(body.map_or_else(Bytes::new, |(_, value)| frame.slice_ref(value)));
    // What the server knows of messages that other programs wrote.
    message.timestamp_ms = id.ms;
    let headers = all.enumerate().filter(move |(at, _)| body.is_none_or(|(body, _)| body != *at));
    let read = read(message, &FORM, headers.map(|(_, (name, value))| (name, Value::Bytes(value))));
    let mut incoming = Incoming::new(token, read.message);
    incoming.broker_id = id.broker_id();
    incoming.deliveries = Some(deliveries);
    incoming.undecodable = read.problem;
    // Handed over once, it is not taken away any more (C7.16).
    incoming.expired = deliveries <= 1
        && incoming.message.ttl().is_some_and(|ttl| Duration::from_millis(now.saturating_sub(stored)) > ttl);
    Ok(incoming)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::resp::array;

    fn token() -> Token {
        Token { position: 0, source: 0, generation: 1 }
    }

    fn read_back(reply: Vec<u8>, now: u64) -> Incoming {
        let frame = Bytes::from(reply);
        let id = Id { ms: 1_000, seq: 2 };
        incoming(&frame, &mut Cursor::new(&frame), id, 1, token(), now).unwrap()
    }

    fn through(message: &Message, now: u64) -> Incoming {
        let (mut scratch, mut reply) = (Vec::new(), Vec::new());
        let count = fields(message, &mut scratch);
        array(&mut reply, count);
        put(message, &scratch, &mut reply);
        read_back(reply, now)
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let message = Message::new(&b"\0\r\n$5"[..])
            .with_id("order-1")
            .with_key("{k}")
            .with_type("t")
            .with_header("body", "not the body")
            .with_header("pontoon-stored", "never")
            .with_header("n", -5i64);
        let back = through(&message, 0).message;
        assert_eq!(back.body, message.body);
        assert_eq!((back.id, back.key, back.type_name), (message.id, message.key, message.type_name));
        assert_eq!(back.headers.get("body"), message.headers.get("body"));
        assert_eq!(back.headers.get("pontoon-stored"), message.headers.get("pontoon-stored"));
        assert_eq!(back.headers.get("n"), message.headers.get("n"));
        assert_eq!(back.headers.len(), 3);
    }

    #[test]
    fn a_message_of_another_program_is_delivered() {
        let mut reply = Vec::new();
        array(&mut reply, 6);
        for part in ["temperature", "21", "body", "warm", "pontoon-id", "mine"] {
            bulk(&mut reply, part.as_bytes());
        }
        let read = read_back(reply, 0);
        assert!(read.undecodable.is_none());
        assert_eq!(read.message.body.as_ref(), b"warm");
        assert_eq!((read.message.timestamp_ms, read.message.id.is_unset()), (1_000, true));
        assert_eq!(read.message.headers.len(), 2);
        assert_eq!(read.broker_id, BrokerId::Pair(1_000, 2));
    }

    #[test]
    fn a_ttl_counts_from_the_moment_of_storing() {
        let message = Message::new("x").with_id("a").with_ttl(Duration::from_millis(500));
        assert!(!through(&message, 1_500).expired);
        assert!(through(&message, 1_501).expired);
    }

    #[test]
    fn ids_are_two_numbers() {
        let id = Id::read(b"1700000000000-18446744073709551615").unwrap();
        assert_eq!(id, Id { ms: 1_700_000_000_000, seq: u64::MAX });
        let mut written = Vec::new();
        id.put(&mut written);
        assert_eq!(written, b"$34\r\n1700000000000-18446744073709551615\r\n");
        for wrong in ["", "-", "1", "1-", "-1", "a-1", "1-18446744073709551616"] {
            assert!(Id::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
