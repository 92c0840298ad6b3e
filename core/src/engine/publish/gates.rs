//! The key gate: which messages wait behind an earlier one of their key.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::Key;

/// One key whose later messages wait.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Messages of the key that were let out and are unresolved.
    pub out: usize,
    /// Those that wait, in issue order: issue number and slot.
    waiting: VecDeque<(u64, u32)>,
    /// Closed by a failure that is being decided; its counts are not complete yet.
    pub fresh: bool,
}

impl Gate {
    /// Forgets what is out and what waits, until both are counted anew.
    pub(super) fn count_anew(&mut self) {
        *self = Gate { fresh: true, ..Gate::default() };
    }

    pub(super) fn wait(&mut self, seq: u64, slot: u32) {
        let place = self.waiting.partition_point(|&(other, _)| other < seq);
        self.waiting.insert(place, (seq, slot));
    }

    pub(super) fn front(&self) -> Option<(u64, u32)> {
        self.waiting.front().copied()
    }

    pub(super) fn pop(&mut self) {
        self.waiting.pop_front();
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Ok(place) = self.waiting.binary_search_by_key(&seq, |&(other, _)| other) {
            self.waiting.remove(place);
        }
    }

    /// Those issued before this number.
    pub(super) fn before(&self, seq: u64) -> impl Iterator<Item = u32> + '_ {
        self.waiting.iter().take_while(move |&&(other, _)| other < seq).map(|&(_, slot)| slot)
    }
}

/// How keys are kept in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gating {
    /// Not at all: the channel is unordered.
    None,
    /// Messages of a key are pipelined; when one fails, the profile lets none after it in the same pipeline succeed.
    /// A gate exists only while a message of the key waits to be sent again.
    AfterFailure,
    /// Of each key one is unresolved at a time. A gate exists for every key that is under way.
    OneAtATime,
}

/// All gates.
#[derive(Debug)]
pub(super) struct Gates {
    pub mode: Gating,
    map: HashMap<Key, Gate>,
}

impl Gates {
    pub(super) fn new(mode: Gating) -> Self {
        Gates { mode, map: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<&mut Gate> {
        self.map.get_mut(key)
    }

    pub(super) fn get_or_make(&mut self, key: &Key) -> &mut Gate {
        self.map.entry_ref(key).or_insert_with(|| Gate { out: 0, waiting: VecDeque::new(), fresh: true })
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.map.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.map.clear();
    }
}
