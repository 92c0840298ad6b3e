//! What one consumer does, written down: what it takes, how that ends, what is final.

use std::sync::Arc;

use pontoon_core::driver::Settled;
use pontoon_core::engine::Delivery;
use pontoon_core::{Attempt, ErrorKind, Result, Source};

use super::hook::ConsumerHook;
use super::{Run, broker_name, key_name};
use crate::history::{
    Answer, Delivery as Delivered, End, Handle, LeaseId, Payload, PublishId, Seen, SourceName, Subscribe, What,
    hash_of, headers_hash,
};

/// The record of one consumer.
#[derive(Clone)]
pub(crate) struct ConsumerRecord {
    run: Run,
    number: u32,
    source: SourceName,
    hook: Arc<ConsumerHook>,
}

impl ConsumerRecord {
    /// Of a consumer that is about to be opened.
    pub(crate) fn new(run: &Run, number: u32, source: &Source) -> Self {
        let hook = Arc::new(ConsumerHook::new(run.recorder().clone(), number));
        ConsumerRecord { run: run.clone(), number, source: SourceName::from(source), hook }
    }

    /// What hears the engine's events for it.
    pub(crate) fn hook(&self) -> Arc<ConsumerHook> {
        self.hook.clone()
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn source(&self) -> &SourceName {
        &self.source
    }

    /// It is open, and holds at most so many unsettled deliveries.
    pub(crate) fn opened(&self, prefetch: Option<u64>) {
        let subscribe = Subscribe { consumer: self.number, source: self.source.clone(), prefetch };
        self.run.recorder().record(What::Subscribe(subscribe));
        self.run.recorder().record(What::Connected { handle: Handle::Consumer(self.number) });
    }

    /// A delivery came, as this attempt.
    pub(crate) fn handed_out(&self, delivery: &Delivery, attempt: Attempt) -> LeaseRecord {
        let lease = self.run.recorder().next_lease();
        let message = delivery.message();
        let id = match Payload::read(self.run.number(), message) {
            Seen::Ours(id) | Seen::Corrupt(id) => Some(id),
            Seen::Foreign => None,
        };
        let name = message.id.to_string();
        self.run.recorder().record(What::Deliver(Box::new(Delivered {
            lease,
            source: self.source.clone(),
            consumer: self.number,
            id,
            message: name.as_str().into(),
            key: key_name(message.key.as_ref()),
            hash: hash_of(&message.body),
            headers: headers_hash(&message.headers),
            at_least: attempt.at_least,
            at_most: attempt.at_most,
            broker_id: broker_name(delivery.broker_id()),
            position: None,
            maybe_duplicate: message.history().maybe_duplicate,
        })));
        self.hook.handed_out(&name, lease, attempt.at_least);
        LeaseRecord { run: self.run.clone(), hook: self.hook.clone(), lease, id, message: name }
    }

    /// A flush begins; what [`flush_ended`](Self::flush_ended) is to be told.
    pub(crate) fn flush_begins(&self) -> u64 {
        self.run.recorder().record(What::Flush { consumer: self.number });
        self.hook.newest()
    }

    /// It ended: so many settlements were late.
    pub(crate) fn flush_ended(&self, newest: u64, stale: u64, unknown: u64) {
        if stale + unknown == 0 {
            self.hook.all_final(newest);
        }
        self.run.recorder().record(What::Flushed { consumer: self.number, stale, unknown });
    }

    /// It is closed, and holds nothing any more.
    pub(crate) fn closed(&self) {
        self.run.recorder().record(What::Unsubscribe { consumer: self.number });
    }
}

impl std::fmt::Debug for ConsumerRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerRecord").field("number", &self.number).field("source", &self.source).finish()
    }
}

/// The record of one delivery.
pub(crate) struct LeaseRecord {
    run: Run,
    hook: Arc<ConsumerHook>,
    lease: LeaseId,
    id: Option<PublishId>,
    message: String,
}

impl LeaseRecord {
    pub(crate) fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Which message of the run it is; `None` when it is none.
    pub(crate) fn id(&self) -> Option<PublishId> {
        self.id
    }

    /// It is about to be settled.
    pub(crate) fn begin(&self, end: End) {
        self.run.recorder().record(What::Settle { lease: self.lease, end });
        self.hook.settling(&self.message, self.lease, end);
    }

    /// What was answered.
    pub(crate) fn answered(&self, answer: Answer) {
        self.hook.settled(&self.message, self.lease, answer == Answer::Recorded);
        self.run.recorder().record(What::Settled { lease: self.lease, answer });
    }

    pub(crate) fn settled(&self, answer: Settled) {
        self.answered(match answer {
            Settled::Recorded => Answer::Recorded,
            Settled::Stale => Answer::Stale,
        });
    }

    /// How awaiting a final acknowledgement ended.
    pub(crate) fn confirmed(&self, result: &Result<()>) {
        self.answered(match result {
            Ok(()) => Answer::Done,
            Err(error) if error.kind() == ErrorKind::Unsupported => Answer::Refused,
            Err(error) if error.kind() == ErrorKind::Stale => Answer::Stale,
            Err(_) => Answer::Unknown,
        });
    }

    /// It was prolonged.
    pub(crate) fn extended(&self, by: std::time::Duration) {
        let by = super::publishing::nanos(by);
        self.run.recorder().record(What::Extended { lease: self.lease, by });
    }
}

impl std::fmt::Debug for LeaseRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaseRecord").field("lease", &self.lease).field("id", &self.id).finish()
    }
}
