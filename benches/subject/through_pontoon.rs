//! The library as an application uses it.

use bytes::Bytes;
use pontoon::{Broker, Queue, Raw, Settled};

use crate::bodies::Check;
use crate::{QUEUE, Took, Watch};

const CHANNEL: Queue<Raw> = Queue::new(QUEUE).discard_failed();
/// Deliveries taken at once.
const BATCH: usize = 256;
/// Deliveries that are outstanding at once: as many as the experts have.
const PREFETCH: usize = 512;

/// A connection of the library.
pub(crate) struct Library(Broker);

impl Library {
    pub(crate) async fn connect(url: &str) -> pontoon::Result<Self> {
        Ok(Library(pontoon::connect(url).await?))
    }

    /// Declares the queue.
    #[cfg(feature = "rabbitmq")]
    pub(crate) async fn declare(&self) -> pontoon::Result<()> {
        self.0.publisher(CHANNEL).await.map(drop)
    }

    /// Until every message is confirmed.
    pub(crate) async fn publish(&self, bodies: &[Bytes]) -> pontoon::Result<Took> {
        let publisher = self.0.publisher(CHANNEL).await?;
        let bodies: Vec<Raw> = bodies.iter().cloned().map(Raw).collect();
        let watch = Watch::start();
        publisher.publish_all(&bodies).await.into_result()?;
        Ok(watch.stop())
    }

    /// Until so many messages are acknowledged.
    pub(crate) async fn drain(&self, count: usize, check: &mut Check) -> pontoon::Result<Took> {
        let watch = Watch::start();
        let subscription = self.0.subscription(CHANNEL).prefetch(PREFETCH).open().await?;
        let mut batch = Vec::with_capacity(BATCH);
        let mut left = count;
        while left > 0 {
            let got = subscription.next_batch(BATCH, &mut batch).await?;
            if got == 0 {
                break;
            }
            for delivery in batch.drain(..) {
                check.see(delivery.payload());
                if delivery.ack() == Settled::Stale {
                    check.stale(1);
                }
            }
            left = left.saturating_sub(got);
        }
        // Acknowledged means that the broker has it, not that it was asked.
        let flushed = subscription.flush().await;
        check.stale(flushed.stale + flushed.unknown);
        Ok(watch.stop())
    }

    pub(crate) async fn close(self) -> pontoon::Result<()> {
        self.0.close().await.map(drop)
    }
}
