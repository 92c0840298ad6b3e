//! Deliveries that were taken together.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::delivery::Delivery;
use super::machine::Handover;
use super::shared::Shared;
use super::slots::SlotRef;
use crate::Attempt;
use crate::driver::Incoming;

/// Deliveries that were taken together, each made when it is asked for: they are large, and so move once. Those that
/// nobody asks for are released when the batch is dropped.
pub struct Batch {
    pub(super) shared: Arc<Shared>,
    /// Those that had been ready.
    pub(super) ready: VecDeque<Delivery>,
    /// As they arrived; each has its name beside it, unless it was kept for later.
    pub(super) arrived: VecDeque<Incoming>,
    pub(super) names: VecDeque<Option<(SlotRef, Attempt)>>,
    /// How many there are.
    pub(super) len: usize,
}

impl Batch {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let (arrived, names) = shared.spare();
        Batch { shared: shared.clone(), ready: VecDeque::new(), arrived, names, len: 0 }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Iterator for Batch {
    type Item = Delivery;

    #[inline]
    fn next(&mut self) -> Option<Delivery> {
        if !self.ready.is_empty() {
            self.len -= 1;
            return self.ready.pop_front();
        }
        loop {
            let name = self.names.pop_front()?;
            let Some((slot, attempt)) = name else {
                self.arrived.pop_front();
                continue;
            };
            let incoming = self.arrived.pop_front()?;
            self.len -= 1;
            return Some(Delivery {
                shared: self.shared.clone(),
                settled: false,
                of: Handover {
                    slot,
                    message: incoming.message,
                    attempt,
                    broker_id: incoming.broker_id,
                    generation: incoming.token.generation,
                },
            });
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        while self.next().is_some() {}
        let room = (std::mem::take(&mut self.arrived), std::mem::take(&mut self.names));
        self.shared.return_spare(room);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len).finish()
    }
}
