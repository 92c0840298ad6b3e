//! Which settlements are known to be final: a flush that began after them ended without one that was late.

use super::consumers::Flush;
use super::{Index, Settlement};
use crate::history::{Answer, End, Nanos};

impl Index<'_> {
    pub(super) fn find_final(&mut self) {
        for consumer in self.consumers.values() {
            for at in &consumer.leases {
                let Some(settled) = &mut self.leases[*at].settled else { continue };
                settled.final_at = match (settled.answer, settled.end) {
                    (Some(Answer::Done), _) => Some(settled.answered),
                    // What is given back, tried again or dead-lettered may wait in the client, whatever a flush says.
                    (Some(Answer::Recorded), End::Ack) if settled.late.is_none() => covered(settled, &consumer.flushes),
                    _ => None,
                };
            }
        }
    }
}

/// When the first flush ended that covers an acknowledgement, if neither it nor one that ended since the call found
/// anything late: which settlement was late is not always told, and then none of them counts. A flush that began and ended
/// before the answer was written down may have covered it as well: what calls is slower than what settles, at times.
fn covered(settled: &Settlement, flushes: &[Flush]) -> Option<Nanos> {
    let next = flushes.partition_point(|flush| flush.began < settled.answer_event);
    let meanwhile = flushes[..next].iter().rev().take_while(|flush| flush.ended_event > settled.call_event);
    let flush = flushes.get(next).filter(|flush| flush.clean)?;
    if meanwhile.into_iter().all(|flush| flush.clean) { flush.ended } else { None }
}
