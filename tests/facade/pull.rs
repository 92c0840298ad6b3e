//! The pull API.

use std::time::Duration;

use futures_util::StreamExt;
use pontoon::{Message, ReasonKind, Retry, Settled};

use crate::support::{FLIGHTS, LOOSE, broker, empty, flight};

#[tokio::test(start_paused = true)]
async fn a_subscription_is_a_stream_and_ends_when_drained() {
    let broker = broker().await;
    let flights = broker.publisher(LOOSE).await.unwrap();
    flights.publish_all((0..100).map(flight)).await.into_result().unwrap();
    let mut subscription = broker.subscription(LOOSE).prefetch(10).open().await.unwrap();
    let mut numbers = Vec::new();
    while numbers.len() < 100 {
        let delivery = subscription.next().await.unwrap().unwrap();
        numbers.push(delivery.payload().number);
        assert_eq!(delivery.ack(), Settled::Recorded);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    let report = subscription.drain(Duration::from_secs(1)).await;
    assert!(report.is_clean(), "{report}");
    assert!(StreamExt::next(&mut subscription).await.is_none());
    assert!(subscription.next().await.is_none());
    empty(&broker, &LOOSE).await;
}

#[tokio::test(start_paused = true)]
async fn batches_and_streams_give_the_same_deliveries() {
    let broker = broker().await;
    let flights = broker.publisher(LOOSE).await.unwrap();
    flights.publish_all((0..50).map(flight)).await.into_result().unwrap();
    let subscription = broker.subscribe(LOOSE).await.unwrap();
    let mut batch = Vec::new();
    let first = subscription.next_batch(20, &mut batch).await.unwrap();
    assert!((1..=20).contains(&first) && batch.len() == first);
    let mut stream = subscription.clone();
    while batch.len() < 50 {
        batch.push(StreamExt::next(&mut stream).await.unwrap().unwrap());
    }
    let mut numbers: Vec<u64> = batch.iter().map(|delivery| delivery.payload().number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    for delivery in batch {
        let _ = delivery.ack();
    }
    let report = subscription.flush().await;
    assert_eq!((report.stale, report.unknown), (0, 0));
    assert_eq!(broker.depth(&LOOSE).await.unwrap().in_flight, Some(0));
}

#[tokio::test(start_paused = true)]
async fn each_way_to_settle_does_what_it_says() {
    let broker = broker().await;
    let flights = broker.publisher(LOOSE).await.unwrap();
    let retry = Retry::fixed(Duration::from_secs(1)).jitter(0.0).attempts(3);
    let subscription = broker.subscription(LOOSE).retry(retry).open().await.unwrap();
    let next = async || subscription.next().await.unwrap().unwrap();

    flights.publish(&flight(1)).await.unwrap();
    let began = tokio::time::Instant::now();
    let delivery = next().await;
    assert!(delivery.attempt().is_first());
    let _ = delivery.retry(None, "once");
    let delivery = next().await;
    assert_eq!(delivery.attempt().at_least, 2);
    assert!(began.elapsed() >= Duration::from_secs(1));
    let _ = delivery.retry(Some(Duration::from_secs(60)), "twice");
    let delivery = next().await;
    assert_eq!(delivery.attempt().at_least, 3);
    assert!(began.elapsed() >= Duration::from_secs(61));
    let _ = delivery.release();
    let delivery = next().await;
    assert_eq!(delivery.attempt().at_least, 3, "a release is not a failure");
    drop(delivery);
    let delivery = next().await;
    assert_eq!(delivery.attempt().at_least, 3, "dropping is a release");
    delivery.ack_confirmed().await.unwrap();

    flights.publish(&flight(2)).await.unwrap();
    let _ = next().await.reject("unwanted");
    empty(&broker, &LOOSE).await;
    let dead = broker.dead_letters(LOOSE).await.unwrap().list(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason(), Some(ReasonKind::Rejected));
    assert_eq!(dead[0].info().error.as_deref(), Some("unwanted"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_read_is_dead_lettered_and_not_shown() {
    let broker = broker().await;
    let flights = broker.publisher(FLIGHTS).await.unwrap();
    flights.publish_message(Message::new("not json").with_key("LAX").with_id("bad")).await.unwrap();
    flights.publish(&flight(3)).await.unwrap();
    let subscription = broker.subscribe(FLIGHTS).await.unwrap();
    let delivery = subscription.next().await.unwrap().unwrap();
    assert_eq!(delivery.payload().number, 3);
    let _ = delivery.ack();
    empty(&broker, &FLIGHTS).await;
    let dead = broker.dead_letters(FLIGHTS).await.unwrap().list(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].reason(), dead[0].id().to_string().as_str()), (Some(ReasonKind::Undecodable), "bad"));
    assert_eq!(&dead[0].message().body[..], b"not json");
    assert_eq!(dead[0].info().attempts.map(|attempt| attempt.at_least), Some(1), "not retried");
}

#[tokio::test(start_paused = true)]
async fn many_tasks_wait_on_one_subscription() {
    let broker = broker().await;
    let subscription = broker.subscribe(LOOSE).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let subscription = subscription.clone();
            tokio::spawn(async move {
                let delivery = subscription.next().await.unwrap().unwrap();
                let number = delivery.payload().number;
                let _ = delivery.ack();
                number
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker.publisher(LOOSE).await.unwrap().publish_all((0..8).map(flight)).await.into_result().unwrap();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
}
