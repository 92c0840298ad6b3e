//! A delivery in the application's hands.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::machine::{Handover, Verdict};
use super::shared::Shared;
use super::slots::SlotRef;
use crate::driver::{LateKind, Settled};
use crate::{
    Attempt, BrokerId, Bytes, Capability, Error, ErrorKind, ErrorStatus, Message, ReasonKind, Result, Source, Text,
    bounded_error_text,
};

/// One hand-over of a message, holding a lease until it is settled. Settling consumes it.
///
/// Dropped unsettled, it is released: given back uncounted, at a pace (100 ms, doubling to 5 s for the same message).
#[must_use = "a delivery dropped unsettled is released and comes again"]
pub struct Delivery {
    pub(super) shared: Arc<Shared>,
    pub(super) settled: bool,
    // Whole, as it was handed over: a message is large, and this is the path of every one.
    pub(super) of: Handover,
}

impl Delivery {
    #[inline]
    pub(super) fn new(shared: Arc<Shared>, of: Handover) -> Self {
        Delivery { shared, settled: false, of }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.of.message
    }

    /// Which attempt this is, as a range.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.of.attempt
    }

    /// What the broker calls the message.
    #[must_use]
    pub fn broker_id(&self) -> &BrokerId {
        &self.of.broker_id
    }

    /// Where it was read from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.shared.source
    }

    /// The generation of its lease: newer leases of a message have other ones. Fences effects against a zombie.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.of.generation
    }

    /// The delivery's own controls, for code that handles it but does not settle it.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.shared.leases.fetch_add(1, Ordering::SeqCst);
        Lease { shared: self.shared.clone(), slot: self.of.slot, generation: self.of.generation }
    }

    fn settle(&mut self, verdict: Verdict) -> Settled {
        self.settled = true;
        let message = std::mem::replace(&mut self.of.message, Message::new(Bytes::new()));
        self.shared.settle(self.of.slot, verdict, message, false).0
    }

    /// Done: never again. Recorded at once, final with the next flush.
    pub fn ack(mut self) -> Settled {
        self.settled = true;
        if self.shared.ack(std::iter::once(self.of.slot)) == 0 { Settled::Recorded } else { Settled::Stale }
    }

    /// Acknowledges many at once, which costs less for each; empties the vector, keeping its room. How many of them
    /// were stale: those come again.
    pub fn ack_all(deliveries: &mut Vec<Delivery>) -> usize {
        Self::ack_all_in(deliveries, |delivery| delivery)
    }

    /// The same for values that hold a delivery each.
    pub fn ack_all_in<T>(holders: &mut Vec<T>, delivery: fn(&mut T) -> &mut Delivery) -> usize {
        let mut stale = 0;
        let mut rest = holders.as_mut_slice();
        while let Some(first) = rest.first_mut() {
            let shared = delivery(first).shared.clone();
            let mut of_one = 0;
            while let Some(holder) = rest.get_mut(of_one)
                && Arc::ptr_eq(&delivery(holder).shared, &shared)
            {
                of_one += 1;
            }
            let (these, others) = rest.split_at_mut(of_one);
            stale += shared.ack(these.iter_mut().map(|holder| {
                let delivery = delivery(holder);
                delivery.settled = true;
                delivery.of.slot
            }));
            rest = others;
        }
        holders.clear();
        stale
    }

    /// Done, and waits until the broker has it for good. Costs a round trip of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where *ack confirmed* is absent: nothing is settled then, and the message comes again.
    /// [`ErrorKind::Stale`] when the lease was lost; [`ErrorKind::Connection`] with status unknown when the connection
    /// was lost before the answer.
    pub async fn ack_confirmed(mut self) -> Result<()> {
        if !self.shared.confirms_acks {
            let missing = Capability::AckConfirmed;
            return Err(Error::new(ErrorKind::Unsupported, "acknowledge", format!("`{missing}` is absent"))
                .with("channel", &self.shared.source)
                .with("capability", missing)
                .with_help("use `ack()`, and `flush()` where it matters"));
        }
        self.settled = true;
        let message = std::mem::replace(&mut self.of.message, Message::new(Bytes::new()));
        let (settled, number) = self.shared.settle(self.of.slot, Verdict::Ack, message, true);
        let stale = || {
            Error::new(ErrorKind::Stale, "acknowledge", "the lease was lost before the acknowledgement")
                .with("channel", &self.shared.source)
                .with_help("the message is delivered again; make its effects repeatable or fence them by generation")
        };
        if settled == Settled::Stale {
            self.shared.core().machine.unwatch(number);
            return Err(stale());
        }
        self.shared.flushed(number).await;
        match self.shared.core().machine.unwatch(number) {
            None => Ok(()),
            Some(LateKind::Stale) => Err(stale()),
            Some(LateKind::Failed(error) | LateKind::Unknown(error)) => Err(error.with_status(ErrorStatus::Unknown)),
        }
    }

    /// Failed: counts, and comes again after the policy's wait, or the one given; beyond the policy's attempts it is
    /// dead-lettered as `max-attempts`.
    pub fn retry(mut self, after: Option<Duration>, error: &str) -> Settled {
        self.settle(Verdict::Retry { after, error: bounded_error_text(error) })
    }

    /// Given back without fault: uncounted where the profile can, and paced.
    pub fn release(mut self) -> Settled {
        self.settle(Verdict::Release)
    }

    /// Dead-lettered now, with the handler's reason.
    pub fn reject(mut self, reason: impl AsRef<str>) -> Settled {
        let error = bounded_error_text(reason.as_ref());
        self.settle(Verdict::DeadLetter { reason: ReasonKind::Rejected, error })
    }

    /// Dead-lettered now, for a reason of this kind.
    pub fn dead_letter(mut self, reason: ReasonKind, error: impl Into<Text>) -> Settled {
        let error = bounded_error_text(&error.into());
        self.settle(Verdict::DeadLetter { reason, error })
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.settled {
            let _ = self.settle(Verdict::Release);
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("source", &self.shared.source.to_string())
            .field("id", &self.message().id)
            .field("attempt", &self.of.attempt)
            .field("generation", &self.of.generation)
            .finish()
    }
}

