//! A publisher that writes down what it does.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{Pending, PublishError, Publisher, PublisherOptions, PublisherReport, PublisherStats};
use pontoon_core::{Capabilities, Key, Message, Receipt};

use super::{Held, Place, Scene, hold};
use crate::history::{Handle, Payload, PublishId};
use crate::tap::{PublisherHook, PublisherRecord};

/// How many bytes a draft's body has.
const BODY: usize = 64;

/// A publisher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender {
    scene: Scene,
    publisher: Publisher,
    record: PublisherRecord,
    number: u32,
    drafts: Arc<AtomicU64>,
}

/// How one publish ended.
pub type Ended = Result<Receipt, PublishError>;

impl Sender {
    pub(super) async fn open(
        scene: &Scene,
        transport: &AnyTransport,
        place: &Place,
        mut options: PublisherOptions,
        number: u32,
    ) -> Held<Self> {
        let mut channel = place.channel.clone();
        scene.defect().publisher(&mut channel, &mut options);
        let hook = Arc::new(PublisherHook::new(scene.recorder().clone(), number));
        let publisher = Publisher::open(transport, channel, options, &scene.environment(hook)).await?;
        let record = PublisherRecord::opened(scene.run(), number, publisher.channel());
        Ok(Sender { scene: scene.clone(), publisher, record, number, drafts: Arc::default() })
    }

    /// The next message of this publisher, of the usual size. Messages are published in the order they are drafted, or
    /// not at all.
    #[must_use]
    pub fn draft(&self, key: Option<&str>) -> Message {
        self.draft_of(key, BODY)
    }

    /// The next message, with a body of this many bytes.
    #[must_use]
    pub fn draft_of(&self, key: Option<&str>, len: usize) -> Message {
        let counter = self.drafts.fetch_add(1, Ordering::Relaxed);
        let id = PublishId { publisher: self.number, counter };
        Payload { run: self.scene.run().number(), id, key: key.map(Key::from) }.message(len)
    }

    /// The next messages, their keys in turn.
    #[must_use]
    pub fn drafts(&self, count: usize, keys: &[&str]) -> Vec<Message> {
        (0..count).map(|at| self.draft(keys.get(at % keys.len().max(1)).copied())).collect()
    }

    /// Publishes and waits for the outcome.
    pub async fn send(&self, message: Message) -> Ended {
        let id = self.begin(&message);
        let outcome = self.publisher.publish(self.scene.defect().publishing(message)).await;
        self.end(id, &outcome);
        outcome
    }

    /// Publishes all, pipelined, and waits for all outcomes.
    pub async fn send_all(&self, messages: Vec<Message>) -> Vec<Ended> {
        let ids: Vec<_> = messages.iter().map(|message| self.begin(message)).collect();
        let outcomes = self.publisher.publish_all(messages).await.into_outcomes();
        for (id, outcome) in ids.into_iter().zip(&outcomes) {
            self.end(id, outcome);
        }
        outcomes
    }

    /// Publishes all; every one must be confirmed.
    ///
    /// # Errors
    /// `unexpected-error` with the first that was not.
    pub async fn put(&self, messages: Vec<Message>) -> Held<Vec<Receipt>> {
        let outcomes = self.scene.in_time("publishing", self.send_all(messages)).await?;
        all_confirmed(outcomes)
    }

    /// Publishes one, which must be confirmed; gives its id.
    ///
    /// # Errors
    /// `unexpected-error` when it is not.
    pub async fn put_one(&self, key: Option<&str>) -> Held<pontoon_core::MessageId> {
        let message = self.draft(key);
        let id = message.id.clone();
        self.put(vec![message]).await?;
        Ok(id)
    }

    /// Publishes, waits for room only. The outcome is written down when it is awaited.
    ///
    /// # Errors
    /// Of the publisher.
    pub async fn enqueue(&self, message: Message) -> Result<impl Future<Output = Ended> + use<>, PublishError> {
        let id = self.begin(&message);
        let pending: Pending = match self.publisher.enqueue(message).await {
            Ok(pending) => pending,
            Err(error) => {
                self.end(id, &Err(error.clone()));
                return Err(error);
            }
        };
        let sender = self.clone();
        Ok(async move {
            let outcome = pending.await;
            sender.end(id, &outcome);
            outcome
        })
    }

    /// Begins to publish and drops the future at once, as a time-out does.
    pub fn drop_publish(&self, message: Message) {
        use futures_util::FutureExt;
        let recorded = self.begin(&message);
        let id = message.id.clone();
        let outcome = self.publisher.publish(message).now_or_never();
        match outcome {
            Some(outcome) => self.end(recorded, &outcome),
            None => self.scene.defect().dropped(&id),
        }
    }

    /// Publishes and lets go of the outcome without ever asking for it.
    ///
    /// # Errors
    /// Of the publisher.
    pub async fn drop_outcome(&self, message: Message) -> Result<(), PublishError> {
        let id = message.id.clone();
        drop(self.enqueue(message).await?);
        self.scene.defect().dropped(&id);
        Ok(())
    }

    /// What the history calls its connection.
    pub(crate) fn handle(&self) -> Handle {
        Handle::Publisher(self.number)
    }

    /// The engine's publisher, for what is not written down.
    #[must_use]
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// What the profile declares, as the publisher found it.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.publisher.capabilities()
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> PublisherStats {
        self.publisher.stats()
    }

    /// Closes it.
    pub async fn close(&self, within: Duration) -> PublisherReport {
        self.publisher.close(within).await
    }

    /// Writes down that a message is about to be published.
    pub(crate) fn begin(&self, message: &Message) -> Option<PublishId> {
        self.record.begin(message)
    }

    /// Writes down how a publish ended.
    pub(crate) fn end(&self, id: Option<PublishId>, outcome: &Ended) {
        self.record.end(id, outcome);
    }
}

/// The receipts, when all were confirmed.
///
/// # Errors
/// `unexpected-error` with the first that was not.
pub fn all_confirmed(outcomes: Vec<Ended>) -> Held<Vec<Receipt>> {
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    let total = outcomes.len();
    let mut receipts = Vec::with_capacity(total);
    for outcome in outcomes {
        hold!(outcome.is_ok(), "unexpected-error", "{failed} of {total} publishes were not confirmed: {outcome:?}");
        receipts.extend(outcome.ok());
    }
    Ok(receipts)
}
