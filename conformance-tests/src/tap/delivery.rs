//! A delivery whose settlement is written down.

use std::sync::Arc;
use std::time::Duration;

use pontoon_core::driver::Settled;
use pontoon_core::engine::{Delivery, Lease};
use pontoon_core::{ErrorKind, Message, ReasonKind, Result};

use super::hook::ConsumerHook;
use super::{Run, broker_name, key_name};
use crate::history::{
    Answer, Delivery as Delivered, End, LeaseId, Nanos, Payload, PublishId, Seen, SourceName, What, hash_of,
    headers_hash,
};

/// One delivery of a run. Settling it consumes it; dropped unsettled it is released, which is recorded too.
#[must_use = "a delivery dropped unsettled is released and comes again"]
pub struct TappedDelivery {
    run: Run,
    hook: Arc<ConsumerHook>,
    /// `None` when it is settled.
    inner: Option<Delivery>,
    lease: LeaseId,
    id: Option<PublishId>,
    message: String,
}

impl TappedDelivery {
    pub(super) fn handed_out(
        run: &Run,
        consumer: u32,
        source: &SourceName,
        hook: Arc<ConsumerHook>,
        delivery: Delivery,
    ) -> Self {
        let lease = run.recorder().next_lease();
        let message = delivery.message();
        let id = match Payload::read(run.number(), message) {
            Seen::Ours(id) | Seen::Corrupt(id) => Some(id),
            Seen::Foreign => None,
        };
        let name = message.id.to_string();
        run.recorder().record(What::Deliver(Box::new(Delivered {
            lease,
            source: source.clone(),
            consumer,
            id,
            message: name.as_str().into(),
            key: key_name(message.key.as_ref()),
            hash: hash_of(&message.body),
            headers: headers_hash(&message.headers),
            at_least: delivery.attempt().at_least,
            at_most: delivery.attempt().at_most,
            broker_id: broker_name(delivery.broker_id()),
            position: None,
            maybe_duplicate: message.history().maybe_duplicate,
        })));
        hook.handed_out(&name, lease, delivery.attempt().at_least);
        TappedDelivery { run: run.clone(), hook, inner: Some(delivery), lease, id, message: name }
    }

    /// The name of its lease in the history.
    #[must_use]
    pub fn lease_id(&self) -> LeaseId {
        self.lease
    }

    /// Which message of the run it is; `None` when it is none.
    #[must_use]
    pub fn id(&self) -> Option<PublishId> {
        self.id
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
            self.run.recorder().record(What::Extended { lease: self.lease, by: nanos(by) });
        }
        answer
    }

    /// Its own controls.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.inner().lease()
    }

    /// Records that it is about to be settled.
    fn begin(&mut self, end: End) -> Option<Delivery> {
        let delivery = self.inner.take()?;
        self.run.recorder().record(What::Settle { lease: self.lease, end });
        self.hook.settling(&self.message, self.lease, end);
        Some(delivery)
    }

    fn answered(&self, answer: Answer) {
        self.hook.settled(&self.message, self.lease, answer == Answer::Recorded);
        self.run.recorder().record(What::Settled { lease: self.lease, answer });
    }

    fn settle(&mut self, end: End, how: impl FnOnce(Delivery) -> Settled) -> Settled {
        let Some(delivery) = self.begin(end) else { return Settled::Stale };
        let settled = how(delivery);
        self.answered(if settled == Settled::Recorded { Answer::Recorded } else { Answer::Stale });
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
        let Some(delivery) = self.begin(End::Ack) else { return Ok(()) };
        let result = delivery.ack_confirmed().await;
        self.answered(match &result {
            Ok(()) => Answer::Done,
            Err(error) if error.kind() == ErrorKind::Unsupported => Answer::Refused,
            Err(error) if error.kind() == ErrorKind::Stale => Answer::Stale,
            Err(_) => Answer::Unknown,
        });
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
        f.debug_struct("TappedDelivery").field("lease", &self.lease).field("id", &self.id).finish()
    }
}

fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}
