//! Frames: found in what was read, begun and ended in what is to be written.

use bytes::{Bytes, BytesMut};

use super::{Malformed, Take};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a frame says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            fn of(number: u8) -> Option<Self> {
                match number { $($number => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    // From the client.
    /// Channel. Answered by `Done`.
    OpenProducer = 0x01,
    /// Channel, subscription, prefetch. Answered by `Done`.
    OpenConsumer = 0x02,
    /// The channel's facts, subscriptions. Answered by `Done`.
    Ensure = 0x03,
    /// Channel, subscription. Answered by `Depths`.
    Depth = 0x04,
    /// Channel, subscription. Answered by `Done` with how many went.
    Purge = 0x05,
    /// What is to go wrong. Answered by `Done`.
    Hurt = 0x06,
    /// A message. Answered, in order, within `Outcomes`.
    Publish = 0x10,
    /// How many more deliveries may come.
    Credit = 0x20,
    /// Whether deliveries are held.
    Hold = 0x21,
    /// No more deliveries. Answered by `Stopped` behind the last one.
    Stop = 0x22,
    /// Settlements. Answered, in order, by `Settled`.
    Settle = 0x23,
    // From the server.
    /// The first: limits, the number of this connection, how often it beats.
    Welcome = 0x80,
    /// It is done; a number.
    Done = 0x81,
    /// Ready, delayed, in flight.
    Depths = 0x82,
    /// Why it was not done. What cannot be understood is answered like this too; the connection then ends.
    Failed = 0x8f,
    /// The server is there: so often as it said, on each connection that publishes or consumes.
    Beat = 0x83,
    /// One outcome for each of the next published messages.
    Outcomes = 0x90,
    /// A delivery.
    Delivery = 0xa0,
    /// The position of a delivery whose lease was lost.
    LeaseLost = 0xa1,
    /// Nothing more is delivered.
    Stopped = 0xa2,
    /// How many settlements are final by now, and of the new ones those that are not: stale, or failed.
    Settled = 0xa3,
}

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// Finds frames in what arrives.
#[derive(Debug)]
pub(crate) struct Frames {
    arrived: BytesMut,
    longest: u64,
}

impl Frames {
    /// Refuses frames that are longer than this.
    pub(crate) fn new(longest: u64) -> Self {
        Frames { arrived: BytesMut::new(), longest }
    }

    pub(crate) fn set_longest(&mut self, longest: u64) {
        self.longest = longest;
    }

    /// Where to put what arrives next. Room grows with what has arrived, never with a length that is claimed.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        self.arrived.reserve(CHUNK);
        &mut self.arrived
    }

    /// Whether less than the longest frame has arrived and was not taken.
    pub(crate) fn has_room(&self) -> bool {
        (self.arrived.len() as u64) < self.longest
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn is_torn(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// The next frame, if all of it is there.
    ///
    /// # Errors
    /// A length of nothing or beyond the longest, as soon as it is read; a kind that does not exist.
    pub(crate) fn next(&mut self) -> Result<Option<(Kind, Take)>, Malformed> {
        let Some(length) = self.arrived.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            return Err(Malformed("a frame says that it is empty"));
        }
        if u64::from(length) > self.longest {
            return Err(Malformed("a frame says that it is longer than any may be"));
        }
        let whole = 4 + length as usize;
        if self.arrived.len() < whole {
            return Ok(None);
        }
        let frame: Bytes = self.arrived.split_to(whole).freeze();
        let kind = Kind::of(frame[4]).ok_or(Malformed("a frame is of an unknown kind"))?;
        Ok(Some((kind, Take(frame.slice(5..)))))
    }
}

/// Appends a frame whose rest `fill` appends.
pub(crate) fn put(to: &mut Vec<u8>, kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0, 0, 0, 0, kind as u8]);
    fill(to);
    let length = (to.len() - start - 4) as u32;
    to[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
