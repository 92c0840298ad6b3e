//! Each promise by itself.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::sim::{Knobs, Sim};
use crate::engine::publish::{PublishError, Publisher, PublisherOptions, lock};
use crate::engine::{Environment, Pending, PublishResult, Reconnect};
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

async fn open_with(sim: &Sim, options: PublisherOptions) -> Publisher {
    Publisher::open(&sim.any(), queue(), options, &env()).await.unwrap()
}

fn within(millis: u64) -> PublisherOptions {
    PublisherOptions { deliver_within: Duration::from_millis(millis), ..PublisherOptions::default() }
}

fn rejected(outcome: PublishResult) -> Error {
    match outcome {
        Err(PublishError::Rejected { error, .. }) => error,
        other => panic!("{other:?} is not Rejected"),
    }
}

fn unknown(outcome: PublishResult) -> Error {
    match outcome {
        Err(PublishError::Unknown { error, .. }) => error,
        other => panic!("{other:?} is not Unknown"),
    }
}

/// A broker that answers only when told.
fn silent() -> Sim {
    Sim::new(1, Knobs { inline: false, silent: 1000, ..Knobs::default() })
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bare_message_with_a_bad_id_is_refused_before_anything_is_sent() {
    let sim = Sim::new(1, Knobs::default());
    let publisher = Publisher::open(&sim.any(), queue(), PublisherOptions::default(), &env()).await.unwrap();
    for id in ["a\nb".to_owned(), "x".repeat(crate::MAX_TEXT + 1)] {
        let error = publisher.publish(Message::new("").with_id(id)).await.unwrap_err();
        assert_eq!(error.error().kind(), ErrorKind::InvalidMessage);
    }
    assert_eq!(publisher.stats().confirmed, 0);
}

#[tokio::test(start_paused = true)]
async fn opening_ensures_what_is_ours_and_compares_requirements() {
    let sim = Sim::new(1, Knobs::default());
    let mut channel = queue();
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("q.dead").unwrap());
    let opened = Publisher::open(&sim.any(), channel, PublisherOptions::default(), &env()).await.unwrap();
    assert_eq!(lock(&sim.store).ensured, ["q.dead", "q"]);
    assert_eq!(opened.capabilities().profile().as_str(), "sim-1");
    let existing = Channel::existing("old/one", ChannelKind::Queue).unwrap();
    Publisher::open(&sim.any(), existing, PublisherOptions::default(), &env()).await.unwrap();
    assert_eq!(lock(&sim.store).ensured, ["q.dead", "q", "old/one"], "what others declared is looked for");

    let mut poor = Sim::new(1, Knobs::default());
    poor.capabilities = Capabilities::new("poor");
    let mut ordered = queue();
    ordered.order = Order::FallBehind;
    let error = Publisher::open(&poor.any(), ordered.clone(), PublisherOptions::default(), &env()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("capability")), (ErrorKind::Unsupported, Some("order per key")));
    assert!(lock(&poor.store).ensured.is_empty(), "refused before anything was declared");

    poor.promised = Some(sim.capabilities.clone());
    let error = Publisher::open(&poor.any(), ordered, PublisherOptions::default(), &env()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "what was found counts, not what was promised");
    assert_eq!(lock(&poor.store).opened, 1);

    let mut wrong = queue();
    wrong.delivery_ceiling = 0;
    let error = Publisher::open(&sim.any(), wrong, PublisherOptions::default(), &env()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[test]
fn opening_outside_a_runtime_is_a_typed_error() {
    let sim = Sim::new(1, Knobs::default());
    let any = sim.any();
    let env = env();
    let Poll::Ready(Err(error)) = poll_once(Publisher::open(&any, queue(), PublisherOptions::default(), &env)) else {
        panic!("not refused")
    };
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_sent_is_refused_by_name_before_anything_is_sent() {
    let mut sim = Sim::new(1, Knobs::default());
    sim.capabilities.limits.max_body = Some(10);
    sim.capabilities.limits.max_delay = Some(Duration::from_secs(10));
    sim.capabilities.limits.priorities = Some(4);
    sim.capabilities.set(Capability::PublishDelay, Level::Native);
    sim.capabilities.set(Capability::Priority, Level::Native);
    let publisher = open(&sim).await;
    let bad = [
        (Message::new("01234567890"), ErrorKind::TooLarge),
        (Message::new("x").with_header("a\nb", "c"), ErrorKind::InvalidHeader),
        (Message::new("x").with_type("a\0"), ErrorKind::InvalidMessage),
        (Message::new("x").with_ttl(Duration::from_secs(1)), ErrorKind::Unsupported),
        (Message::new("x").with_delay(Delay::For(Duration::from_secs(11))), ErrorKind::Unsupported),
        (
            Message::new("x").with_delay(Delay::Until(std::time::SystemTime::now() + Duration::from_secs(60))),
            ErrorKind::Unsupported,
        ),
        (Message::new("x").with_priority(4), ErrorKind::Unsupported),
    ];
    for (message, kind) in &bad {
        let error = rejected(publisher.publish(message.clone()).await);
        assert_eq!(error.kind(), *kind, "{error}");
        let error = publisher.enqueue(message.clone()).await.unwrap_err();
        assert_eq!((error.error().kind(), error.message().body.clone()), (*kind, message.body.clone()));
    }
    let mixed = publisher
        .publish_all([Message::new("a"), bad[0].0.clone(), Message::new("b"), bad[1].0.clone(), bad[3].0.clone()])
        .await;
    let kinds: Vec<_> = mixed.outcomes().iter().map(|o| o.as_ref().err().map(|e| e.error().kind())).collect();
    let (large, header, unsupported) = (ErrorKind::TooLarge, ErrorKind::InvalidHeader, ErrorKind::Unsupported);
    assert_eq!(kinds, [None, Some(large), None, Some(header), Some(unsupported)]);
    let error = mixed.into_result().unwrap_err();
    assert_eq!((error.confirmed, error.rejected, error.unknown), (2, 3, 0));
    assert_eq!(error.first.error().kind(), ErrorKind::TooLarge);
    for fine in [
        Message::new("x").with_delay(Delay::For(Duration::from_secs(10))),
        Message::new("x").with_delay(Delay::Until(std::time::UNIX_EPOCH)),
        Message::new("x").with_priority(3),
    ] {
        publisher.publish(fine).await.unwrap();
    }
    assert_eq!(lock(&sim.store).log.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_volatile_delay_must_be_allowed_by_name() {
    let mut sim = Sim::new(1, Knobs::default());
    sim.capabilities.set(Capability::PublishDelay, Level::Volatile);
    let delayed = || message(1).with_delay(Delay::For(Duration::from_secs(1)));
    let error = rejected(open(&sim).await.publish(delayed()).await);
    assert_eq!((error.kind(), error.context("capability")), (ErrorKind::Unsupported, Some("delay on publish")));
    assert!(error.to_string().contains("allow_volatile"), "{error}");
    let options = PublisherOptions { allow_volatile: vec![Capability::PublishDelay], ..Default::default() };
    let publisher = Publisher::open(&sim.any(), queue(), options, &env()).await.unwrap();
    publisher.publish(delayed()).await.unwrap();
    let error = rejected(publisher.publish(message(2).with_ttl(Duration::from_secs(1))).await);
    assert_eq!(error.kind(), ErrorKind::Unsupported, "the one that was named, and no other");
}

#[tokio::test(start_paused = true)]
async fn messages_stored_at_once_and_others_have_their_outcomes_in_order() {
    // Most batches are stored whole, which lets the next one go directly; then one is not, or not all of it.
    let sim = Sim::new(3, Knobs { at_once: 970, refuse: 30, ..Knobs::default() });
    let publisher = open(&sim).await;
    let mut refused = 0;
    for round in 0..300 {
        let ids: Vec<_> = (0..6).map(|n| MessageId::from(format!("{round}-{n}"))).collect();
        let messages = ids.iter().map(|id| message(1).with_id(id.clone()));
        let outcomes = publisher.publish_all(messages).await.into_outcomes();
        assert_eq!(outcomes.len(), 6);
        let store = lock(&sim.store);
        for (id, outcome) in ids.iter().zip(&outcomes) {
            assert_eq!(outcome.is_ok(), store.stored.contains(id), "{id}: {outcome:?}");
            if let Err(error) = outcome {
                assert_eq!(error.message().id, *id, "it hands back its own message");
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{refused}");
    let stats = publisher.stats();
    assert_eq!((stats.accepted, stats.rejected, stats.unresolved(), stats.late_completions), (1800, refused, 0, 0));
    assert_eq!(publisher.close(Duration::from_secs(1)).await.abandoned, 0);
}

#[tokio::test(start_paused = true)]
async fn ids_and_times_are_given_where_they_are_missing() {
    let sim = Sim::new(1, Knobs::default());
    let publisher = open(&sim).await;
    for _ in 0..3 {
        publisher.publish(message(1)).await.unwrap();
    }
    publisher.publish(message(1).with_id("mine")).await.unwrap();
    let ids: Vec<_> = lock(&sim.store).log.iter().map(|(id, _)| id.clone()).collect();
    assert!(ids[0] < ids[1] && ids[1] < ids[2], "time-ordered");
    assert_eq!(ids[3].to_string(), "mine");
    assert!(lock(&sim.store).last.as_ref().unwrap().timestamp_ms > 1_600_000_000_000);
    let mut old = message(1);
    old.timestamp_ms = 5;
    publisher.publish(old).await.unwrap();
    assert_eq!(lock(&sim.store).last.as_ref().unwrap().timestamp_ms, 5);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_what_was_sent_unknown_and_what_was_not_rejected() {
    let sim = silent();
    let publisher = open_with(&sim, within(1000)).await;
    let started = tokio::time::Instant::now();
    let error = unknown(publisher.publish(message(1)).await);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(started.elapsed() <= Duration::from_millis(1005), "{:?}", started.elapsed());
    let mut hanging = Sim::new(1, Knobs::default());
    hanging.knobs.inline = false;
    lock(&hanging.store).hang = true;
    let publisher = open_with(&hanging, within(1000)).await;
    let started = tokio::time::Instant::now();
    let error = rejected(publisher.publish(message(1)).await);
    assert_eq!((error.kind(), error.status()), (ErrorKind::Timeout, ErrorStatus::Temporary));
    assert!(started.elapsed() <= Duration::from_millis(1005));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_nothing_is_replaced() {
    let sim = silent();
    let publisher = open_with(&sim, within(1000)).await;
    unknown(publisher.publish(message(1)).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(publisher.stats().generation, 2);
    assert_eq!(lock(&sim.store).opened, 2);
}

#[tokio::test(start_paused = true)]
async fn try_again_until_the_deadline_is_rejected_and_an_unknown_on_the_way_makes_it_unknown() {
    let sim = Sim::new(1, Knobs { try_again: 1000, ..Knobs::default() });
    let publisher = open_with(&sim, within(1000)).await;
    let error = rejected(publisher.publish(message(1)).await);
    assert_eq!(error.status(), ErrorStatus::Temporary);
    assert!(publisher.stats().resent > 2);
    assert_eq!(lock(&sim.store).marked, 0, "a try-again leaves no copy");

    let sim = Sim::new(1, Knobs { unknown_lost: 1000, ..Knobs::default() });
    let publisher = open_with(&sim, within(1000)).await;
    let Err(PublishError::Unknown { message: back, .. }) = publisher.publish(message(1)).await else { panic!() };
    assert!(back.history().maybe_duplicate && !back.id.is_unset());
    assert!(lock(&sim.store).marked > 2);

    let sim = Sim::new(1, Knobs { unknown_lost: 1000, ..Knobs::default() });
    let publisher = open_with(&sim, PublisherOptions { resend: false, ..within(1000) }).await;
    unknown(publisher.publish(message(1)).await);
    assert_eq!(publisher.stats().resent, 0);

    let refusing = Sim::new(1, Knobs { refuse: 1000, ..Knobs::default() });
    let publisher = open(&refusing).await;
    assert_eq!(rejected(publisher.publish(message(1)).await).kind(), ErrorKind::InvalidMessage);
    assert_eq!(publisher.stats().resent, 0, "a refusal is final");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_heals_by_itself_is_given_a_grace_and_no_resends() {
    let behaviour = Behaviour { heals_and_resends: true, ..Behaviour::default() };
    let sim = Sim::new(1, Knobs { unknown_lost: 1000, behaviour: behaviour.clone(), ..Knobs::default() });
    let publisher = open_with(&sim, within(4000)).await;
    unknown(publisher.publish(message(1)).await);
    assert_eq!(publisher.stats().resent, 0);
    let sim = Sim::new(1, Knobs { silent: 1000, behaviour, ..Knobs::default() });
    let publisher = open_with(&sim, within(4000)).await;
    let started = tokio::time::Instant::now();
    unknown(publisher.publish(message(1)).await);
    assert!(started.elapsed() >= Duration::from_millis(5000), "its own answer is worth waiting for");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_room_is_first_come_first_served_and_a_dropped_waiter_passes_its_turn_on() {
    let sim = Sim::new(1, Knobs { inline: false, delay: Duration::from_millis(10), ..Knobs::default() });
    let publisher = open_with(&sim, PublisherOptions { max_messages: 2, ..PublisherOptions::default() }).await;
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            let publisher = publisher.clone();
            tokio::spawn(async move { publisher.publish(message(n).with_id(format!("{n}"))).await.map(|_| ()) })
        })
        .collect();
    settle().await;
    assert_eq!(publisher.stats().accepted, 2);
    tasks[2].abort();
    tasks[5].abort();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.is_ok(), n != 2 && n != 5);
    }
    let ids: Vec<_> = lock(&sim.store).log.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids, ["0", "1", "3", "4", "6", "7", "8", "9"], "waiters that left were never sent");
    assert!(lock(&sim.store).most_unanswered <= 2);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_and_a_giant_passes_alone() {
    let sim = Sim::new(1, Knobs { inline: false, delay: Duration::from_millis(10), ..Knobs::default() });
    let publisher = open_with(&sim, PublisherOptions { max_bytes: 100, ..PublisherOptions::default() }).await;
    let bodies = [60, 60, 5000, 10, 30];
    let all = publisher.publish_all(bodies.map(|size| Message::new(vec![0u8; size]))).await;
    assert_eq!(all.into_result().unwrap(), 5);
    let batches = lock(&sim.store).batches.clone();
    assert_eq!(batches[..3], [1, 1, 1], "{batches:?}");
}

#[tokio::test(start_paused = true)]
async fn enqueue_is_refused_when_there_is_no_room_until_the_deadline() {
    let sim = Sim::new(1, Knobs { inline: false, ..Knobs::default() });
    lock(&sim.store).hang = true;
    let publisher = open_with(&sim, PublisherOptions { max_messages: 1, ..within(500) }).await;
    let first = publisher.enqueue(message(1)).await.unwrap();
    let late = publisher.enqueue(message(2)).await;
    let PublishError::Rejected { error, message: back } = late.err().unwrap() else { panic!() };
    assert_eq!((error.kind(), &back.body[..]), (ErrorKind::Full, &b"2"[..]));
    rejected(first.await);
    let many = publisher.publish_all((0..3).map(message)).await;
    assert_eq!(many.into_result().unwrap_err().rejected, 3);
}

#[tokio::test(start_paused = true)]
async fn closing_by_deadline_reports_what_it_gave_up() {
    let sim = Sim::new(1, Knobs { inline: false, silent: 1000, window: 3, ..Knobs::default() });
    let publisher = open_with(&sim, PublisherOptions { max_messages: 5, ..PublisherOptions::default() }).await;
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let publisher = publisher.clone();
            tokio::spawn(async move { publisher.publish(message(n)).await })
        })
        .collect();
    settle().await;
    let started = tokio::time::Instant::now();
    let closer = publisher.clone();
    let other = tokio::spawn(async move { closer.close(Duration::from_secs(9)).await });
    let report = publisher.close(Duration::from_secs(3)).await;
    assert!(started.elapsed() <= Duration::from_millis(3005), "{:?}", started.elapsed());
    assert_eq!(report, other.await.unwrap());
    assert_eq!((report.abandoned, report.stats.unknown, report.stats.rejected), (5, 3, 2));
    let mut kinds = Vec::new();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.error().kind(), ErrorKind::Closed);
        kinds.push(error.is_unknown());
    }
    assert_eq!(kinds, [true, true, true, false, false, false, false, false]);
    assert!(format!("{report}").contains("5 of them abandoned"), "{report}");
    publisher.flush().await;
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_dropped_goes_on() {
    let sim = Sim::new(1, Knobs { inline: false, delay: Duration::from_millis(100), ..Knobs::default() });
    let publisher = open(&sim).await;
    let pending = publisher.enqueue(message(1)).await.unwrap();
    assert!(poll_once(publisher.close(Duration::from_secs(5))).is_pending());
    pending.await.unwrap();
    settle().await;
    assert!(lock(&sim.store).closed);
    rejected(publisher.publish(message(2)).await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_replaced_and_the_hook_is_told() {
    struct Log(Mutex<Vec<String>>);
    impl EventHook for Log {
        fn wants(&self, kind: EventKind) -> bool {
            kind != EventKind::Delivered
        }
        fn on_event(&self, event: &Event<'_>) {
            let words = match event {
                Event::Published { id, .. } => format!("published {id}"),
                Event::PublishFailed { id, resend_in, error, .. } => {
                    format!("failed {id} {} {:?}", resend_in.is_some(), error.status())
                }
                Event::Disconnected { .. } => "disconnected".to_owned(),
                Event::Reconnected { generation, .. } => format!("reconnected {generation}"),
                other => format!("{other:?}"),
            };
            lock(&self.0).push(words);
        }
    }
    let log = Arc::new(Log(Mutex::default()));
    let env = env().with_hook(log.clone());
    let knobs = Knobs { inline: false, die_drive: 1000, calm_after: Duration::from_millis(500), ..Knobs::default() };
    let sim = Sim::new(1, knobs);
    let options = PublisherOptions {
        reconnect: Reconnect::new(Duration::from_millis(1000), Duration::from_millis(1000)),
        ..PublisherOptions::default()
    };
    let publisher = Publisher::open(&sim.any(), queue(), options, &env).await.unwrap();
    publisher.publish(message(1).with_id("a")).await.unwrap();
    let events = lock(&log.0).clone();
    assert_eq!(events[..2], ["failed a true Unknown", "disconnected"], "{events:?}");
    assert_eq!(events.last().unwrap(), "published a", "{events:?}");
    let generations = publisher.stats().generation as usize;
    assert_eq!(lock(&sim.store).ensured.len(), generations, "declared anew each time");
    assert!(events.contains(&format!("reconnected {}", publisher.stats().generation)));
    assert_eq!(lock(&sim.store).marked, publisher.stats().resent as usize);
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_messages_wait_until_their_deadline() {
    let knobs = Knobs { inline: false, die_submit: 1000, ..Knobs::default() };
    let sim = Sim::new(1, knobs);
    let publisher = open_with(&sim, within(2000)).await;
    lock(&sim.store).down = true;
    let error = rejected(publisher.publish(message(1)).await);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.context("connection").is_some(), "{error}");
    let report = publisher.close(Duration::from_secs(1)).await;
    assert_eq!(report.abandoned, 0);
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let sim = silent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (publisher, pending) = runtime.block_on(async {
        let publisher = open(&sim).await;
        let pending = publisher.enqueue(message(1)).await.unwrap();
        tokio::task::yield_now().await;
        (publisher, pending)
    });
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    other.block_on(async {
        assert_eq!(pending.await.unwrap_err().error().kind(), ErrorKind::Closed);
        assert_eq!(rejected(publisher.publish(message(2)).await).kind(), ErrorKind::Closed);
        assert_eq!(publisher.close(Duration::from_secs(1)).await.abandoned, 1);
    });
}

#[tokio::test(start_paused = true)]
async fn an_iterator_may_publish_itself() {
    let sim = Sim::new(1, Knobs::default());
    let publisher = open(&sim).await;
    let inner = publisher.clone();
    let outer = (0..3).map(|n| {
        assert!(poll_once(inner.publish(message(n))).is_ready());
        message(n)
    });
    assert_eq!(publisher.publish_all(outer).await.into_result().unwrap(), 3);
    assert_eq!(lock(&sim.store).log.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn publish_all_reads_only_as_far_as_there_is_room() {
    let sim = Sim::new(1, Knobs { inline: false, ..Knobs::default() });
    lock(&sim.store).hang = true;
    let publisher = open_with(&sim, PublisherOptions { max_messages: 10, ..PublisherOptions::default() }).await;
    let read = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = read.clone();
    let endless = (0..1_000_000).map(move |n| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        message(n)
    });
    let future = publisher.publish_all(endless);
    assert!(tokio::time::timeout(Duration::from_secs(1), future).await.is_err());
    assert!(read.load(std::sync::atomic::Ordering::Relaxed) <= 256);
    assert_eq!(publisher.stats().accepted, 10, "dropping it gives up what was not accepted");
    {
        let mut store = lock(&sim.store);
        store.hang = false;
        store.waker.take().unwrap().wake();
    }
    publisher.flush().await;
    assert_eq!(lock(&sim.store).log.len(), 10);
    assert_eq!(publisher.publish_all((0..1000).map(message)).await.into_result().unwrap(), 1000);
    assert_eq!(publisher.publish_all(std::iter::empty()).await.into_result().unwrap(), 0);
}

/// A waker whose drop publishes again: wakers are neither called nor dropped under the lane's lock.
#[tokio::test(start_paused = true)]
async fn wakers_may_use_the_publisher() {
    struct Meddler(Publisher);
    impl std::task::Wake for Meddler {
        fn wake(self: Arc<Self>) {
            let _ = self.0.stats();
        }
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            let _ = self.0.stats();
        }
    }
    let sim = Sim::new(1, Knobs { inline: false, delay: Duration::from_millis(5), ..Knobs::default() });
    let publisher = open(&sim).await;
    let mut publish = Box::pin(publisher.publish(message(1)));
    let mut flush = Box::pin(publisher.flush());
    let mut all = Box::pin(publisher.publish_all((0..3).map(message)));
    for _ in 0..3 {
        // One each, so that the clone in the lane is the last one.
        let waker = || Waker::from(Arc::new(Meddler(publisher.clone())));
        assert!(publish.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
        assert!(flush.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
        assert!(all.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    }
    settle().await;
    drop(flush);
    tokio::time::sleep(Duration::from_millis(50)).await;
    publish.await.unwrap();
    assert_eq!(all.await.outcomes().len(), 3);
}
