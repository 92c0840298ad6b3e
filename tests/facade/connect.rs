//! Connecting: what is refused, and what errors may say.

use pontoon::{Broker, ErrorKind, Queue, Raw};

async fn refused(url: &str) -> pontoon::Error {
    let error = pontoon::connect(url).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2"), "a password in an error: {text}");
    error
}

#[tokio::test]
async fn what_is_no_url_is_a_typed_error() {
    for url in ["", "memory", "hunter2", "//host", "amqp://user:hunter2@[::bad", "memory://a b:hunter2"] {
        let error = refused(url).await;
        assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{url}: {error}");
        assert!(error.help().unwrap().contains("scheme://"), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_scheme_names_what_there_is() {
    for url in ["carrier-pigeon://user:hunter2@loft", "nats://user:hunter2@localhost", "http://localhost"] {
        let error = refused(url).await;
        assert_eq!(error.kind(), ErrorKind::UnknownScheme, "{url}");
        assert_eq!(error.context("scheme"), url.split(':').next());
        assert!(error.help().unwrap().contains("`memory://` (feature `memory`)"), "{error}");
    }
}

#[cfg(not(feature = "rabbitmq"))]
#[tokio::test]
async fn a_scheme_that_was_not_compiled_in_names_its_feature() {
    let error = refused("amqp://user:hunter2@localhost").await;
    assert_eq!((error.kind(), error.context("scheme")), (ErrorKind::UnknownScheme, Some("amqp")));
    assert!(error.help().unwrap().contains("feature `rabbitmq`"), "{error}");
}

#[tokio::test]
async fn memory_urls_take_a_name_and_settings_and_nothing_else() {
    assert!(pontoon::connect("memory://").await.is_ok());
    assert!(pontoon::connect("memory://connect-test?lease=5s").await.is_ok());
    for url in ["memory://user:hunter2@x", "memory://x:80", "memory://x/path", "memory://x#part"] {
        assert_eq!(refused(url).await.kind(), ErrorKind::InvalidUrl, "{url}");
    }
    for url in ["memory://?leese=5s", "memory://?lease=soon", "memory://?lease=5s&lease=6s"] {
        let error = refused(url).await;
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
        assert!(error.to_string().contains("lease"), "{error}");
    }
}

#[tokio::test]
async fn memory_is_no_silent_default() {
    let error = Broker::from_env("PONTOON_URL_THAT_NOBODY_SETS").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("PONTOON_URL_THAT_NOBODY_SETS is not set"), "{error}");
    assert!(error.help().unwrap().contains("set PONTOON_URL_THAT_NOBODY_SETS to"), "{error}");
    // Set everywhere, and no URL: it is read, and refused as such.
    let error = Broker::from_env("PATH").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidUrl);
}

#[tokio::test]
async fn named_memory_brokers_are_shared_and_nameless_ones_are_not() {
    const JOBS: Queue<Raw> = Queue::new("jobs").dead_letter("jobs.dead");
    let (one, same) =
        (pontoon::connect("memory://shared").await.unwrap(), pontoon::connect("memory://shared").await.unwrap());
    one.publisher(JOBS).await.unwrap().publish(&Raw::from("x")).await.unwrap();
    assert_eq!(same.depth(&JOBS).await.unwrap().ready, 1);
    let other = pontoon::connect("memory://").await.unwrap();
    other.ensure(&JOBS).await.unwrap();
    assert_eq!(other.depth(&JOBS).await.unwrap().ready, 0);
}

#[tokio::test]
async fn ensuring_twice_is_fine_and_a_conflict_names_the_field() {
    const JOBS: Queue<Raw> = Queue::new("jobs").dead_letter("jobs.dead");
    let broker = pontoon::connect("memory://").await.unwrap();
    broker.ensure(&JOBS).await.unwrap();
    broker.ensure(&JOBS).await.unwrap();
    // The dead-letter channel is declared along with it: an existing one is found.
    broker.ensure(&Queue::<Raw>::existing("jobs.dead")).await.unwrap();
    let error = broker.ensure(&JOBS.ordered()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("order"), "{error}");
    let error = broker.ensure(&JOBS.named("a/b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidName);
    let error = broker.ensure(&Queue::<Raw>::existing("not there")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_closed_broker_opens_nothing_and_closes_twice() {
    const JOBS: Queue<Raw> = Queue::new("jobs").dead_letter("jobs.dead");
    let broker = pontoon::connect("memory://").await.unwrap();
    broker.close().await.unwrap();
    broker.close().await.unwrap();
    assert_eq!(broker.publisher(JOBS).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(broker.subscribe(JOBS).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(broker.ensure(&JOBS).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn depth_and_purge_are_asked_and_capabilities_answered() {
    use pontoon::Capability;
    const JOBS: Queue<Raw> = Queue::new("jobs").dead_letter("jobs.dead");
    let broker = pontoon::connect("memory://").await.unwrap();
    let jobs = broker.publisher(JOBS).await.unwrap();
    jobs.publish_all((0..5).map(|n| Raw::from(vec![n]))).await.into_result().unwrap();
    assert_eq!(broker.depth(&JOBS).await.unwrap().ready, 5);
    assert_eq!(broker.purge(&JOBS).await.unwrap(), 5);
    assert_eq!(broker.depth(&JOBS).await.unwrap().ready, 0);
    let capabilities = broker.capabilities(&JOBS).unwrap();
    assert!(capabilities.has(Capability::Depth));
    assert_eq!(capabilities.profile().as_str(), "memory-queue");
}

#[tokio::test(start_paused = true)]
async fn closing_a_broker_closes_what_was_opened_on_it() {
    use crate::support::{LOOSE, Seen, flight};
    use pontoon::prelude::*;
    use std::time::Duration;
    async fn handler(_: crate::support::Flight, State(seen): State<Seen<()>>) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen.push(());
    }
    let (broker, seen) = (crate::support::broker().await, Seen::default());
    let flights = broker.publisher(LOOSE).await.unwrap();
    flights.publish(&flight(1)).await.unwrap();
    let worker = Worker::new(broker.clone()).state(seen.clone()).handle(LOOSE, handler, Retry::never());
    let running = tokio::spawn(worker.run_until(std::future::pending()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    broker.close().await.unwrap();
    let report = running.await.unwrap().unwrap();
    assert_eq!((seen.len(), report.handled), (1, 1), "the running handler was let finish: {report}");
    let error = flights.publish(&flight(2)).await.unwrap_err();
    assert_eq!(error.error().kind(), ErrorKind::Closed);
    broker.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_tells_what_it_had_to_give_up() {
    use crate::support::{LOOSE, flight};
    use std::time::Duration;
    let broker = crate::support::broker().await;
    broker.publisher(LOOSE).await.unwrap().publish(&flight(1)).await.unwrap();
    let subscription = broker.subscribe(LOOSE).await.unwrap();
    let held = subscription.next().await.unwrap().unwrap();
    let error = broker.close_within(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("deliveries")), (ErrorKind::Timeout, Some("1")));
    assert_eq!(held.ack(), pontoon::Settled::Stale);
    assert!(subscription.next().await.is_none());
}
