//! A consumer that writes down what it does.

use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt;
use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{Consumer, ConsumerOptions, Delivery, DrainReport, FlushReport};
use pontoon_core::{BrokerId, Error, Source};
use tokio::time::timeout;

use super::tap::{Leases, Tap};
use super::{Broken, Held, Place, Scene, Taken, hold};
use crate::history::{
    Delivery as Delivered, Handle, Payload, Seen, SourceName, Subscribe, What, hash_of, headers_hash,
};

/// A consumer. Cheap to clone; clones share one stream of deliveries.
#[derive(Clone, Debug)]
pub struct Reader {
    scene: Scene,
    consumer: Consumer,
    number: u32,
    source: Source,
    leases: Leases,
}

impl Reader {
    pub(super) async fn open(
        scene: &Scene,
        transport: &AnyTransport,
        place: &Place,
        mut options: ConsumerOptions,
        number: u32,
    ) -> Held<Self> {
        let source = place.source()?;
        let leases = Leases::default();
        let tap = Tap {
            events: scene.events().clone(),
            recorder: scene.recorder().clone(),
            handle: Handle::Consumer(number),
            leases: leases.clone(),
        };
        let prefetch = u64::try_from(options.prefetch).ok().filter(|_| !source.channel.order.is_ordered());
        let subscribe = Subscribe { consumer: number, source: SourceName::from(&source), prefetch };
        let mut opened = source.clone();
        scene.defect().consumer(&mut opened, &mut options);
        let consumer = Consumer::open(transport, opened, options, &scene.environment(tap)).await?;
        scene.recorder().record(What::Subscribe(subscribe));
        Ok(Reader { scene: scene.clone(), consumer, number, source, leases })
    }

    pub(super) fn scene(&self) -> &Scene {
        &self.scene
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// What the history calls its connection.
    pub(crate) fn handle(&self) -> Handle {
        Handle::Consumer(self.number)
    }

    /// The engine's consumer, for what is not written down.
    #[must_use]
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Writes down a delivery that was taken from the engine's consumer.
    pub fn taken(&self, delivery: Delivery) -> Taken {
        let recorder = self.scene.recorder();
        let lease = recorder.next_lease();
        let message = delivery.message();
        let id = match Payload::read(self.scene.0.run, message) {
            Seen::Ours(id) | Seen::Corrupt(id) => Some(id),
            Seen::Foreign => None,
        };
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).insert(message.id.clone(), lease);
        let broker_id = delivery.broker_id();
        let attempt = self.scene.defect().attempt(message, delivery.attempt());
        recorder.record(What::Deliver(Box::new(Delivered {
            lease,
            source: SourceName::from(&self.source),
            consumer: self.number,
            id,
            message: message.id.to_string().into(),
            key: message.key.as_ref().map(|key| key.as_bytes().into()),
            hash: hash_of(&message.body),
            headers: headers_hash(&message.headers),
            at_least: attempt.at_least,
            at_most: attempt.at_most,
            broker_id: (*broker_id != BrokerId::None).then(|| broker_id.to_string().into()),
            position: None,
            maybe_duplicate: message.history().maybe_duplicate,
        })));
        Taken::new(self.clone(), delivery, lease)
    }

    /// The next delivery, which must come.
    ///
    /// # Errors
    /// `stall` when none comes; `stream-ended` when the consumer ended instead.
    pub async fn next(&self) -> Held<Taken> {
        let patience = self.scene.timings().patience();
        let next = self.next_within(patience).await?;
        next.ok_or_else(|| Broken::stall(format!("no delivery from {} within {patience:?}", self.source)))
    }

    /// The next delivery, if one comes in this time.
    ///
    /// # Errors
    /// `stream-ended` when the consumer ended instead.
    pub async fn next_within(&self, time: Duration) -> Held<Option<Taken>> {
        match timeout(time, self.consumer.next()).await {
            Err(_) => Ok(None),
            Ok(Some(Ok(delivery))) => Ok(Some(self.taken(delivery))),
            Ok(Some(Err(error))) => Err(Broken::new("stream-ended", format!("{error:?}"))),
            Ok(None) => Err(Broken::new("stream-ended", "the consumer ended without a word")),
        }
    }

