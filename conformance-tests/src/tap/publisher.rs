//! A publisher that writes down what it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{Pending, PublishError, PublishResult, Publisher, PublisherOptions, PublisherReport};
use pontoon_core::{Channel, Message, Result};

use super::hook::PublisherHook;
use super::{PublisherRecord, Run, Spec};
use crate::history::PublishId;

/// A publisher of a run. Clones are the same publisher. Its issue order is the order of its counter as long as one task
/// at a time publishes through it.
#[derive(Clone, Debug)]
pub struct TappedPublisher {
    run: Run,
    record: PublisherRecord,
    inner: Publisher,
    number: u32,
    issued: Arc<AtomicU64>,
}

impl TappedPublisher {
    /// Opens a publisher of this run.
    ///
    /// # Errors
    /// As [`Publisher::open`].
    pub async fn open(
        run: &Run,
        transport: &AnyTransport,
        channel: Channel,
        options: PublisherOptions,
    ) -> Result<TappedPublisher> {
        let number = run.next_handle();
        let hook = PublisherHook::new(run.recorder().clone(), number);
        let environment = run.environment().clone().with_hook(Arc::new(hook));
        let inner = Publisher::open(transport, channel, options, &environment).await?;
        let record = PublisherRecord::opened(run, number, inner.channel());
        Ok(TappedPublisher { run: run.clone(), record, inner, number, issued: Arc::default() })
    }

    /// Its number in the run.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The publisher beneath. What is published through it is not recorded.
    #[must_use]
    pub fn inner(&self) -> &Publisher {
        &self.inner
    }

    fn issue(&self, spec: &Spec) -> (PublishId, Message) {
        let id = PublishId { publisher: self.number, counter: self.issued.fetch_add(1, Ordering::Relaxed) };
        (id, self.begin(id, spec))
    }

    fn begin(&self, id: PublishId, spec: &Spec) -> Message {
        let message = spec.message(&self.run, id);
        let _ = self.record.begin(&message);
        message
    }

    fn ended(&self, id: PublishId, outcome: &PublishResult) {
        self.record.end(Some(id), outcome);
    }

    /// Publishes one message and waits for its outcome. Dropping the future leaves it without an end in the record.
    pub async fn publish(&self, spec: &Spec) -> (PublishId, PublishResult) {
        let (id, message) = self.issue(spec);
        let outcome = self.inner.publish(message).await;
        self.ended(id, &outcome);
        (id, outcome)
    }

    /// Publishes many in order, pipelined, and waits for all outcomes.
    pub async fn publish_all(&self, specs: impl IntoIterator<Item = Spec>) -> Vec<(PublishId, PublishResult)> {
        let (ids, messages): (Vec<PublishId>, Vec<Message>) = specs.into_iter().map(|spec| self.issue(&spec)).unzip();
        let outcomes = self.inner.publish_all(messages).await.into_outcomes();
        let ended: Vec<_> = ids.into_iter().zip(outcomes).collect();
        for (id, outcome) in &ended {
            self.ended(*id, outcome);
        }
        ended
    }

    /// Publishes one message and waits only for room. [`settle`](Self::settle) takes what is returned.
    ///
    /// # Errors
    /// As [`Publisher::enqueue`]; the end is recorded.
    pub async fn enqueue(&self, spec: &Spec) -> std::result::Result<(PublishId, Pending), PublishError> {
        let (id, message) = self.issue(spec);
        match self.inner.enqueue(message).await {
            Ok(pending) => Ok((id, pending)),
            Err(error) => {
                let outcome = Err(error);
                self.ended(id, &outcome);
                outcome.map(|_| unreachable!("it is an error"))
            }
        }
    }

    /// Waits for the outcome of what was enqueued, and records it.
    pub async fn settle(&self, id: PublishId, pending: Pending) -> PublishResult {
        self.settle_after(id, pending, |_| ()).await
    }

    /// As [`settle`](Self::settle), with something done between the outcome and its record.
    pub(crate) async fn settle_after(
        &self,
        id: PublishId,
        pending: Pending,
        between: impl FnOnce(&PublishResult),
    ) -> PublishResult {
        let outcome = pending.await;
        between(&outcome);
        self.ended(id, &outcome);
        outcome
    }

    /// Publishes a message that came back once more, under the identity that it has.
    pub async fn publish_again(&self, id: PublishId, spec: &Spec) -> PublishResult {
        let message = self.begin(id, spec);
        let outcome = self.inner.publish(message).await;
        self.ended(id, &outcome);
        outcome
    }

    /// As [`Publisher::close`].
    pub async fn close(&self, within: Duration) -> PublisherReport {
        self.inner.close(within).await
    }
}
