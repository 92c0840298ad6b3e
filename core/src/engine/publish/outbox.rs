//! What may be sent now, in issue order.

use std::collections::VecDeque;

/// Slots ordered by issue number. New messages go to the end; those to be sent again find their place.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<(u64, u32)>);

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, seq: u64, slot: u32) {
        if self.0.back().is_none_or(|&(last, _)| last < seq) {
            self.0.push_back((seq, slot));
        } else {
            let place = self.0.partition_point(|&(other, _)| other < seq);
            self.0.insert(place, (seq, slot));
        }
    }

    pub(super) fn front(&self) -> Option<u32> {
        self.0.front().map(|&(_, slot)| slot)
    }

    pub(super) fn pop(&mut self) -> Option<u32> {
        self.0.pop_front().map(|(_, slot)| slot)
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Ok(place) = self.0.binary_search_by_key(&seq, |&(other, _)| other) {
            self.0.remove(place);
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        self.0.retain(|&(_, slot)| keep(slot));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
