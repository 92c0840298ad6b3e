//! Bodies that say who published them, and hashes to compare them by.

use pontoon_core::{Bytes, HeaderValue, Headers, Key, Message};

use super::PublishId;

/// What a body says of itself: run, publisher, counter, key and a hash over all of it.
///
/// A body shorter than [`Payload::EMBEDDED`] bytes cannot say all that; the message id does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The run: what another run left behind is told apart by it.
    pub run: u64,
    /// Who published it.
    pub id: PublishId,
    /// Its key.
    pub key: Option<Key>,
}

/// What a received message turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Of this run, and whole as far as it tells itself.
    Ours(PublishId),
    /// Its id is one of this run, and its body or key is not what was published under it.
    Corrupt(PublishId),
    /// Not of this run.
    Foreign,
}

impl Payload {
    /// The shortest body that holds everything, in bytes.
    pub const EMBEDDED: usize = 36;

    /// The body, of exactly this many bytes. Equal payloads and lengths give equal bodies; the bytes after the first
    /// 36 have no pattern, and take all 256 values.
    #[must_use]
    pub fn body(&self, len: usize) -> Bytes {
        let mut body = Vec::with_capacity(len.max(Self::EMBEDDED));
        body.extend_from_slice(&self.run.to_be_bytes());
        body.extend_from_slice(&self.id.publisher.to_be_bytes());
        body.extend_from_slice(&self.id.counter.to_be_bytes());
        body.extend_from_slice(&key_hash(self.key.as_ref()).to_be_bytes());
        let mut random = fastrand::Rng::with_seed(hash_of(&body));
        let rest: Vec<u8> = (Self::EMBEDDED..len).map(|_| random.u8(..)).collect();
        let sum = hash_of(&body) ^ hash_of(&rest);
        body.extend_from_slice(&sum.to_be_bytes());
        body.extend_from_slice(&rest);
        body.truncate(len);
        body.into()
    }

    /// The message id: it names the run and the message, whatever the length of the body.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("{:x}-{}", self.run, self.id)
    }

    /// The message: body of this many bytes, id and key.
    #[must_use]
    pub fn message(&self, len: usize) -> Message {
        let message = Message::new(self.body(len)).with_id(self.message_id());
        match &self.key {
            Some(key) => message.with_key(key.clone()),
            None => message,
        }
    }

    /// What a message received in this run is.
    #[must_use]
    pub fn read(run: u64, message: &Message) -> Seen {
        let by_id = read_id(run, &message.id.to_string());
        let Some((of_run, id, key, sound)) = read_body(&message.body) else {
            return by_id.map_or(Seen::Foreign, |id| {
                let payload = Payload { run, id, key: message.key.clone() };
                let whole = payload.body(message.body.len()) == message.body;
                if whole { Seen::Ours(id) } else { Seen::Corrupt(id) }
            });
        };
        match by_id {
            Some(by_id) if sound && of_run == run && by_id == id && key == key_hash(message.key.as_ref()) => {
                Seen::Ours(id)
            }
            Some(by_id) => Seen::Corrupt(by_id),
            None if sound && of_run == run => Seen::Corrupt(id),
            None => Seen::Foreign,
        }
    }
}

fn read_id(run: u64, text: &str) -> Option<PublishId> {
    let (of, id) = text.split_once('-')?;
    (of == format!("{run:x}")).then(|| id.parse().ok())?
}

