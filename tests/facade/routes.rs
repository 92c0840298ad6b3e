//! Several types on one channel, several handlers chosen by type name.

use std::time::Duration;

use pontoon::prelude::*;
use pontoon::{ErrorKind, Failure, Message, ReasonKind};

use crate::support::{Seen, broker, empty};

#[derive(serde::Serialize, serde::Deserialize)]
struct Departed {
    flight: u64,
}
#[derive(serde::Serialize, serde::Deserialize)]
struct Arrived {
    flight: u64,
}

const EVENTS: Queue<Raw> = Queue::new("events").dead_letter("events.dead");
const DEPARTED: Queue<Departed> = EVENTS.carrying("departed.v1");
const ARRIVED: Queue<Arrived> = EVENTS.carrying("arrived.v1");

async fn on_departed(event: Departed, State(seen): State<Seen<String>>) -> Outcome {
    seen.push(format!("departed {}", event.flight));
    done()
}

async fn on_arrived(event: Arrived, attempt: Attempt, State(seen): State<Seen<String>>) -> Outcome {
    seen.push(format!("arrived {} attempt {}", event.flight, attempt.at_least));
    if event.flight == 2 { Err(Failure::new("no gate")) } else { done() }
}

#[tokio::test(start_paused = true)]
async fn the_type_name_chooses_the_handler_and_each_has_its_own_policy() {
    let (broker, seen) = (broker().await, Seen::default());
    let (departed, arrived) = (broker.publisher(DEPARTED).await.unwrap(), broker.publisher(ARRIVED).await.unwrap());
    departed.publish(&Departed { flight: 1 }).await.unwrap();
    arrived.publish(&Arrived { flight: 1 }).await.unwrap();
    arrived.publish(&Arrived { flight: 2 }).await.unwrap();
    departed.publish_message(Message::new("{}").with_type("cancelled.v1").with_id("unknown")).await.unwrap();
    departed.publish_message(Message::new("{}").with_id("nameless")).await.unwrap();
    departed.publish_message(Message::new("?").with_type("departed.v1").with_id("unreadable")).await.unwrap();

    let often = Retry::fixed(Duration::from_secs(1)).attempts(3);
    let worker = Worker::new(broker.clone())
        .state(seen.clone())
        .route(DEPARTED, on_departed, Retry::never())
        .concurrency(2)
        .route(ARRIVED, on_arrived, often);
    let report = worker.run_until(empty(&broker, &EVENTS)).await.unwrap();
    assert_eq!((report.handled, report.retried, report.dead_lettered), (2, 2, 4), "{report}");
    let mut all = seen.all();
    all.sort();
    let expected =
        ["arrived 1 attempt 1", "arrived 2 attempt 1", "arrived 2 attempt 2", "arrived 2 attempt 3", "departed 1"];
    assert_eq!(all, expected);

    let dead = broker.dead_letters(EVENTS).await.unwrap().list(10).await.unwrap();
    let reason = |id: &str| dead.iter().find(|dead| dead.id().to_string() == id).map(|dead| dead.reason().unwrap());
    assert_eq!(reason("unknown"), Some(ReasonKind::NoHandler));
    assert_eq!(reason("nameless"), Some(ReasonKind::NoHandler));
    assert_eq!(reason("unreadable"), Some(ReasonKind::Undecodable));
    assert!(dead.iter().any(|dead| dead.to_string().ends_with("max-attempts: no gate")));
    assert!(dead.iter().any(|dead| dead.to_string().ends_with("no handler takes messages of type `cancelled.v1`")));
}

#[tokio::test(start_paused = true)]
async fn routes_that_contradict_each_other_are_refused() {
    let broker = broker().await;
    let new = || Worker::new(broker.clone()).state(Seen::<String>::default());
    let never = Retry::never();
    const OTHER: Queue<Arrived> = Queue::new("events").discard_failed().type_name("arrived.v1");
    async fn raw(_: Raw) {}
    for (worker, told) in [
        (new().route(DEPARTED, on_departed, never).route(DEPARTED, on_departed, never), "the same type"),
        (
            new().route(DEPARTED, on_departed, never).handle(ARRIVED, on_arrived, never),
            "one handler, or several routes",
        ),
        (new().route(DEPARTED, on_departed, never).route(OTHER, on_arrived, never), "declare different facts"),
        (new().route(EVENTS, raw, never), "raw bodies carry none"),
    ] {
        let error = worker.run_until(std::future::ready(())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(told) && error.help().is_some(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_runs_no_more_at_once_than_it_says() {
    #[derive(Clone)]
    struct Running(Seen<i32>);
    async fn slow(_event: Departed, State(Running(running)): State<Running>) {
        running.push(1);
        let now: i32 = running.all().iter().sum();
        assert!(now <= 2, "{now} at once");
        tokio::time::sleep(Duration::from_millis(50)).await;
        running.push(-1);
    }
    async fn quick(_event: Arrived) {}
    let (broker, running) = (broker().await, Running(Seen::default()));
    let (departed, arrived) = (broker.publisher(DEPARTED).await.unwrap(), broker.publisher(ARRIVED).await.unwrap());
    for flight in 0..20 {
        departed.publish(&Departed { flight }).await.unwrap();
        arrived.publish(&Arrived { flight }).await.unwrap();
    }
    let worker = Worker::new(broker.clone())
        .state(running.clone())
        .route(DEPARTED, slow, Retry::never())
        .concurrency(2)
        .route(ARRIVED, quick, Retry::never());
    let report = worker.run_until(empty(&broker, &EVENTS)).await.unwrap();
    assert_eq!((report.handled, report.panicked), (40, 0), "{report}");
}
