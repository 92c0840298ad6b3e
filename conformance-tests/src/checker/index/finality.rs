//! Which settlements are known to be final: a flush that began after them ended without one that was late.

use super::{Index, Settlement};
use crate::history::{Answer, Nanos};

impl Index<'_> {
    pub(super) fn find_final(&mut self) {
        for consumer in self.consumers.values() {
            for at in &consumer.leases {
                let Some(settled) = &mut self.leases[*at].settled else { continue };
                settled.final_at = match settled.answer {
                    Some(Answer::Done) => Some(settled.answered),
                    Some(Answer::Recorded) if settled.late.is_none() => covered(settled, &consumer.flushes),
                    _ => None,
                };
            }
        }
    }
}

/// When the first flush ended that covers a settlement, if it found nothing late.
fn covered(settled: &Settlement, flushes: &[super::consumers::Flush]) -> Option<Nanos> {
    let next = flushes.partition_point(|flush| flush.began < settled.answered);
    let flush = flushes.get(next)?;
    // Which one was late is not always told: then none of them counts.
    if flush.clean { flush.ended } else { None }
}