/// Run, id, hash of the key, and whether the hash over all of it is right; `None` for what is too short.
fn read_body(body: &[u8]) -> Option<(u64, PublishId, u64, bool)> {
    let (head, rest) = body.split_at_checked(Payload::EMBEDDED)?;
    let number = |at: usize| head[at..at + 8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let publisher = head[8..12].iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
    let sound = number(28) == hash_of(&head[..28]) ^ hash_of(rest);
    Some((number(0), PublishId { publisher, counter: number(12) }, number(20), sound))
}

fn key_hash(key: Option<&Key>) -> u64 {
    key.map_or(0, |key| hash_of(key.as_bytes()))
}

/// The 64-bit FNV-1a hash: short, and the same in every process and version.
#[must_use]
pub fn hash_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A hash over names, types and values of headers. It does not depend on their order: what a broker keeps is compared
/// as a multiset.
#[must_use]
pub fn headers_hash(headers: &Headers) -> u64 {
    headers.iter().fold(0, |all: u64, (name, value)| {
        let other;
        let (kind, value) = match value {
            HeaderValue::String(text) => (0, text.as_bytes()),
            HeaderValue::Bytes(raw) => (1, &raw[..]),
            value => {
                other = format!("{value:?}");
                (2, other.as_bytes())
            }
        };
        let bytes = [name.as_bytes(), &[0, kind], value].concat();
        all.wrapping_add(hash_of(&bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(counter: u64) -> Payload {
        Payload { run: 7, id: PublishId { publisher: 3, counter }, key: Some(Key::from("k")) }
    }

    #[test]
    fn bodies_of_any_length_are_recognised() {
        for len in (0..80).chain([256, 4_096]) {
            let message = payload(9).message(len);
            assert_eq!(message.body.len(), len);
            assert_eq!(Payload::read(7, &message), Seen::Ours(payload(9).id), "{len} bytes");
            assert_eq!(Payload::read(8, &message), Seen::Foreign, "{len} bytes of another run");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        for len in [1, 35, 36, 37, 100] {
            for at in 0..len {
                let mut message = payload(9).message(len);
                let mut body = message.body.to_vec();
                body[at] ^= 1;
                message.body = body.into();
                assert_eq!(Payload::read(7, &message), Seen::Corrupt(payload(9).id), "byte {at} of {len}");
            }
            let mut cut = payload(9).message(len);
            cut.body = cut.body.slice(..len - 1);
            // A prefix of a short body is the body of another length: the hash in the history tells.
            let expected =
                if len > Payload::EMBEDDED { Seen::Corrupt(payload(9).id) } else { Seen::Ours(payload(9).id) };
            assert_eq!(Payload::read(7, &cut), expected, "{len} bytes cut");
        }
    }

    #[test]
    fn parts_of_two_messages_are_no_message() {
        let mut mixed = payload(9).message(64);
        mixed.body = payload(10).body(64);
        assert_eq!(Payload::read(7, &mixed), Seen::Corrupt(payload(9).id));
        let mut other_key = payload(9).message(64);
        other_key.key = Some(Key::from("other"));
        assert_eq!(Payload::read(7, &other_key), Seen::Corrupt(payload(9).id));
        let renamed = payload(9).message(64).with_id("another");
        assert_eq!(Payload::read(7, &renamed), Seen::Corrupt(payload(9).id));
        assert_eq!(Payload::read(7, &Message::new("hello")), Seen::Foreign);
        assert_eq!(Payload::read(7, &Message::new(vec![7; 64])), Seen::Foreign);
    }

    #[test]
    fn long_bodies_take_all_values() {
        let body = payload(1).body(8_192);
        let missing: Vec<u8> = (0..=255).filter(|value| !body.contains(value)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn headers_are_compared_by_name_type_and_value_but_not_by_order() {
        let of = |pairs: &[(&str, HeaderValue)]| {
            let mut headers = Headers::new();
            for (name, value) in pairs {
                headers.append(*name, value.clone());
            }
            headers_hash(&headers)
        };
        let (one, two): ((&str, HeaderValue), (&str, HeaderValue)) = (("a", "1".into()), ("b", 2.into()));
        let both = of(&[one.clone(), two.clone()]);
        assert_eq!(both, of(&[two.clone(), one.clone()]));
        let different = [
            of(&[]),
            of(std::slice::from_ref(&one)),
            of(&[one.clone(), one.clone()]),
            of(&[("A", "1".into()), two.clone()]),
            of(&[("a", 1.into()), two.clone()]),
            of(&[("a", HeaderValue::Bytes("1".into())), two.clone()]),
            of(&[("a", "2".into()), two]),
        ];
        assert!(!different.contains(&both));
    }
}
