//! The whole publisher in paused time: seeded tasks that publish in every way and drop futures at random points, over a
//! broker with seeded faults.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::sim::{Knobs, Sim};
use crate::engine::publish::{PublishError, Publisher, PublisherOptions, lock};
use crate::engine::{Environment, PublishResult, Reconnect};
use crate::*;

const WITHIN: Duration = Duration::from_secs(10);

/// What the tasks saw: message ids in issue order, and outcomes.
#[derive(Default)]
struct Journal {
    issued: HashMap<MessageId, (Key, usize)>,
    outcomes: HashMap<MessageId, std::result::Result<(), bool>>,
}

type Shared = Arc<Mutex<Journal>>;

fn make(journal: &Shared, task: usize, number: &mut usize) -> Message {
    let id = MessageId::from(format!("t{task}-{number}"));
    let key = Key::from(format!("k{task}-{}", *number % 2));
    lock(journal).issued.insert(id.clone(), (key.clone(), *number));
    *number += 1;
    Message::new(vec![0; *number % 50]).with_id_of(id).with_key(key)
}

trait WithIdOf {
    fn with_id_of(self, id: MessageId) -> Self;
}
impl WithIdOf for Message {
    fn with_id_of(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }
}

fn note(journal: &Shared, id: MessageId, outcome: PublishResult) {
    let result = match outcome {
        Ok(_) => Ok(()),
        Err(error) => {
            assert_eq!(error.message().id, id, "the message is handed back");
            Err(error.is_unknown())
        }
    };
    assert!(lock(journal).outcomes.insert(id, result).is_none(), "two outcomes");
}

async fn in_time<T>(future: impl Future<Output = T>, what: &str) -> T {
    let started = Instant::now();
    let result = future.await;
    let took = started.elapsed();
    assert!(took <= WITHIN + Duration::from_millis(50), "{what} took {took:?}");
    result
}

async fn task(publisher: Publisher, journal: Shared, task: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(31).wrapping_add(task as u64));
    let mut number = 0;
    for _ in 0..random.usize(3..12) {
        match random.u32(..7) {
            0..=1 => {
                let message = make(&journal, task, &mut number);
                let id = message.id.clone();
                let outcome = in_time(publisher.publish(message), "publish").await;
                note(&journal, id, outcome);
            }
            2 => {
                let messages: Vec<_> = (0..random.usize(..40)).map(|_| make(&journal, task, &mut number)).collect();
                let ids: Vec<_> = messages.iter().map(|message| message.id.clone()).collect();
                let published = in_time(publisher.publish_all(messages), "publish_all").await;
                assert_eq!(published.outcomes().len(), ids.len());
                for (id, outcome) in ids.into_iter().zip(published.into_outcomes()) {
                    note(&journal, id, outcome);
                }
            }
            3 => {
                let mut pending = Vec::new();
                for _ in 0..random.usize(1..10) {
                    let message = make(&journal, task, &mut number);
                    let id = message.id.clone();
                    match in_time(publisher.enqueue(message), "enqueue").await {
                        Ok(one) => pending.push((id, one)),
                        Err(error) => note(&journal, id, Err(error)),
                    }
                }
                while !pending.is_empty() {
                    let (id, one) = pending.swap_remove(random.usize(..pending.len()));
                    if random.u32(..3) > 0 {
                        note(&journal, id, in_time(one, "pending").await);
                    }
                }
            }
            4 => {
                // Given up somewhere on the way.
                let message = make(&journal, task, &mut number);
                let wait = Duration::from_millis(random.u64(..40));
                let id = message.id.clone();
                if let Ok(outcome) = tokio::time::timeout(wait, publisher.publish(message)).await {
                    note(&journal, id, outcome);
                }
            }
            5 => {
                let messages: Vec<_> = (0..random.usize(..60)).map(|_| make(&journal, task, &mut number)).collect();
                let wait = Duration::from_millis(random.u64(..40));
                let _ = tokio::time::timeout(wait, publisher.publish_all(messages)).await;
            }
            _ => {
                let wait = Duration::from_millis(random.u64(1..200));
                let _ = tokio::time::timeout(wait, publisher.flush()).await;
            }
        }
    }
}

fn knobs(random: &mut fastrand::Rng) -> Knobs {
    let share = |random: &mut fastrand::Rng, most: u32| if random.bool() { random.u32(..most) } else { 0 };
    Knobs {
        take: if random.bool() { usize::MAX } else { random.usize(1..8) },
        window: if random.bool() { usize::MAX } else { random.usize(1..64) },
        inline: random.bool(),
        delay: Duration::from_millis(random.u64(..2) * random.u64(..80)),
        at_once: [0, 500, 990, 1000][random.usize(..4)],
        pending: share(random, 300),
        try_again: share(random, 100),
        refuse: share(random, 30),
        unknown_stored: share(random, 50),
        unknown_lost: share(random, 50),
        silent: share(random, 10),
        die_submit: share(random, 50),
        die_drive: share(random, 50),
        fail_open: share(random, 500),
        calm_after: Duration::from_secs(random.u64(1..20)),
        behaviour: Behaviour { one_unresolved_per_key: random.u32(..3) == 0, ..Behaviour::default() },
        ..Knobs::default()
    }
}

fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut random = fastrand::Rng::with_seed(seed);
        let sim = Sim::new(seed, knobs(&mut random));
        let mut channel = Channel::queue("q").unwrap();
        channel.order = Order::FallBehind;
        let options = PublisherOptions {
            max_messages: random.usize(1..200),
            max_bytes: random.usize(100..10_000),
            deliver_within: WITHIN,
            reconnect: Reconnect::new(Duration::from_millis(10), Duration::from_millis(200)),
            ..PublisherOptions::default()
        };
        let env = Environment::new().seeded(seed);
        let most = options.max_messages;
        let publisher = Publisher::open(&sim.any(), channel, options, &env).await.unwrap();
        let journal = Shared::default();
        let tasks: Vec<_> =
            (0..random.usize(1..6)).map(|n| tokio::spawn(task(publisher.clone(), journal.clone(), n, seed))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        in_time(publisher.flush(), "flush").await;
        assert_eq!(publisher.stats().unresolved(), 0);
        let report = publisher.close(Duration::from_secs(1)).await;
        assert_eq!(report.abandoned, 0);
        assert_eq!(report.stats.late_completions, 0);
        let (journal, store) = (lock(&journal), lock(&sim.store));
        assert_eq!(store.unmarked, 0, "resent after Unknown without the mark");
        assert!(store.most_unanswered <= most);
        for (id, outcome) in &journal.outcomes {
            match outcome {
                Ok(()) => assert!(store.stored.contains(id), "{id} confirmed and not stored"),
                Err(false) => assert!(!store.stored.contains(id), "{id} rejected and stored"),
                Err(true) => {}
            }
        }
        let mut latest: HashMap<&Key, usize> = HashMap::new();
        let mut seen = HashSet::new();
        for (id, _) in &store.log {
            let (key, number) = &journal.issued[id];
            if seen.insert(id)
                && let Some(before) = latest.insert(key, *number)
            {
                assert!(before < *number, "{id} of {key} after number {before}");
            }
        }
    });
}

#[test]
fn seeded_faults_and_dropped_futures_break_no_promise() {
    for seed in 0..400 {
        let caught = std::panic::catch_unwind(|| run(seed));
        assert!(caught.is_ok(), "seed {seed}");
    }
}

/// Completions from a thread of the client's own, publishers on several threads: nothing is stranded.
#[test]
fn completions_from_a_foreign_thread_are_never_stranded() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap();
    runtime.block_on(async {
        let sim = Sim::new(5, Knobs { foreign: true, ..Knobs::default() });
        let options = PublisherOptions { max_messages: 40, ..PublisherOptions::default() };
        let queue = Channel::queue("q").unwrap();
        let publisher = Publisher::open(&sim.any(), queue, options, &Environment::new()).await.unwrap();
        let tasks: Vec<_> = (0..48)
            .map(|n| {
                let publisher = publisher.clone();
                tokio::spawn(async move {
                    for i in 0..60 {
                        if (n + i) % 7 == 0 {
                            let many = (0..20).map(|_| Message::new("x"));
                            assert_eq!(publisher.publish_all(many).await.into_result().unwrap(), 20);
                        } else {
                            publisher.publish(Message::new("x")).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        let all = async {
            for task in tasks {
                task.await.unwrap();
            }
            publisher.flush().await;
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("something is stranded");
        let report = publisher.close(Duration::from_secs(5)).await;
        assert_eq!(report.stats.confirmed, report.stats.accepted);
        assert_eq!(report.stats.late_completions, 0);
    });
}

/// Handles that are dropped while messages are under way: what was accepted is sent all the same.
#[test]
fn dropping_all_handles_does_not_unsend() {
    for seed in 0..40 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let knobs = Knobs {
                inline: false,
                delay: Duration::from_millis(30),
                die_drive: 100,
                try_again: 100,
                calm_after: Duration::from_secs(2),
                ..Knobs::default()
            };
            let sim = Sim::new(seed, knobs);
            let queue = Channel::queue("q").unwrap();
            let options = PublisherOptions::default();
            let publisher =
                Publisher::open(&sim.any(), queue, options, &Environment::new().seeded(seed)).await.unwrap();
            let mut last = None;
            for _ in 0..100 {
                last = Some(publisher.enqueue(Message::new("x")).await.unwrap());
            }
            drop(publisher);
            if seed % 2 == 0 {
                let outcome = last.take().unwrap().await;
                assert!(outcome.is_ok() || matches!(outcome, Err(PublishError::Unknown { .. })), "{outcome:?}");
            }
            tokio::time::sleep(Duration::from_secs(40)).await;
            assert_eq!(lock(&sim.store).stored.len(), 100);
            assert!(lock(&sim.store).closed, "the producer was closed");
        });
    }
}
