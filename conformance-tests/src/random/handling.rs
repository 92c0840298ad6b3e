//! The readers of a schedule: consumers that come and go, handlers that end in every way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pontoon_core::{Capability, Result, Source};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Stage;
use super::plan::Plan;
use crate::tap::{Run, TappedConsumer, TappedDelivery};

/// Everybody who reads.
pub(super) struct Readers {
    over: Arc<AtomicBool>,
    seats: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Opens the first consumers; each seat goes on opening others in its place.
    pub(super) async fn open(stage: &Stage, plan: &Plan, run: &Run, random: &mut fastrand::Rng) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let mut seats = Vec::new();
        for source in plan.sources()? {
            for _ in 0..plan.consumers {
                let seat = Seat {
                    stage: stage.clone(),
                    plan: plan.clone(),
                    run: run.clone(),
                    source: source.clone(),
                    over: over.clone(),
                };
                let consumer = seat.open().await?;
                seats.push(tokio::spawn(seat.sit(consumer, random.fork())));
            }
        }
        Ok(Readers { over, seats })
    }

    /// Lets everybody finish, and waits for it.
    pub(super) async fn close(self, stage: &Stage) {
        self.over.store(true, Ordering::Release);
        for seat in self.seats {
            // A seat looks up at the end of each consumer's life, and draining has a deadline.
            let _ = tokio::time::timeout(stage.ms(120_000), seat).await;
        }
    }
}

/// A place at a source that one consumer after the other takes.
struct Seat {
    stage: Stage,
    plan: Plan,
    run: Run,
    source: Source,
    over: Arc<AtomicBool>,
}

impl Seat {
    async fn open(&self) -> Result<TappedConsumer> {
        let options = self.plan.consumer_options(&self.stage);
        TappedConsumer::open(&self.run, &self.stage.transport, self.source.clone(), options).await
    }

    async fn sit(self, mut consumer: TappedConsumer, mut random: fastrand::Rng) {
        loop {
            let handlers: Vec<JoinHandle<()>> = (0..self.plan.handlers)
                .map(|_| {
                    let can_confirm = self.plan.can(Capability::AckConfirmed);
                    tokio::spawn(handle(self.stage.clone(), consumer.clone(), can_confirm, random.fork()))
                })
                .collect();
            // One in three leaves early.
            let stays = random.u8(..3) > 0;
            let life = self.stage.ms(random.u64(20..400));
            self.wait(stays, life, &consumer, &mut random).await;
            let _ = consumer.drain(self.stage.ms(10_000)).await;
            for handler in handlers {
                let _ = handler.await;
            }
            if self.over.load(Ordering::Acquire) {
                return;
            }
            // Nobody may sit here for a while.
            sleep(self.stage.ms(random.u64(0..40))).await;
            consumer = loop {
                match self.open().await {
                    Ok(consumer) => break consumer,
                    Err(_) if self.over.load(Ordering::Acquire) => return,
                    Err(_) => sleep(self.stage.ms(20)).await,
                }
            };
        }
    }

    /// Until its life is over, or all is; meanwhile it flushes now and then.
    async fn wait(&self, stays: bool, life: Duration, consumer: &TappedConsumer, random: &mut fastrand::Rng) {
        let mut lived = Duration::ZERO;
        while !self.over.load(Ordering::Acquire) && (stays || lived < life) {
            let step = self.stage.ms(random.u64(5..30));
            sleep(step).await;
            lived += step;
            if random.u8(..4) == 0 {
                let _ = consumer.flush().await;
            }
        }
    }
}

/// Handles one delivery after the other until there is nothing more; one in four handlers takes several at once.
async fn handle(stage: Stage, consumer: TappedConsumer, can_confirm: bool, mut random: fastrand::Rng) {
    let most = if random.u8(..4) == 0 { random.usize(2..6) } else { 1 };
    while let Some(deliveries) = take(&consumer, most).await {
        for delivery in deliveries {
            sleep(stage.ms(random.u64(0..40))).await;
            end(&stage, delivery, can_confirm, &mut random).await;
        }
    }
}

/// The next deliveries. An error is for good, and after it comes nothing.
async fn take(consumer: &TappedConsumer, most: usize) -> Option<Vec<TappedDelivery>> {
    if most > 1 {
        return consumer.next_batch(most).await.ok().flatten();
    }
    Some(vec![consumer.next().await?.ok()?])
}

async fn end(stage: &Stage, delivery: TappedDelivery, can_confirm: bool, random: &mut fastrand::Rng) {
    match random.u8(..40) {
        0..5 => {
            let after = random.bool().then(|| stage.ms(random.u64(0..30)));
            let _ = delivery.retry(after, "at random");
        }
        5..7 => drop(delivery.release()),
        7..9 => drop(delivery.reject("at random")),
        9 => drop(delivery),
        10 => panicking(delivery).await,
        11 => aborted(delivery).await,
        12..15 if can_confirm => drop(delivery.ack_confirmed().await),
        15 => {
            let _ = delivery.extend(stage.ms(300));
            sleep(stage.ms(random.u64(0..250))).await;
            let _ = delivery.ack();
        }
        _ => drop(delivery.ack()),
    }
}

/// A handler that panics; without the words that a panic prints.
async fn panicking(delivery: TappedDelivery) {
    let task = tokio::spawn(async move {
        let _held = delivery;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    let _ = task.await;
}

/// A handler whose task is aborted.
async fn aborted(delivery: TappedDelivery) {
    let task = tokio::spawn(async move {
        let _held = delivery;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    task.abort();
    let _ = task.await;
}
