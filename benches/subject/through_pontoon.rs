//! The library as an application uses it.

use bytes::Bytes;
use pontoon::{Queue, Raw, Settled};

use crate::Watch;
use crate::bodies::Check;

const QUEUE: Queue<Raw> = Queue::new("bench").discard_failed();
/// Deliveries taken at once.
const BATCH: usize = 256;

/// Times of publishing and of draining.
pub(crate) async fn run(bodies: &[Bytes], check: &mut Check) -> pontoon::Result<((f64, f64), (f64, f64))> {
    let broker = pontoon::connect("memory://").await?;
    let publisher = broker.publisher(QUEUE).await?;
    let bodies: Vec<Raw> = bodies.iter().cloned().map(Raw).collect();
    let watch = Watch::start();
    publisher.publish_all(&bodies).await.into_result()?;
    let publish = watch.stop();

    let watch = Watch::start();
    let subscription = broker.subscribe(QUEUE).await?;
    let mut batch = Vec::with_capacity(BATCH);
    let mut left = bodies.len();
    while left > 0 {
        let got = subscription.next_batch(BATCH, &mut batch).await?;
        if got == 0 {
            break;
        }
        for delivery in batch.drain(..) {
            check.see(delivery.payload());
            if delivery.ack() == Settled::Stale {
                check.stale();
            }
        }
        left = left.saturating_sub(got);
    }
    // Acknowledged means that the broker has it, not that it was asked.
    let flushed = subscription.flush().await;
    if flushed.stale + flushed.unknown > 0 {
        check.stale();
    }
    let drain = watch.stop();
    broker.close().await?;
    Ok((publish, drain))
}
