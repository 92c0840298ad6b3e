//! Each promise by itself.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::sim::{Knobs, Sim};
use crate::engine::publish::{PublishError, Publisher, PublisherOptions, lock};
use crate::engine::{Environment, Pending};
use crate::*;

fn queue() -> Channel {
    Channel::queue("q").unwrap()
}

fn env() -> Environment {
    Environment::new().seeded(7)
}

async fn open(sim: &Sim) -> Publisher {
    Publisher::open(&sim.any(), queue(), PublisherOptions::default(), &env()).await.unwrap()
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn message(n: usize) -> Message {
    Message::new(format!("{n}"))
}

#[tokio::test(start_paused = true)]
async fn an_instant_broker_answers_at_the_first_poll() {
    let sim = Sim::new(1, Knobs::default());
    let publisher = open(&sim).await;
    let Poll::Ready(Ok(receipt)) = poll_once(publisher.publish(message(1))) else { panic!("not ready") };
    assert_eq!(receipt.broker_id, BrokerId::Number(1));
    let Poll::Ready(all) = poll_once(publisher.publish_all((0..64).map(message))) else { panic!("not ready") };
    assert_eq!(all.into_result().unwrap(), 64);
    assert_eq!(lock(&sim.store).batches, [1, 64]);
    let report = publisher.close(Duration::from_secs(1)).await;
    assert_eq!((report.stats.confirmed, report.abandoned), (65, 0));
    assert!(lock(&sim.store).closed);
    assert_eq!(report, publisher.close(Duration::ZERO).await, "closing twice is fine");
    let PublishError::Rejected { error, .. } = publisher.publish(message(2)).await.unwrap_err() else { panic!() };
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn concurrent_publishes_share_batches() {
    let sim = Sim::new(1, Knobs { inline: false, ..Knobs::default() });
    let publisher = open(&sim).await;
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for i in 0..10 {
                    publisher.publish(message(n * 10 + i)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let store = lock(&sim.store);
    assert_eq!(store.log.len(), 640);
    assert!(store.batches.len() <= 40, "{:?}", store.batches);
}

#[tokio::test(start_paused = true)]
async fn enqueue_then_flush() {
    let sim = Sim::new(1, Knobs { inline: false, delay: Duration::from_millis(50), ..Knobs::default() });
    let publisher = open(&sim).await;
    let mut pending: Vec<Pending> = Vec::new();
    for n in 0..100 {
        pending.push(publisher.enqueue(message(n)).await.unwrap());
    }
    drop(pending.split_off(50));
    publisher.flush().await;
    assert_eq!(lock(&sim.store).log.len(), 100);
    for one in pending {
        assert!(poll_once(one).is_ready());
    }
    publisher.flush().await;
}
