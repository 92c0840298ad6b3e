//! Dead letters: listed, looked at, put back.

use pontoon::prelude::*;
use pontoon::{ErrorKind, MAX_REDRIVES, MessageId, Meta, ReasonKind, Subscribed};

use crate::support::{FLIGHTS, Flight, LOOSE, Seen, broker, empty, flight};

async fn reject_all(flight: Flight) -> Outcome {
    reject(format!("flight {} is unwanted", flight.number))
}

/// Publishes flights with ids `f0`, `f1`, … and rejects them all.
async fn rejected(broker: &Broker, numbers: std::ops::Range<u64>) {
    let flights = broker.publisher(FLIGHTS).await.unwrap();
    for number in numbers {
        let full = |m: pontoon::Message| m.with_id(format!("f{number}")).with_header("tenant", "acme");
        flights.publish_with(&flight(number), full).await.unwrap();
    }
    let worker = Worker::new(broker.clone()).handle(FLIGHTS, reject_all, Retry::never());
    assert!(worker.run_until(empty(broker, &FLIGHTS)).await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn looking_changes_nothing() {
    let broker = broker().await;
    rejected(&broker, 0..20).await;
    let dead = broker.dead_letters(FLIGHTS).await.unwrap();
    assert_eq!(dead.channel().name.as_str(), "flights.dead");
    for _ in 0..3 {
        let all = dead.list(100).await.unwrap();
        assert_eq!(all.len(), 20);
        for one in &all {
            let number = one.id().to_string()[1..].to_owned();
            assert_eq!(one.to_string(), format!("f{number} rejected: flight {number} is unwanted"));
            let info = one.info();
            assert_eq!(info.channel.as_deref(), Some("flights"));
            assert!(info.first_failure_ms.is_some() && info.first_failure_ms <= info.last_failure_ms);
            assert_eq!(one.message().headers.get("tenant").unwrap().as_str(), Some("acme"));
        }
        assert_eq!(dead.list(3).await.unwrap().len(), 3);
        assert!(dead.list(0).await.unwrap().is_empty());
        let one = dead.peek(&MessageId::from("f7")).await.unwrap().unwrap();
        assert_eq!((one.id().to_string().as_str(), one.reason()), ("f7", Some(ReasonKind::Rejected)));
        assert!(dead.peek(&MessageId::from("nobody")).await.unwrap().is_none());
    }
    let depth = broker.depth(&Queue::<Raw>::new("flights.dead").discard_failed()).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight), (20, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_redriven_message_starts_a_new_life_under_its_old_identity() {
    let (broker, seen) = (broker().await, Seen::default());
    rejected(&broker, 0..5).await;
    let dead = broker.dead_letters(FLIGHTS).await.unwrap();
    let report = dead.redrive(&MessageId::from("f3")).await.unwrap();
    assert_eq!(report.to_string(), "redriven=1 exhausted=0 failed=0 maybe_twice=0");
    assert_eq!(dead.list(10).await.unwrap().len(), 4);
    assert_eq!(dead.redrive(&MessageId::from("f3")).await.unwrap().redriven, 0, "it is gone");

    async fn handler(flight: Flight, attempt: Attempt, meta: Meta, State(seen): State<Seen<String>>) {
        assert!(meta.dead_letter().is_none());
        let key = meta.key().unwrap();
        let tenant = meta.headers().get("tenant").unwrap().as_str().unwrap().to_owned();
        seen.push(format!("{} {} {key} {tenant} {attempt} {}", flight.number, meta.id(), meta.redrives()));
    }
    let worker = Worker::new(broker.clone()).state(seen.clone()).handle(FLIGHTS, handler, Retry::never());
    assert!(worker.run_until(empty(&broker, &FLIGHTS)).await.unwrap().is_clean());
    assert_eq!(seen.all(), ["3 f3 LAX acme 1 1"]);

    let report = dead.redrive_all().await.unwrap();
    assert_eq!(report.redriven, 4);
    assert!(dead.list(10).await.unwrap().is_empty());
    assert_eq!(broker.depth(&FLIGHTS).await.unwrap().ready, 4);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_put_back_only_so_often() {
    let broker = broker().await;
    rejected(&broker, 0..1).await;
    let dead = broker.dead_letters(FLIGHTS).await.unwrap();
    for round in 0..MAX_REDRIVES {
        assert_eq!(dead.list(2).await.unwrap()[0].redrives(), round);
        assert_eq!(dead.redrive_all().await.unwrap().redriven, 1, "round {round}");
        let worker = Worker::new(broker.clone()).handle(FLIGHTS, reject_all, Retry::never());
        assert!(worker.run_until(empty(&broker, &FLIGHTS)).await.unwrap().is_clean());
    }
    let report = dead.redrive_all().await.unwrap();
    assert_eq!((report.redriven, report.exhausted), (0, 1));
    assert_eq!(dead.redrive(&MessageId::from("f0")).await.unwrap().exhausted, 1);
    assert_eq!(dead.list(2).await.unwrap().len(), 1, "it stays");
}

#[tokio::test(start_paused = true)]
async fn channels_that_share_a_dead_letter_channel_see_only_their_own() {
    const A: Queue<Flight> = Queue::new("a").dead_letter("shared.dead");
    const B: Queue<Flight> = Queue::new("b").dead_letter("shared.dead");
    let broker = broker().await;
    for (queue, count) in [(A, 3), (B, 4)] {
        broker.publisher(queue).await.unwrap().publish_all((0..count).map(flight)).await.into_result().unwrap();
        let worker = Worker::new(broker.clone()).handle(queue, reject_all, Retry::never());
        assert!(worker.run_until(empty(&broker, &queue)).await.unwrap().is_clean());
    }
    let (a, b) = (broker.dead_letters(A).await.unwrap(), broker.dead_letters(B).await.unwrap());
    assert_eq!((a.list(10).await.unwrap().len(), b.list(10).await.unwrap().len()), (3, 4));
    assert_eq!(a.redrive_all().await.unwrap().redriven, 3);
    assert_eq!((a.list(10).await.unwrap().len(), b.list(10).await.unwrap().len()), (0, 4));
    assert_eq!(broker.depth(&A).await.unwrap().ready, 3);
    assert_eq!(broker.depth(&B).await.unwrap().ready, 0);
}

#[tokio::test(start_paused = true)]
async fn a_topics_dead_letter_goes_back_to_its_own_subscription_only() {
    const NEWS: Topic<Flight> = Topic::new("news").dead_letter("news.dead");
    const ONE: Subscribed<Flight> = NEWS.subscription("one");
    const TWO: Subscribed<Flight> = NEWS.subscription("two");
    let broker = broker().await;
    broker.ensure(&ONE).await.unwrap();
    broker.ensure(&TWO).await.unwrap();
    broker.publisher(NEWS).await.unwrap().publish(&flight(1)).await.unwrap();
    let worker = Worker::new(broker.clone()).handle(ONE, reject_all, Retry::never());
    assert!(worker.run_until(empty(&broker, &ONE)).await.unwrap().is_clean());
    assert!(broker.dead_letters(TWO).await.unwrap().list(10).await.unwrap().is_empty());
    let dead = broker.dead_letters(ONE).await.unwrap();
    let all = dead.list(10).await.unwrap();
    assert_eq!((all.len(), all[0].info().subscription.as_deref()), (1, Some("one")));
    assert_eq!(dead.redrive_all().await.unwrap().redriven, 1);
    assert_eq!(broker.depth(&ONE).await.unwrap().ready, 1);
    assert_eq!(broker.depth(&TWO).await.unwrap().ready, 1, "its own copy, no second one");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_stays_when_its_copy_cannot_be_stored() {
    let broker = pontoon::connect("memory://?max_messages=3&lease=10m").await.unwrap();
    rejected(&broker, 0..3).await;
    // Full: whatever is put back waits for room, in vain. The lease outlasts that, so a removal would be valid.
    broker.publisher(FLIGHTS).await.unwrap().publish_all((10..13).map(flight)).await.into_result().unwrap();
    let dead = broker.dead_letters(FLIGHTS).await.unwrap();
    let report = dead.redrive_all().await.unwrap();
    assert_eq!((report.redriven, report.failed.len()), (0, 3), "{report}");
    assert_eq!(report.failed[0].kind(), ErrorKind::Timeout);
    assert_eq!(dead.list(10).await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_channel_without_dead_letters_says_so() {
    let broker = broker().await;
    let error = broker.dead_letters(Queue::<Raw>::new("x").discard_failed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(broker.dead_letters(LOOSE).await.is_ok());
}
