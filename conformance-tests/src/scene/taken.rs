//! One delivery in a check's hands.

use std::time::Duration;

use pontoon_core::driver::Settled;
use pontoon_core::engine::{Delivery, Lease};
use pontoon_core::{Attempt, Message, MessageId, ReasonKind, Result};

use super::Reader;
use crate::history::End as Recorded;
use crate::tap::LeaseRecord;

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Done.
    Ack,
    /// Failed, to return after this time or the policy's.
    Retry(Option<Duration>, String),
    /// Given back without fault.
    Release,
    /// Dead-lettered now, in the handler's words.
    Reject(String),
    /// Dead-lettered now, for this reason.
    DeadLetter(ReasonKind, String),
    /// Dropped unsettled.
    Drop,
}

/// A delivery that writes down how it ends. Dropped, it is dropped unsettled.
#[derive(Debug)]
#[must_use = "a delivery dropped unsettled is released"]
pub struct Taken {
    reader: Reader,
    delivery: Option<Delivery>,
    record: LeaseRecord,
    message: Message,
    attempt: Attempt,
}

impl Taken {
    pub(super) fn new(reader: Reader, delivery: Delivery, record: LeaseRecord, attempt: Attempt) -> Self {
        let message = delivery.message().clone();
        Taken { reader, delivery: Some(delivery), record, message, attempt }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.message.id.clone()
    }

    /// The number of its consumer.
    #[must_use]
    pub fn consumer(&self) -> u32 {
        self.reader.number()
    }

    /// Its key as text; empty where it has none.
    #[must_use]
    pub fn key(&self) -> String {
        self.message.key.as_ref().map(|key| key.as_bytes().escape_ascii().to_string()).unwrap_or_default()
    }

    /// Which attempt it is.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// What the broker calls it.
    #[must_use]
    pub fn broker_id(&self) -> Option<pontoon_core::BrokerId> {
        self.delivery.as_ref().map(|delivery| delivery.broker_id().clone())
    }

    /// Its controls, which tell when its lease is lost.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        self.delivery.as_ref().map(Delivery::lease)
    }

    /// The generation of its lease.
    #[must_use]
    pub fn generation(&self) -> Option<u32> {
        self.delivery.as_ref().map(Delivery::generation)
    }

    /// Acknowledges.
    pub fn ack(self) -> Settled {
        self.end(End::Ack)
    }

    /// Fails, with the policy's wait.
    pub fn retry(self) -> Settled {
        self.end(End::Retry(None, "on purpose".into()))
    }

    /// Fails, with this wait.
    pub fn retry_after(self, wait: Duration) -> Settled {
        self.end(End::Retry(Some(wait), "on purpose".into()))
    }

    /// Gives back.
    pub fn release(self) -> Settled {
        self.end(End::Release)
    }

    /// Rejects.
    pub fn reject(self) -> Settled {
        self.end(End::Reject("on purpose".into()))
    }

    /// Ends the delivery in any way.
    pub fn end(mut self, end: End) -> Settled {
        self.do_end(end)
    }

    fn do_end(&mut self, end: End) -> Settled {
        let Some(delivery) = self.delivery.take() else { return Settled::Stale };
        let recorded = match &end {
            End::Ack => Recorded::Ack,
            End::Retry(after, _) => {
                Recorded::Retry { after: after.map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)) }
            }
            End::Release => Recorded::Release,
            End::Reject(_) => Recorded::DeadLetter(ReasonKind::Rejected),
            End::DeadLetter(reason, _) => Recorded::DeadLetter(*reason),
            End::Drop => Recorded::Drop,
        };
        self.record.begin(recorded);
        // A mutant may end it otherwise than the history says: that is the point.
        let answer = match self.reader.scene().defect().end(self.reader.source(), &self.message, end) {
            End::Ack => delivery.ack(),
            End::Retry(after, error) => delivery.retry(after, &error),
            End::Release => delivery.release(),
            End::Reject(words) => delivery.reject(words),
            End::DeadLetter(reason, words) => delivery.dead_letter(reason, words),
            End::Drop => {
                drop(delivery);
                Settled::Recorded
            }
        };
        self.record.settled(answer);
        answer
    }

    /// Acknowledges and waits until that is final.
    ///
    /// # Errors
    /// Of the engine: unsupported, stale, unknown.
    pub async fn ack_confirmed(mut self) -> Result<()> {
        let Some(delivery) = self.delivery.take() else { return Ok(()) };
        self.record.begin(Recorded::Ack);
        self.reader.scene().defect().confirming();
        let ended = delivery.ack_confirmed().await;
        self.record.confirmed(&ended);
        ended
    }

    /// Holds on to nothing and ends nothing: as a process that is killed with the message in its hands.
    pub fn forget(mut self) -> Option<Delivery> {
        self.delivery.take()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.delivery.is_some() {
            let _ = self.do_end(End::Drop);
        }
    }
}
