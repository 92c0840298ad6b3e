//! A consumer that writes down what it does.

use std::time::Duration;

use futures_util::FutureExt;
use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{Consumer, ConsumerOptions, Delivery, DrainReport, FlushReport};
use pontoon_core::{Error, Source};
use tokio::time::timeout;

use super::{Broken, Held, Place, Scene, Taken, hold};
use crate::history::Handle;
use crate::tap::ConsumerRecord;

/// A consumer. Cheap to clone; clones share one stream of deliveries.
#[derive(Clone, Debug)]
pub struct Reader {
    scene: Scene,
    consumer: Consumer,
    record: ConsumerRecord,
    source: Source,
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
        let record = ConsumerRecord::new(scene.run(), number, &source);
        let prefetch = u64::try_from(options.prefetch).ok().filter(|_| !source.channel.order.is_ordered());
        let mut opened = source.clone();
        scene.defect().consumer(&mut opened, &mut options);
        let consumer = Consumer::open(transport, opened, options, &scene.environment(record.hook())).await?;
        record.opened(prefetch);
        Ok(Reader { scene: scene.clone(), consumer, record, source })
    }

    pub(super) fn scene(&self) -> &Scene {
        &self.scene
    }

    pub(super) fn number(&self) -> u32 {
        self.record.number()
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// What the history calls its connection.
    pub(crate) fn handle(&self) -> Handle {
        Handle::Consumer(self.number())
    }

    /// The engine's consumer, for what is not written down.
    #[must_use]
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Writes down a delivery that was taken from the engine's consumer.
    pub fn taken(&self, delivery: Delivery) -> Taken {
        let attempt = self.scene.defect().attempt(delivery.message(), delivery.attempt());
        let record = self.record.handed_out(&delivery, attempt);
        Taken::new(self.clone(), delivery, record, attempt)
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

    /// The next delivery where so many are expected and this many came: waited for with patience as long as some are
    /// missing, for a slow machine is no loss; then for the quiet time, in which nothing should come.
    ///
    /// # Errors
    /// As [`next_within`](Self::next_within).
    pub async fn next_of(&self, came: usize, expected: usize) -> Held<Option<Taken>> {
        let timings = self.scene.timings();
        self.next_within(if came < expected { timings.patience() / 2 } else { timings.quiet() / 2 }).await
    }

    /// Up to so many deliveries at once, if any come in this time.
    ///
    /// # Errors
    /// `stream-ended` when the consumer ended instead.
    pub async fn batch_within(&self, max: usize, time: Duration) -> Held<Option<Vec<Taken>>> {
        match timeout(time, self.consumer.next_batch(max)).await {
            Err(_) => Ok(None),
            Ok(Ok(Some(batch))) => {
                let mut batch: Vec<Delivery> = batch.collect();
                self.scene.defect().taken_together(&mut batch);
                Ok(Some(batch.into_iter().map(|delivery| self.taken(delivery)).collect()))
            }
            Ok(Ok(None)) => Err(Broken::new("stream-ended", "the consumer ended without a word")),
            Ok(Err(error)) => Err(Broken::new("stream-ended", format!("{error:?}"))),
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

    /// Acknowledges what comes where so many are expected, and what comes beyond them; how many came.
    ///
    /// # Errors
    /// As [`ack_rest`](Self::ack_rest).
    pub async fn ack_all(&self, expected: usize) -> Held<usize> {
        for count in 0..100_000 {
            match self.next_of(count, expected).await? {
                None => return Ok(count),
                Some(next) => drop(next.ack()),
            }
        }
        Err(Broken::new("endless", "deliveries do not stop"))
    }

    /// Acknowledges everything until nothing more comes for the quiet time; how many, which says nothing of what is
    /// missing: a slow machine may only be late.
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
        let newest = self.record.flush_begins();
        let report = self.scene.in_time("flushing settlements", self.consumer.flush()).await?;
        self.record.flush_ended(newest, report.stale, report.unknown);
        Ok(report)
    }

    /// Drains it by this deadline.
    ///
    /// # Errors
    /// `stall` when it does not come back.
    pub async fn drain(&self, within: Duration) -> Held<DrainReport> {
        let within = self.scene.defect().drain(within);
        let report = self.scene.in_time("draining", self.consumer.drain(within)).await?;
        self.record.closed();
        Ok(report)
    }
}
