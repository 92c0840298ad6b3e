//! The bounds on what is accepted and unresolved.

/// How much is taken and how much may be.
#[derive(Debug)]
pub(super) struct Room {
    max_messages: usize,
    max_bytes: usize,
    messages: usize,
    bytes: usize,
}

impl Room {
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Room { max_messages: max_messages.max(1), max_bytes, messages: 0, bytes: 0 }
    }

    /// Takes room for one message, if there is.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        // A message larger than the bound passes alone: it would wait for ever otherwise.
        let fits = self.messages == 0
            || (self.messages < self.max_messages && self.bytes.saturating_add(bytes) <= self.max_bytes);
        if fits {
            self.messages += 1;
            self.bytes += bytes;
        }
        fits
    }

    /// How many of these, one after the other, there would be room for.
    pub(super) fn fits(&self, weights: impl Iterator<Item = usize>) -> usize {
        let mut with_them = Room { ..*self };
        weights.take_while(|bytes| with_them.take(*bytes)).count()
    }

    /// Takes room for a message that is on its way already.
    pub(super) fn take_anyway(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// Gives the room of one message back.
    pub(super) fn give(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    /// Messages and bytes taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_a_giant_passes_alone() {
        let mut room = Room::new(2, 100);
        assert!(room.take(60));
        assert!(!room.take(41));
        assert!(room.take(40));
        assert!(!room.take(0), "two messages are the most");
        room.give(60);
        room.give(40);
        assert!(room.take(1000));
        assert!(!room.take(0) || room.taken().1 <= 100);
        room.give(1000);
        assert_eq!(room.taken(), (0, 0));
    }
}
