//! The settle tracker: out-of-order settlements become one position that never passes a hole.

use std::collections::VecDeque;

/// Coalesces settlements for brokers that settle "everything up to here": an acknowledgement with *multiple*, or a
/// committed offset.
///
/// Positions are delivered in ascending order and settled in any; gaps between delivered positions (compacted or
/// control records of a log) do not block. One tracker per source and generation.
#[derive(Debug, Default)]
pub struct PrefixTracker {
    /// Delivered and not yet behind the mark: position, and whether it is settled.
    open: VecDeque<(u64, bool)>,
    /// The last position of the settled prefix.
    mark: Option<u64>,
    /// What was last taken.
    taken: Option<u64>,
    unsettled: usize,
}

/// Why a position was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// Delivered positions must ascend.
    NotAscending,
    /// It was never delivered, or is settled already.
    NotOpen,
}

impl PrefixTracker {
    /// Nothing delivered yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A position was delivered.
    ///
    /// # Errors
    /// [`PrefixError::NotAscending`]: it does not come after the last one; nothing changes.
    pub fn deliver(&mut self, position: u64) -> Result<(), PrefixError> {
        let last = self.open.back().map(|(p, _)| *p).or(self.mark);
        if last.is_some_and(|last| position <= last) {
            return Err(PrefixError::NotAscending);
        }
        self.open.push_back((position, false));
        self.unsettled += 1;
        Ok(())
    }

    /// A delivered position was settled.
    ///
    /// # Errors
    /// [`PrefixError::NotOpen`]: it is not outstanding; nothing changes.
    pub fn settle(&mut self, position: u64) -> Result<(), PrefixError> {
        let at = self.open.binary_search_by_key(&position, |(p, _)| *p).map_err(|_| PrefixError::NotOpen)?;
        let settled = &mut self.open[at].1;
        if *settled {
            return Err(PrefixError::NotOpen);
        }
        *settled = true;
        self.unsettled -= 1;
        while let Some((position, true)) = self.open.front().copied() {
            self.open.pop_front();
            self.mark = Some(position);
        }
        Ok(())
    }

    /// The position up to which everything delivered is settled, if it moved since it was last taken. Only positions
    /// up to this one may be settled at the broker in one go.
    pub fn take(&mut self) -> Option<u64> {
        if self.mark == self.taken {
            return None;
        }
        self.taken = self.mark;
        self.mark
    }

    /// Where a reader would have to start again: the lowest unsettled position, else one past the highest delivered;
    /// `None` when nothing was delivered.
    #[must_use]
    pub fn resume_at(&self) -> Option<u64> {
        self.open.front().map(|(position, _)| *position).or(self.mark.map(|mark| mark + 1))
    }

    /// Delivered and unsettled.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Settled, but behind a hole: they would be delivered again after a restart.
    pub fn settled_behind_hole(&self) -> impl Iterator<Item = u64> {
        self.open.iter().filter(|(_, settled)| *settled).map(|(position, _)| *position)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_mark_waits_at_a_hole() {
        let mut tracker = PrefixTracker::new();
        assert_eq!(tracker.resume_at(), None);
        for position in [3, 4, 7, 9] {
            tracker.deliver(position).unwrap();
        }
        assert_eq!(tracker.deliver(9), Err(PrefixError::NotAscending));
        tracker.settle(4).unwrap();
        tracker.settle(9).unwrap();
        assert_eq!((tracker.take(), tracker.resume_at()), (None, Some(3)));
        assert_eq!(tracker.settled_behind_hole().collect::<Vec<_>>(), [4, 9]);
        tracker.settle(3).unwrap();
        assert_eq!((tracker.take(), tracker.resume_at()), (Some(4), Some(7)));
        assert_eq!(tracker.take(), None, "taken once");
        assert_eq!(tracker.settle(4), Err(PrefixError::NotOpen));
        assert_eq!(tracker.settle(5), Err(PrefixError::NotOpen));
        tracker.settle(7).unwrap();
        assert_eq!((tracker.take(), tracker.resume_at(), tracker.unsettled()), (Some(9), Some(10), 0));
        assert_eq!(tracker.deliver(9), Err(PrefixError::NotAscending));
    }

    proptest! {
        #[test]
        fn never_past_a_hole_and_never_behind_for_nothing(
            gaps in prop::collection::vec(1u64..4, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let positions: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut tracker = PrefixTracker::new();
            for position in &positions {
                tracker.deliver(*position).unwrap();
            }
            let mut open: BTreeSet<u64> = positions.iter().copied().collect();
            let mut taken = None;
            for pick in order {
                let position = *pick.get(&positions);
                prop_assert_eq!(tracker.settle(position).is_ok(), open.remove(&position));
                taken = tracker.take().or(taken);
                let expected = positions.iter().copied().take_while(|p| !open.contains(p)).last();
                prop_assert_eq!(taken, expected);
                prop_assert_eq!(tracker.unsettled(), open.len());
                prop_assert_eq!(tracker.resume_at(), open.first().copied().or(positions.last().map(|p| p + 1)));
            }
        }
    }
}
