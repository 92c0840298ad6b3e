//! A delivery whose settlement is written down.

use std::time::Duration;

use pontoon_core::driver::Settled;
use pontoon_core::engine::{Delivery, Lease};
use pontoon_core::{Message, ReasonKind, Result};

use super::publishing::nanos;
use super::{ConsumerRecord, LeaseRecord};
use crate::history::{End, LeaseId, PublishId};

/// One delivery of a run. Settling it consumes it; dropped unsettled it is released, which is recorded too.
#[must_use = "a delivery dropped unsettled is released and comes again"]
pub struct TappedDelivery {
    /// `None` when it is settled.
    inner: Option<Delivery>,
    record: LeaseRecord,
}

impl TappedDelivery {
    pub(super) fn handed_out(consumer: &ConsumerRecord, delivery: Delivery) -> Self {
        let record = consumer.handed_out(&delivery, delivery.attempt());
        TappedDelivery { inner: Some(delivery), record }
    }

    /// The name of its lease in the history.
    #[must_use]
    pub fn lease_id(&self) -> LeaseId {
        self.record.lease()
    }

    /// Which message of the run it is; `None` when it is none.
    #[must_use]
    pub fn id(&self) -> Option<PublishId> {
        self.record.id()
    }

    /// The delivery beneath.
    ///
    /// # Panics
    /// Never: settling consumes `self`.
    pub fn inner(&self) -> &Delivery {
        self.inner.as_ref().expect("settling consumes the delivery")
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        self.inner().message()
    }

    /// Prolongs the lease, which is recorded where it was accepted.
    pub fn extend(&self, by: Duration) -> pontoon::Result<Settled> {
        let answer = self.inner().lease().extend(by);
        if matches!(answer, Ok(Settled::Recorded)) {
            self.record.extended(by);
        }
        answer
    }

    /// Its own controls.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.inner().lease()
    }

    fn settle(&mut self, end: End, how: impl FnOnce(Delivery) -> Settled) -> Settled {
        let Some(delivery) = self.inner.take() else { return Settled::Stale };
        self.record.begin(end);
        let settled = how(delivery);
        self.record.settled(settled);
        settled
    }

    /// As [`Delivery::ack`].
    pub fn ack(mut self) -> Settled {
        self.settle(End::Ack, Delivery::ack)
    }

    /// As [`Delivery::ack_confirmed`].
    ///
    /// # Errors
    /// As [`Delivery::ack_confirmed`].
    pub async fn ack_confirmed(mut self) -> Result<()> {
        let Some(delivery) = self.inner.take() else { return Ok(()) };
        self.record.begin(End::Ack);
        let result = delivery.ack_confirmed().await;
        self.record.confirmed(&result);
        result
    }

    /// As [`Delivery::retry`].
    pub fn retry(mut self, after: Option<Duration>, error: &str) -> Settled {
        self.settle(End::Retry { after: after.map(nanos) }, |delivery| delivery.retry(after, error))
    }

    /// As [`Delivery::release`].
    pub fn release(mut self) -> Settled {
        self.settle(End::Release, Delivery::release)
    }

    /// As [`Delivery::reject`].
    pub fn reject(mut self, reason: &str) -> Settled {
        self.settle(End::DeadLetter(ReasonKind::Rejected), |delivery| delivery.reject(reason))
    }

    /// As [`Delivery::dead_letter`].
    pub fn dead_letter(mut self, reason: ReasonKind, error: &str) -> Settled {
        self.settle(End::DeadLetter(reason), |delivery| delivery.dead_letter(reason, error))
    }
}

impl Drop for TappedDelivery {
    fn drop(&mut self) {
        if self.inner.is_some() {
            let _ = self.settle(End::Drop, |delivery| {
                // Dropping has no answer of its own.
                let lost = delivery.lease().is_lost();
                drop(delivery);
                if lost { Settled::Stale } else { Settled::Recorded }
            });
        }
    }
}

impl std::fmt::Debug for TappedDelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TappedDelivery").field("record", &self.record).finish()
    }
}
