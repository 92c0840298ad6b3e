//! Key lanes: of each key at most one delivery at a time; the others wait in line without holding up other keys.
//!
//! A lane is a linked list through the slots, so that waiting costs no allocation; each slot knows its lane, so that a
//! key is hashed once for each delivery.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::Key;

/// This many idle lanes are always kept.
const KEEP_IDLE: usize = 1024;

/// No slot, or no lane.
pub(super) const NIL: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    hasher: DefaultHashBuilder,
    by_key: HashTable<u32>,
    lanes: Vec<Lane>,
    free: Vec<u32>,
    /// The links, one for each slot.
    next: Vec<u32>,
    blocked: u32,
    parked: usize,
    /// Lanes in which nobody is. They are kept, so that a key in steady use costs no insertion.
    idle: usize,
}

#[derive(Debug)]
struct Lane {
    key: Key,
    hash: u64,
    head: u32,
    tail: u32,
    len: u32,
    /// Its head waits for a retry or for its successor: the ones behind it are *parked*.
    blocked: bool,
}

impl Lanes {
    /// Puts the slot in line: its lane, and whether it is at the head and may start.
    pub(super) fn push(&mut self, key: &Key, slot: u32) -> (u32, bool) {
        let index = self.find_or_make(key);
        let lane = &self.lanes[index as usize];
        if lane.len == 0 {
            self.lead(index, slot);
            return (index, true);
        }
        let tail = lane.tail;
        self.link(slot, NIL);
        self.link(tail, slot);
        let lane = &mut self.lanes[index as usize];
        lane.tail = slot;
        lane.len += 1;
        self.parked += usize::from(lane.blocked);
        (index, false)
    }

    /// The lane of this key, when nobody is in it: [`lead`](Self::lead) follows.
    #[inline]
    pub(super) fn enter(&mut self, key: &Key) -> Option<u32> {
        let index = self.find_or_make(key);
        (self.lanes[index as usize].len == 0).then_some(index)
    }

    /// Puts the slot at the head of a lane in which nobody is.
    #[inline]
    pub(super) fn lead(&mut self, index: u32, slot: u32) {
        self.link(slot, NIL);
        let lane = &mut self.lanes[index as usize];
        lane.head = slot;
        lane.tail = slot;
        lane.len = 1;
        self.idle -= 1;
    }

    /// The lane of this key; a new one is idle.
    #[inline]
    fn find_or_make(&mut self, key: &Key) -> u32 {
        let hash = self.hasher.hash_one(key.as_bytes());
        match self.by_key.find(hash, |index| self.lanes[*index as usize].key == *key) {
            Some(&index) => index,
            None => self.make(key, hash),
        }
    }

    fn make(&mut self, key: &Key, hash: u64) -> u32 {
        if self.idle > KEEP_IDLE && self.idle * 2 > self.by_key.len() {
            self.forget_idle();
        }
        let lane = Lane { key: key.clone(), hash, head: NIL, tail: NIL, len: 0, blocked: false };
        let index = match self.free.pop() {
            Some(index) => {
                self.lanes[index as usize] = lane;
                index
            }
            None => {
                self.lanes.push(lane);
                self.lanes.len() as u32 - 1
            }
        };
        let lanes = &self.lanes;
        self.by_key.insert_unique(hash, index, |index| lanes[*index as usize].hash);
        self.idle += 1;
        index
    }

    /// Drops the lanes in which nobody is; done when they are the majority, so each costs O(1).
    fn forget_idle(&mut self) {
        let (lanes, free) = (&self.lanes, &mut self.free);
        self.by_key.retain(|index| {
            let keep = lanes[*index as usize].len > 0;
            if !keep {
                free.push(*index);
            }
            keep
        });
        self.idle = 0;
    }

    #[inline]
    fn link(&mut self, slot: u32, next: u32) {
        let index = slot as usize;
        if index >= self.next.len() {
            self.next.resize(index + 1, NIL);
        }
        self.next[index] = next;
    }

    /// Takes a slot out of its lane, wherever it stands; the new head, if it was the head and another one follows.
    #[inline]
    pub(super) fn remove(&mut self, lane: u32, slot: u32) -> Option<u32> {
        let found = self.lanes.get_mut(lane as usize).filter(|found| found.len > 0)?;
        if found.head != slot {
            self.remove_behind(lane, slot);
            return None;
        }
        if found.blocked {
            found.blocked = false;
            self.blocked -= 1;
            self.parked -= found.len as usize - 1;
        }
        found.len -= 1;
        found.head = self.next[slot as usize];
        if found.len > 0 {
            return Some(found.head);
        }
        self.idle += 1;
        None
    }

    fn remove_behind(&mut self, lane: u32, slot: u32) {
        let mut before = self.lanes[lane as usize].head;
        while self.next[before as usize] != slot {
            before = self.next[before as usize];
            if before == NIL {
                return;
            }
        }
        self.next[before as usize] = self.next[slot as usize];
        let lane = &mut self.lanes[lane as usize];
        if lane.tail == slot {
            lane.tail = before;
        }
        lane.len -= 1;
        self.parked -= usize::from(lane.blocked);
    }

