//! What the journal is made of: records, in frames with a checksum. Pure; reading is total.
//!
//! A frame is its length (four bytes), the CRC-32 of length and records (four bytes), and the records. Numbers have
//! their low bytes first. A frame is on the disk before the next one is begun, so that a crash tears at most the last.

/// What became of a message since it was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// How often it was delivered.
    pub(crate) deliveries: u32,
    /// How many failures of handlers were reported with a retry.
    pub(crate) failures: u32,
    /// Not to be delivered before this time, in milliseconds since 1970.
    pub(crate) due: u64,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A queue was declared. Queues are counted from 0 in the order of these records.
    Queue { name: &'a str, facts: &'a str },
    /// A message was stored.
    Message { number: u64, queue: u32, state: State, fields: &'a [u8], body: &'a [u8] },
    /// Something became of a message.
    Changed { number: u64, state: State },
    /// A message is gone for good.
    Gone { number: u64 },
    /// No number below this one is given again.
    Next { number: u64 },
}

impl<'a> Record<'a> {
    /// Appends it.
    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        match *self {
            Record::Queue { name, facts } => {
                to.push(1);
                put_bytes(to, name.as_bytes());
                put_bytes(to, facts.as_bytes());
            }
            Record::Message { number, queue, state, fields, body } => {
                to.push(2);
                to.extend_from_slice(&number.to_le_bytes());
                to.extend_from_slice(&queue.to_le_bytes());
                put_state(to, state);
                put_bytes(to, fields);
                put_bytes(to, body);
            }
            Record::Changed { number, state } => {
                to.push(3);
                to.extend_from_slice(&number.to_le_bytes());
                put_state(to, state);
            }
            Record::Gone { number } => {
                to.push(4);
                to.extend_from_slice(&number.to_le_bytes());
            }
            Record::Next { number } => {
                to.push(5);
                to.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    /// Takes the first one away; `None` where there is none.
    pub(crate) fn take(from: &mut &'a [u8]) -> Option<Record<'a>> {
        let (&[kind], rest) = from.split_first_chunk()?;
        *from = rest;
        Some(match kind {
            1 => Record::Queue { name: take_text(from)?, facts: take_text(from)? },
            2 => Record::Message {
                number: take_u64(from)?,
                queue: take_u32(from)?,
                state: take_state(from)?,
                fields: take_bytes(from)?,
                body: take_bytes(from)?,
            },
            3 => Record::Changed { number: take_u64(from)?, state: take_state(from)? },
            4 => Record::Gone { number: take_u64(from)? },
            5 => Record::Next { number: take_u64(from)? },
            _ => return None,
        })
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(bytes);
}

fn put_state(to: &mut Vec<u8>, state: State) {
    to.extend_from_slice(&state.deliveries.to_le_bytes());
    to.extend_from_slice(&state.failures.to_le_bytes());
    to.extend_from_slice(&state.due.to_le_bytes());
}

fn take_state(from: &mut &[u8]) -> Option<State> {
    Some(State { deliveries: take_u32(from)?, failures: take_u32(from)?, due: take_u64(from)? })
}

fn take_u32(from: &mut &[u8]) -> Option<u32> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u32::from_le_bytes(*bytes))
}

fn take_u64(from: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_le_bytes(*bytes))
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u32(from)? as usize;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(from)?).ok()
}

/// How long the head of a frame is.
pub(crate) const HEAD: usize = 8;

/// The head of a frame with these records.
pub(crate) fn head(records: &[u8]) -> [u8; HEAD] {
    let length = (records.len() as u32).to_le_bytes();
    let sum = checksum(&length, records).to_le_bytes();
    [length[0], length[1], length[2], length[3], sum[0], sum[1], sum[2], sum[3]]
}

/// How many bytes of records this head announces.
pub(crate) fn announced(head: [u8; HEAD]) -> u64 {
    u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]]))
}

/// CRC-32 as in Ethernet and zip files.
fn checksum(length: &[u8], records: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(length);
    sum.update(records);
    sum.finalize()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32() {
        assert_eq!(checksum(b"1234", b"56789"), 0xcbf4_3926);
    }

    #[test]
    fn records_come_back_and_cut_ones_do_not() {
        let state = State { deliveries: 2, failures: 1, due: 1 << 40 };
        let all = [
            Record::Queue { name: "a", facts: "ceiling=1\n" },
            Record::Message { number: 7, queue: 1, state, fields: b"f", body: b"" },
            Record::Changed { number: 7, state },
            Record::Gone { number: u64::MAX },
            Record::Next { number: 8 },
        ];
        let mut bytes = Vec::new();
        for record in all {
            let before = bytes.len();
            record.put(&mut bytes);
            for end in before..bytes.len() {
                assert_eq!(Record::take(&mut &bytes[before..end]), None, "{record:?} cut at {end}");
            }
        }
        let mut rest = &bytes[..];
        for record in all {
            assert_eq!(Record::take(&mut rest), Some(record));
        }
        assert!(rest.is_empty());
        assert_eq!(Record::take(&mut &[9_u8, 0, 0][..]), None, "an unknown kind");
    }

    #[test]
    fn a_tail_of_zeros_is_no_frame() {
        assert_ne!(head(&[]), [0; HEAD]);
    }
}
