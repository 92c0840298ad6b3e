//! What a consumer holds: which entry a token names, and whether it may still settle it.

use pontoon_core::driver::Token;

use crate::entry::Id;

/// One delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: Id,
    /// As counted by the server, this one included.
    pub(super) deliveries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Out,
    /// Recorded, and not final.
    Settling,
}

/// What is out of one shard.
#[derive(Debug)]
struct Shard {
    /// Of its tokens; no others of this process have it.
    generation: u32,
    out: usize,
}

#[derive(Debug)]
struct Slot {
    /// How often it was used: tells an old token from a new one.
    turn: u32,
    state: State,
    held: Held,
}

/// The deliveries of one generation.
#[derive(Debug)]
pub(super) struct Leases {
    shards: Vec<Shard>,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Leases {
    /// For so many shards, each with tokens of a generation of its own.
    pub(super) fn new(shards: usize, generation: fn() -> u32) -> Self {
        let shards = (0..shards).map(|_| Shard { generation: generation(), out: 0 }).collect();
        Leases { shards, slots: Vec::new(), free: Vec::new() }
    }

    /// How many deliveries of a shard are not settled for good.
    pub(super) fn out(&self, shard: usize) -> usize {
        self.shards[shard].out
    }

    /// The generation of a shard's tokens.
    pub(super) fn generation(&self, shard: usize) -> u32 {
        self.shards[shard].generation
    }

    /// Every token of a shard is stale from now on; their generation.
    pub(super) fn renew(&mut self, shard: usize, generation: u32) -> u32 {
        std::mem::replace(&mut self.shards[shard].generation, generation)
    }

    /// A delivery from this shard.
    pub(super) fn insert(&mut self, shard: u32, held: Held) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { turn: 0, state: State::Free, held });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        *place = Slot { turn: place.turn.wrapping_add(1), state: State::Out, held };
        let position = u64::from(place.turn) << 32 | u64::from(slot);
        let of = &mut self.shards[shard as usize];
        of.out += 1;
        Token { position, source: shard, generation: of.generation }
    }

    fn find(&mut self, token: Token, state: State) -> Option<&mut Slot> {
        if self.shards.get(token.source as usize).is_none_or(|shard| shard.generation != token.generation) {
            return None;
        }
        let slot = self.slots.get_mut(token.position as u32 as usize)?;
        (slot.turn == (token.position >> 32) as u32 && slot.state == state).then_some(slot)
    }

    /// Whether its lease can be prolonged: also while its settlement is on the way, for it may fail.
    pub(super) fn holds(&mut self, token: Token) -> bool {
        self.find(token, State::Out).is_some() || self.find(token, State::Settling).is_some()
    }

    /// Takes what is out to be settled: from now on it cannot be settled a second time.
    pub(super) fn take(&mut self, token: Token) -> Option<Held> {
        let slot = self.find(token, State::Out)?;
        slot.state = State::Settling;
        Some(slot.held)
    }

    /// Its settlement failed, and its lease holds.
    pub(super) fn restore(&mut self, token: Token) {
        if let Some(slot) = self.find(token, State::Settling) {
            slot.state = State::Out;
        }
    }

    /// Its settlement is final.
    pub(super) fn done(&mut self, token: Token) {
        if let Some(slot) = self.find(token, State::Settling) {
            slot.state = State::Free;
            self.free.push(token.position as u32);
            self.shards[token.source as usize].out -= 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_settles_once_and_only_its_own() {
        let mut leases = Leases::new(1, || 7);
        let held = |seq| Held { id: Id { ms: 1, seq }, deliveries: 1 };
        let (one, two) = (leases.insert(0, held(1)), leases.insert(0, held(2)));
        assert_eq!(leases.take(one).unwrap(), held(1));
        assert!(leases.take(one).is_none() && leases.holds(one));
        leases.restore(one);
        assert!(leases.holds(one));
        assert!(leases.take(one).is_some());
        leases.done(one);
        assert!(leases.take(one).is_none() && !leases.holds(one));
        let three = leases.insert(0, held(3));
        assert_eq!(three.position as u32, one.position as u32, "the slot is used again");
        assert!(leases.take(one).is_none(), "an old token settles nothing");
        leases.restore(one);
        leases.done(one);
        assert!(leases.holds(two) && leases.holds(three));
        assert!(leases.take(Token { generation: 8, ..three }).is_none());
        assert_eq!(leases.out(0), 2, "two and three");
        assert_eq!(leases.renew(0, 8), 7);
        assert!(leases.take(three).is_none(), "tokens of a shard that was given up are stale");
    }
}
