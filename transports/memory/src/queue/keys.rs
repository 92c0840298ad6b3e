//! The keys of an ordered queue: who holds each, and what waits behind it.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::hash_table::HashTable;
use pontoon_core::Key;

use super::slab::{List, NONE};

/// This many idle keys are always kept: a key in steady use then costs no insertion.
const KEEP_IDLE: usize = 1024;

/// One key in use.
#[derive(Debug)]
pub(super) struct KeyState {
    key: Key,
    hash: u64,
    /// Messages stored under this key, wherever they are.
    refs: u32,
    /// What waits, by sequence.
    pub(super) waiting: List,
    /// How many are out.
    pub(super) out: u32,
    /// Who has them, while some are out.
    pub(super) holder: u32,
    /// Whether the key stands in the queue of ready ones.
    pub(super) queued: bool,
    /// In whose own queue the key stands, if in any.
    pub(super) laned_to: u32,
}

#[derive(Debug)]
pub(super) struct Keys {
    table: HashTable<u32>,
    states: Vec<KeyState>,
    free: Vec<u32>,
    idle: usize,
    hasher: hashbrown::DefaultHashBuilder,
    seed: u64,
}

impl Keys {
    pub(super) fn new(seed: u64) -> Self {
        Keys {
            table: HashTable::new(),
            states: Vec::new(),
            free: Vec::new(),
            idle: 0,
            hasher: hashbrown::DefaultHashBuilder::default(),
            seed,
        }
    }

    /// The number of this key, with one more message under it.
    pub(super) fn enter(&mut self, key: &Key) -> u32 {
        // Keys come from outside: the seed of this queue, from the operating system, keeps their collisions unknown.
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(self.seed);
        key.hash(&mut hasher);
        let hash = hasher.finish();
        let states = &mut self.states;
        if let Some(&at) = self.table.find(hash, |&at| {
            let state = &states[at as usize];
            state.hash == hash && state.key == *key
        }) {
            let state = &mut states[at as usize];
            self.idle -= usize::from(state.refs == 0);
            state.refs += 1;
            return at;
        }
        let state = KeyState {
            key: key.clone(),
            hash,
            refs: 1,
            waiting: List::EMPTY,
            out: 0,
            holder: NONE,
            queued: false,
            laned_to: NONE,
        };
        let at = match self.free.pop() {
            Some(at) => {
                states[at as usize] = state;
                at
            }
            None => {
                states.push(state);
                (states.len() - 1) as u32
            }
        };
        self.table.insert_unique(hash, at, |&at| states[at as usize].hash);
        at
    }

    /// One message less under this key.
    pub(super) fn leave(&mut self, at: u32) {
        let state = &mut self.states[at as usize];
        state.refs -= 1;
        if state.refs == 0 {
            self.idle += 1;
            if self.idle > KEEP_IDLE && self.idle * 2 > self.table.len() {
                self.forget_idle();
            }
        }
    }

    /// Drops the idle keys; done when they are the majority, so each costs O(1). A number that still stands in some
    /// queue of ready keys may come to mean another key: harmless, since it is looked at again when it is taken.
    fn forget_idle(&mut self) {
        let (states, free) = (&self.states, &mut self.free);
        self.table.retain(|&mut at| {
            let keep = states[at as usize].refs > 0;
            if !keep {
                free.push(at);
            }
            keep
        });
        self.idle = 0;
        if self.table.is_empty() {
            self.table = HashTable::new();
            self.states = Vec::new();
            self.free = Vec::new();
        }
    }

    pub(super) fn get(&self, at: u32) -> Option<&KeyState> {
        self.states.get(at as usize)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut KeyState> {
        self.states.get_mut(at as usize)
    }

    pub(super) fn at_mut(&mut self, at: u32) -> &mut KeyState {
        &mut self.states[at as usize]
    }

    /// Keys remembered, in use or idle.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.states.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_keys_are_forgotten_and_keys_in_use_are_not() {
        let mut keys = Keys::new(1);
        let stays = keys.enter(&Key::from("stays"));
        for n in 0..100_000u64 {
            let at = keys.enter(&Key::from(n));
            assert_ne!(at, stays);
            keys.leave(at);
        }
        assert!(keys.remembered() <= 2 * KEEP_IDLE + 2, "{}", keys.remembered());
        assert_eq!(keys.enter(&Key::from("stays")), stays);
    }

    #[test]
    fn keys_that_differ_are_never_confused() {
        let mut keys = Keys::new(2);
        let mut numbers: Vec<u32> = (0..5_000u64).map(|n| keys.enter(&Key::from(n))).collect();
        for n in 0..5_000u64 {
            assert_eq!(keys.enter(&Key::from(n)), numbers[n as usize]);
        }
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 5_000);
    }
}