/// A delivery's own controls: to prolong its lease, and to learn that it is lost.
pub struct Lease {
    shared: Arc<Shared>,
    slot: SlotRef,
    generation: u32,
}

impl Lease {
    /// Prolongs the lease to at least this long from now. The engine extends leases of running deliveries by itself;
    /// this is for one long step that must not be interrupted. Where leases last as long as the connection there is
    /// nothing to prolong, and the answer is the same.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where leases end and *lease extension* is absent: the handler must be done in time.
    pub fn extend(&self, by: Duration) -> Result<Settled> {
        let now = self.shared.clock.now();
        let mut core = self.shared.core();
        if !core.machine.can_extend() {
            drop(core);
            let missing = Capability::LeaseExtension;
            return Err(Error::new(ErrorKind::Unsupported, "extend lease", format!("`{missing}` is absent"))
                .with("channel", &self.shared.source)
                .with("capability", missing)
                .with_help("be done before the lease ends, or choose a profile with longer leases"));
        }
        let answer = core.machine.extend(self.slot, by, now);
        let stale = core.apply().stale > 0;
        let after = core.aftermath(0);
        drop(core);
        self.shared.after(after);
        Ok(if stale { Settled::Stale } else { answer })
    }

    /// Whether the lease is over: lost, or the delivery settled.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.shared.core().machine.is_lost(self.slot)
    }

    /// Ends when the lease is over: lost, or the delivery settled.
    pub async fn lost(&self) {
        loop {
            let lost = self.shared.lost.notified();
            if self.is_lost() {
                return;
            }
            lost.await;
        }
    }

    /// The generation of the lease.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.shared.leases.fetch_add(1, Ordering::SeqCst);
        Lease { shared: self.shared.clone(), slot: self.slot, generation: self.generation }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.leases.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("generation", &self.generation).finish()
    }
}
