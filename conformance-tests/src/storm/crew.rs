//! Publishers and consumers, working through everything that befalls them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pontoon_core::driver::AnyTransport;
use pontoon_core::driver::Settled;
use pontoon_core::engine::{ConsumerOptions, PublisherOptions, Reconnect};
use pontoon_core::{Key, Result, Source};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::stakes::Stakes;
use super::{Plan, Work};
use crate::harness::Site;
use crate::tap::{Run, Spec, TappedConsumer, TappedDelivery, TappedPublisher};

/// Keys of a channel that keeps order.
const KEYS: u64 = 64;
/// How far consumers may be behind before publishers wait for them, in messages: the load is steady, not a flood.
const BEHIND: u64 = 2_000;

/// Everybody aboard.
pub(super) struct Crew {
    over: Arc<AtomicBool>,
    publishing: Vec<JoinHandle<()>>,
    consumers: Vec<TappedConsumer>,
    working: Vec<JoinHandle<()>>,
}

fn reconnect() -> Reconnect {
    Reconnect::new(Duration::from_millis(10), Duration::from_millis(500))
}

fn consuming(plan: &Plan) -> ConsumerOptions {
    let mut options = ConsumerOptions::default();
    options.prefetch = plan.prefetch;
    options.retry = Plan::retry();
    options.reconnect = reconnect();
    options
}

impl Crew {
    pub(super) async fn aboard(
        site: &Arc<dyn Site>,
        run: &Run,
        stakes: &Arc<Stakes>,
        work: &Work,
        plan: &Plan,
        wrap: &impl Fn(AnyTransport) -> AnyTransport,
        random: &mut fastrand::Rng,
    ) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let mut crew = Crew { over, publishing: Vec::new(), consumers: Vec::new(), working: Vec::new() };
        for source in &work.sources {
            for _ in 0..plan.guests {
                let guest = Guest {
                    run: run.clone(),
                    transport: wrap(site.connect().await?),
                    source: source.clone(),
                    options: consuming(plan),
                    handlers: plan.handlers,
                    stakes: stakes.clone(),
                    over: crew.over.clone(),
                };
                crew.working.push(tokio::spawn(guest.come_and_go(random.fork())));
            }
            for _ in 0..plan.consumers {
                let transport = wrap(site.connect().await?);
                let consumer = TappedConsumer::open(run, &transport, source.clone(), consuming(plan)).await?;
                for _ in 0..plan.handlers {
                    crew.working.push(tokio::spawn(handle(consumer.clone(), stakes.clone(), random.fork())));
                }
                crew.working.push(tokio::spawn(flush(consumer.clone(), crew.over.clone())));
                crew.consumers.push(consumer);
            }
        }
        for _ in 0..plan.publishers {
            let mut options = PublisherOptions::default();
            options.reconnect = reconnect();
            let transport = wrap(site.connect().await?);
            let publisher = TappedPublisher::open(run, &transport, work.channel.clone(), options).await?;
            let desk = Desk {
                publisher,
                stakes: stakes.clone(),
                over: crew.over.clone(),
                keyed: work.keyed,
                readers: work.sources.len() as u64,
                batch: plan.batch,
                pause: Duration::from_secs_f64((plan.batch * plan.publishers) as f64 / f64::from(plan.rate.max(1))),
            };
            crew.publishing.push(tokio::spawn(desk.publish(random.fork())));
        }
        Ok(crew)
    }

    /// Lets publishers finish what they have begun.
    pub(super) async fn stop_publishing(&self, within: Duration) {
        self.over.store(true, Ordering::SeqCst);
        let until = Instant::now() + within;
        while !self.publishing.iter().all(JoinHandle::is_finished) && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Drains the consumers.
    pub(super) async fn stop_consuming(self, within: Duration) {
        for consumer in &self.consumers {
            let _ = consumer.drain(within.min(Duration::from_secs(10))).await;
        }
        for task in self.working.into_iter().chain(self.publishing) {
            let _ = timeout(within, task).await;
        }
    }
}

struct Desk {
    publisher: TappedPublisher,
    stakes: Arc<Stakes>,
    over: Arc<AtomicBool>,
    keyed: bool,
    readers: u64,
    batch: usize,
    /// Between the beginnings of two batches.
    pause: Duration,
}

impl Desk {
    async fn publish(self, mut random: fastrand::Rng) {
        let mut next = Instant::now();
        while !self.over.load(Ordering::SeqCst) {
            let standing = self.stakes.standing();
            if standing.confirmed * self.readers > standing.handled + BEHIND {
                sleep(Duration::from_millis(5)).await;
                continue;
            }
            let batch: Vec<Spec> = (0..self.batch).map(|_| self.spec(&mut random)).collect();
            self.stakes.published(batch.len());
            let ended = self.publisher.publish_all(batch).await;
            self.stakes.ended(ended.len(), ended.iter().filter(|(_, outcome)| outcome.is_ok()).count());
            next = (next + self.pause).max(Instant::now());
            while Instant::now() < next && !self.stakes.surges() {
                sleep(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(2))).await;
            }
        }
        let _ = self.publisher.close(Duration::from_secs(30)).await;
    }

    fn spec(&self, random: &mut fastrand::Rng) -> Spec {
        let key = self.keyed.then(|| Key::from(random.u64(..KEYS)));
        Spec { key, len: if random.u8(..50) == 0 { 4_096 } else { 100 }, ..Spec::default() }
    }
}

/// A consumer that does not stay.
struct Guest {
    run: Run,
    transport: AnyTransport,
    source: Source,
    options: ConsumerOptions,
    handlers: usize,
    stakes: Arc<Stakes>,
    over: Arc<AtomicBool>,
}

impl Guest {
    async fn come_and_go(self, mut random: fastrand::Rng) {
        while !self.over.load(Ordering::SeqCst) {
            let opened = TappedConsumer::open(&self.run, &self.transport, self.source.clone(), self.options.clone());
            // While the broker is down nobody comes in.
            if let Ok(consumer) = opened.await {
                let handlers = (0..self.handlers).map(|_| handle(consumer.clone(), self.stakes.clone(), random.fork()));
                let handlers: Vec<_> = handlers.map(tokio::spawn).collect();
                sleep(Duration::from_millis(random.u64(500..1_500))).await;
                let _ = consumer.drain(Duration::from_secs(10)).await;
                for handler in handlers {
                    let _ = handler.await;
                }
            }
            sleep(Duration::from_millis(random.u64(50..500))).await;
        }
    }
}

/// Flushes now and then, so that what was acknowledged is known to be final.
async fn flush(consumer: TappedConsumer, over: Arc<AtomicBool>) {
    while !over.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(100)).await;
        let _ = consumer.flush().await;
    }
}

async fn handle(consumer: TappedConsumer, stakes: Arc<Stakes>, mut random: fastrand::Rng) {
    while let Some(next) = consumer.next().await {
        // An error is for good; after it comes nothing.
        let Ok(delivery) = next else { continue };
        stakes.delivered();
        let handled = end(delivery, &mut random).await;
        stakes.settled(handled);
    }
}

/// Settles a delivery; whether that is the end of it.
async fn end(delivery: TappedDelivery, random: &mut fastrand::Rng) -> bool {
    if random.u8(..20) == 0 {
        sleep(Duration::from_millis(random.u64(1..20))).await;
    }
    let settled = match random.u16(..500) {
        0..5 => {
            let _ = delivery.retry(None, "at random");
            return false;
        }
        5 => delivery.reject("at random"),
        _ => delivery.ack(),
    };
    settled == Settled::Recorded
}