    /// Asks for the next delivery and cancels the call at once, as `select!` does when another branch is ready.
    ///
    /// # Errors
    /// `stream-ended` when the consumer ended instead.
    pub fn cancelled(&self) -> Held<Option<Taken>> {
        match self.consumer.next().now_or_never() {
            Some(Some(Ok(delivery))) if self.scene.defect().loses_cancelled() => {
                std::mem::forget(delivery);
                Ok(None)
            }
            Some(Some(Ok(delivery))) => Ok(Some(self.taken(delivery))),
            Some(_) => Err(Broken::new("stream-ended", "the consumer ended")),
            None => Ok(None),
        }
    }

    /// The end of the stream of deliveries, which must come: its error, or `None` for a quiet one.
    ///
    /// # Errors
    /// `stall` when it goes on waiting, or delivers.
    pub async fn end(&self) -> Held<Option<Error>> {
        let patience = self.scene.timings().patience();
        match timeout(patience, self.consumer.next()).await {
            Err(_) => Err(Broken::stall(format!("the consumer did not end within {patience:?}"))),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Ok(Some(error)),
            Ok(Some(Ok(delivery))) => {
                drop(self.taken(delivery));
                Err(Broken::new("unexpected-delivery", "a delivery came instead of the end"))
            }
        }
    }

    /// So many deliveries, all held at once.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn take(&self, count: usize) -> Held<Vec<Taken>> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            all.push(self.next().await?);
        }
        Ok(all)
    }

    /// So many deliveries, each acknowledged before the next; what they were, in order.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn ack(&self, count: usize) -> Held<Vec<String>> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let next = self.next().await?;
            ids.push(next.id().to_string());
            let _ = next.ack();
        }
        Ok(ids)
    }

    /// Acknowledges everything until nothing more comes for the quiet time; how many.
    ///
    /// # Errors
    /// As [`next_within`](Self::next_within); `endless` when it does not stop.
    pub async fn ack_rest(&self) -> Held<usize> {
        for count in 0..100_000 {
            match self.next_within(self.scene.timings().quiet()).await? {
                None => return Ok(count),
                Some(next) => drop(next.ack()),
            }
        }
        Err(Broken::new("endless", "deliveries do not stop"))
    }

    /// Nothing comes for this long.
    ///
    /// # Errors
    /// The anomaly named, with what came.
    pub async fn nothing(&self, time: Duration, anomaly: &str) -> Held {
        let came = self.next_within(time).await?;
        let what = came.as_ref().map(|taken| (taken.id().to_string(), taken.attempt().to_string()));
        hold!(came.is_none(), anomaly, "{what:?} was delivered from {} within {time:?}", self.source);
        Ok(())
    }

    /// Waits until what was settled so far is final.
    ///
    /// # Errors
    /// `stall` when it does not become final.
    pub async fn flush(&self) -> Held<FlushReport> {
        let recorder = self.scene.recorder();
        recorder.record(What::Flush { consumer: self.number });
        let report = self.scene.in_time("flushing settlements", self.consumer.flush()).await?;
        let (stale, unknown) = (report.stale, report.unknown);
        recorder.record(What::Flushed { consumer: self.number, stale, unknown });
        Ok(report)
    }

    /// Drains it by this deadline.
    ///
    /// # Errors
    /// `stall` when it does not come back.
    pub async fn drain(&self, within: Duration) -> Held<DrainReport> {
        let within = self.scene.defect().drain(within);
        let report = self.scene.in_time("draining", self.consumer.drain(within)).await?;
        self.scene.recorder().record(What::Unsubscribe { consumer: self.number });
        Ok(report)
    }
}
