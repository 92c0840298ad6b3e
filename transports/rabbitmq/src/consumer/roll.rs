//! The members of a source that are known: who was heard, and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a member says that it is there.
pub(super) const ROUND: Duration = Duration::from_secs(1);
/// One that was not heard for so long is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// What one member knows of the others.
#[derive(Debug)]
pub(super) struct Roll {
    me: u64,
    heard: BTreeMap<u64, Instant>,
}

impl Roll {
    pub(super) fn new(me: u64) -> Self {
        Roll { me, heard: BTreeMap::new() }
    }

    /// A member said that it is there; whether it was not known.
    pub(super) fn here(&mut self, member: u64, now: Instant) -> bool {
        member != self.me && self.heard.insert(member, now).is_none()
    }

    /// A member said that it leaves.
    pub(super) fn gone(&mut self, member: u64) {
        self.heard.remove(&member);
    }

    /// Forgets those who are silent.
    pub(super) fn forget_silent(&mut self, now: Instant) {
        self.heard.retain(|_, heard| now.saturating_duration_since(*heard) < SILENCE);
    }

    /// All members, this one among them.
    pub(super) fn members(&self) -> Vec<u64> {
        let mut members: Vec<u64> = self.heard.keys().copied().collect();
        members.push(self.me);
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_until_it_leaves_or_is_silent() {
        let (mut roll, start) = (Roll::new(1), Instant::now());
        assert!(!roll.here(1, start), "its own words come back");
        assert!(roll.here(2, start) && roll.here(3, start) && !roll.here(3, start + ROUND));
        assert_eq!(roll.members(), [2, 3, 1]);
        roll.forget_silent(start + SILENCE);
        assert_eq!(roll.members(), [3, 1]);
        roll.gone(3);
        roll.gone(3);
        assert_eq!(roll.members(), [1]);
    }
}