    /// Says whether the head of this lane holds up the ones behind it for longer than a handler runs.
    pub(super) fn set_blocked(&mut self, lane: u32, head: u32, blocked: bool) {
        let Some(lane) = self.lanes.get_mut(lane as usize) else { return };
        if lane.len == 0 || lane.head != head || lane.blocked == blocked {
            return;
        }
        lane.blocked = blocked;
        let behind = lane.len as usize - 1;
        if blocked {
            self.blocked += 1;
            self.parked += behind;
        } else {
            self.blocked -= 1;
            self.parked -= behind;
        }
    }

    /// Everything behind this slot in its lane, the last first: taken out in that order, none becomes the head.
    pub(super) fn behind(&self, lane: u32, slot: u32) -> Vec<u32> {
        let Some(lane) = self.lanes.get(lane as usize).filter(|lane| lane.len > 0) else { return Vec::new() };
        let mut at = lane.head;
        while at != slot {
            if at == NIL {
                return Vec::new();
            }
            at = self.next[at as usize];
        }
        let mut behind = Vec::new();
        at = self.next[slot as usize];
        while at != NIL {
            behind.push(at);
            at = self.next[at as usize];
        }
        behind.reverse();
        behind
    }

    /// Forgets all lanes: every lease is lost.
    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.lanes.clear();
        self.free.clear();
        self.idle = 0;
        self.blocked = 0;
        self.parked = 0;
    }

    /// Keys whose head is blocked.
    pub(super) fn blocked_keys(&self) -> u32 {
        self.blocked
    }

    /// Messages behind blocked heads.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_in_order() {
        let mut lanes = Lanes::default();
        let (a, b) = (Key::from("a"), Key::from("b"));
        let (lane, head) = lanes.push(&a, 3);
        assert!(head);
        assert_eq!(lanes.push(&a, 1), (lane, false));
        assert_eq!(lanes.push(&a, 2), (lane, false));
        let (other, head) = lanes.push(&b, 0);
        assert!(head && other != lane);
        assert_eq!(lanes.remove(lane, 3), Some(1));
        assert_eq!(lanes.remove(lane, 3), None, "no longer in line");
        assert_eq!(lanes.remove(lane, 1), Some(2));
        assert_eq!(lanes.remove(lane, 2), None);
        assert_eq!(lanes.remove(lane, 2), None, "the lane is gone");
        assert_eq!(lanes.push(&a, 3), (lane, true), "its place is used again");
        assert_eq!(lanes.push(&b, 4), (other, false));
    }

    #[test]
    fn parked_counts_what_stands_behind_blocked_heads() {
        let mut lanes = Lanes::default();
        let a = Key::from("a");
        let lane = (0..4).fold(NIL, |_, slot| lanes.push(&a, slot).0);
        lanes.set_blocked(lane, 1, true);
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (0, 0), "only the head blocks");
        lanes.set_blocked(lane, 0, true);
        lanes.set_blocked(lane, 0, true);
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (1, 3));
        lanes.push(&a, 4);
        assert_eq!(lanes.parked(), 4);
        assert_eq!(lanes.remove(lane, 0), Some(1));
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (0, 0));
        lanes.set_blocked(lane, 1, true);
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (1, 3));
        assert_eq!(lanes.behind(lane, 2), [4, 3]);
        assert_eq!(lanes.behind(lane, 4), [0u32; 0]);
        assert_eq!(lanes.behind(lane, 77), [0u32; 0]);
        lanes.set_blocked(lane, 1, false);
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (0, 0));
    }

    #[test]
    fn idle_lanes_are_forgotten_and_those_in_use_are_not() {
        let mut lanes = Lanes::default();
        let (stays, _) = lanes.push(&Key::from("stays"), 0);
        for n in 0..50_000u64 {
            let (lane, head) = lanes.push(&Key::from(n), 1);
            assert!(head && lane != stays);
            lanes.remove(lane, 1);
        }
        assert!(lanes.lanes.len() <= 2 * KEEP_IDLE + 3, "{}", lanes.lanes.len());
        assert_eq!(lanes.enter(&Key::from("stays")), None, "somebody is in it");
        assert_eq!(lanes.remove(stays, 0), None);
        assert_eq!(lanes.enter(&Key::from("stays")), Some(stays));
    }

    #[test]
    fn slots_leave_from_anywhere() {
        let mut lanes = Lanes::default();
        let a = Key::from("a");
        let lane = (0..4).fold(NIL, |_, slot| lanes.push(&a, slot).0);
        lanes.set_blocked(lane, 0, true);
        assert_eq!(lanes.remove(lane, 2), None);
        assert_eq!(lanes.remove(lane, 3), None);
        assert_eq!(lanes.remove(lane, 9), None, "not in line");
        assert_eq!(lanes.parked(), 1);
        lanes.push(&a, 5);
        assert_eq!(lanes.remove(lane, 0), Some(1));
        assert_eq!(lanes.parked(), 0);
        assert_eq!(lanes.remove(lane, 1), Some(5));
        assert_eq!(lanes.remove(lane, 5), None);
        lanes.push(&a, 1);
        lanes.clear();
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (0, 0));
        assert_eq!(lanes.remove(lane, 1), None);
        assert!(lanes.push(&a, 1).1);
    }
}
