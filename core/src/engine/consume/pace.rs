//! Paces the releases of one message, so that a message nobody wants does not spin.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use super::ReleasePace;
use crate::MessageId;

/// The most messages whose releases are remembered; the oldest is forgotten first, and then starts at the first wait.
const REMEMBERED: usize = 4096;

#[derive(Debug)]
pub(super) struct Pacer {
    pace: ReleasePace,
    releases: HashMap<MessageId, u32>,
    oldest: VecDeque<MessageId>,
}

impl Pacer {
    pub(super) fn new(pace: ReleasePace) -> Self {
        Pacer { pace, releases: HashMap::new(), oldest: VecDeque::new() }
    }

    /// The message is released: how long it must wait.
    pub(super) fn released(&mut self, id: &MessageId) -> Duration {
        let before = match self.releases.get_mut(id) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count - 1
            }
            None => {
                if self.oldest.len() == REMEMBERED
                    && let Some(forgotten) = self.oldest.pop_front()
                {
                    self.releases.remove(&forgotten);
                }
                self.releases.insert(id.clone(), 1);
                self.oldest.push_back(id.clone());
                0
            }
        };
        self.pace.first.saturating_mul(1 << before.min(31)).min(self.pace.cap)
    }

    /// The message is settled: its count is of no more use. Free when nothing is remembered.
    #[inline]
    pub(super) fn settled(&mut self, id: &MessageId) {
        if !self.releases.is_empty() && self.releases.remove(id).is_some() {
            self.oldest.retain(|other| other != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_cap_and_start_anew_when_settled() {
        let mut pacer = Pacer::new(ReleasePace::default());
        let (a, b) = (MessageId::from("a"), MessageId::from("b"));
        let waits: Vec<u128> = (0..8).map(|_| pacer.released(&a).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pacer.released(&b).as_millis(), 100);
        pacer.settled(&a);
        assert_eq!(pacer.oldest.iter().collect::<Vec<_>>(), [&b], "only the settled one is forgotten");
        assert_eq!(pacer.released(&a).as_millis(), 100);
        assert_eq!(pacer.released(&b).as_millis(), 200);
    }

    #[test]
    fn memory_is_bounded() {
        let mut pacer = Pacer::new(ReleasePace::default());
        for n in 0..REMEMBERED + 10 {
            pacer.released(&MessageId::from_u128(n as u128 + 1));
        }
        assert_eq!(pacer.releases.len(), REMEMBERED);
        assert_eq!(pacer.oldest.len(), REMEMBERED);
        assert_eq!(pacer.released(&MessageId::from_u128(1)).as_millis(), 100, "forgotten");
        assert_eq!(pacer.released(&MessageId::from_u128(4000)).as_millis(), 200, "remembered");
    }
}
