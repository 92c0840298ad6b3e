//! Key lanes: of each key at most one delivery at a time; the others wait in line without holding up other keys.
//!
//! A lane is a linked list through the slots, so that waiting costs no allocation.

use hashbrown::HashMap;

use crate::Key;

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<Key, Lane>,
    blocked: u32,
    parked: usize,
}

#[derive(Debug)]
struct Lane {
    head: u32,
    tail: u32,
    len: u32,
    /// Its head waits for a retry or for its successor: the ones behind it are *parked*.
    blocked: bool,
}

/// The links, one for each slot.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<u32>);

impl Links {
    fn next(&self, slot: u32) -> u32 {
        self.0.get(slot as usize).copied().unwrap_or(NIL)
    }
    fn set(&mut self, slot: u32, next: u32) {
        let index = slot as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, NIL);
        }
        self.0[index] = next;
    }
}

impl Lanes {
    /// Puts the slot in line; says whether it is at the head and may start.
    pub(super) fn push(&mut self, key: &Key, slot: u32, links: &mut Links) -> bool {
        links.set(slot, NIL);
        if let Some(lane) = self.lanes.get_mut(key) {
            links.set(lane.tail, slot);
            lane.tail = slot;
            lane.len += 1;
            self.parked += usize::from(lane.blocked);
            false
        } else {
            self.lanes.insert(key.clone(), Lane { head: slot, tail: slot, len: 1, blocked: false });
            true
        }
    }

    /// The head is done: the next in line, which is the new head and may start.
    pub(super) fn pop(&mut self, key: &Key, slot: u32, links: &Links) -> Option<u32> {
        self.set_blocked(key, slot, false);
        let lane = self.lanes.get_mut(key)?;
        if lane.head != slot {
            return None;
        }
        let next = links.next(slot);
        if next == NIL {
            self.lanes.remove(key);
            None
        } else {
            lane.head = next;
            lane.len -= 1;
            Some(next)
        }
    }

    /// Says whether the head of this lane holds up the ones behind it for longer than a handler runs.
    pub(super) fn set_blocked(&mut self, key: &Key, head: u32, blocked: bool) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.head != head || lane.blocked == blocked {
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
    pub(super) fn behind(&self, key: &Key, slot: u32, links: &Links) -> Vec<u32> {
        let Some(lane) = self.lanes.get(key) else { return Vec::new() };
        let mut at = lane.head;
        while at != slot {
            if at == NIL {
                return Vec::new();
            }
            at = links.next(at);
        }
        let mut behind = Vec::new();
        at = links.next(slot);
        while at != NIL {
            behind.push(at);
            at = links.next(at);
        }
        behind.reverse();
        behind
    }

    /// Takes a slot out of line, wherever it stands; the new head, if it was the head.
    pub(super) fn remove(&mut self, key: &Key, slot: u32, links: &mut Links) -> Option<u32> {
        let lane = self.lanes.get_mut(key)?;
        if lane.head == slot {
            return self.pop(key, slot, links);
        }
        let mut before = lane.head;
        while links.next(before) != slot {
            before = links.next(before);
            if before == NIL {
                return None;
            }
        }
        links.set(before, links.next(slot));
        if lane.tail == slot {
            lane.tail = before;
        }
        lane.len -= 1;
        self.parked -= usize::from(lane.blocked);
        None
    }

    /// Forgets all lanes: every lease is lost.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
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
        let (mut lanes, mut links) = (Lanes::default(), Links::default());
        let (a, b) = (Key::from("a"), Key::from("b"));
        assert!(lanes.push(&a, 3, &mut links));
        assert!(!lanes.push(&a, 1, &mut links));
        assert!(!lanes.push(&a, 2, &mut links));
        assert!(lanes.push(&b, 0, &mut links));
        assert_eq!(lanes.pop(&a, 3, &links), Some(1));
        assert_eq!(lanes.pop(&a, 3, &links), None, "no longer the head");
        assert_eq!(lanes.pop(&a, 1, &links), Some(2));
        assert_eq!(lanes.pop(&a, 2, &links), None);
        assert!(lanes.push(&a, 3, &mut links), "an empty lane is gone");
    }

    #[test]
    fn parked_counts_what_stands_behind_blocked_heads() {
        let (mut lanes, mut links) = (Lanes::default(), Links::default());
        let a = Key::from("a");
        for slot in 0..4 {
            lanes.push(&a, slot, &mut links);
        }
        lanes.set_blocked(&a, 1, true);
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (0, 0), "only the head blocks");
        lanes.set_blocked(&a, 0, true);
        lanes.set_blocked(&a, 0, true);
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (1, 3));
        lanes.push(&a, 4, &mut links);
        assert_eq!(lanes.parked(), 4);
        assert_eq!(lanes.pop(&a, 0, &links), Some(1));
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (0, 0));
        lanes.set_blocked(&a, 1, true);
        assert_eq!((lanes.blocked_keys(), lanes.parked()), (1, 3));
        assert_eq!(lanes.behind(&a, 2, &links), [4, 3]);
        assert_eq!(lanes.behind(&a, 4, &links), [0u32; 0]);
        assert_eq!(lanes.behind(&a, 77, &links), [0u32; 0]);
    }

    #[test]
    fn slots_leave_from_anywhere() {
        let (mut lanes, mut links) = (Lanes::default(), Links::default());
        let a = Key::from("a");
        for slot in 0..4 {
            lanes.push(&a, slot, &mut links);
        }
        lanes.set_blocked(&a, 0, true);
        assert_eq!(lanes.remove(&a, 2, &mut links), None);
        assert_eq!(lanes.remove(&a, 3, &mut links), None);
        assert_eq!(lanes.remove(&a, 9, &mut links), None, "not in line");
        assert_eq!(lanes.parked(), 1);
        lanes.push(&a, 5, &mut links);
        assert_eq!(lanes.remove(&a, 0, &mut links), Some(1));
        assert_eq!(lanes.parked(), 0);
        assert_eq!(lanes.pop(&a, 1, &links), Some(5));
        assert_eq!(lanes.pop(&a, 5, &links), None);
    }
}
