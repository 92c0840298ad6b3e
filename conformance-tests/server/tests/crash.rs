//! The process is killed, or paused, again and again under load: nothing that was confirmed is lost, and publisher and
//! consumer come back without help.
//!
//! `PONTOON_SEED` repeats a run.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::*;
use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{Consumer, ConsumerOptions, Environment, Publisher, PublisherOptions, Reconnect};
use pontoon_core::*;
use pontoon_memory_server::*;
use tokio::time::{sleep, timeout};

const KEYS: u64 = 7;
const KILLS: u32 = 20;
const PAUSES: u32 = 8;

#[derive(Default)]
struct History {
    issued: u64,
    confirmed: BTreeSet<u64>,
    rejected: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
    /// First deliveries of each key.
    first: BTreeMap<u64, Vec<u64>>,
    seen: BTreeSet<u64>,
    /// Acknowledged for good.
    acked: BTreeSet<u64>,
    /// Acknowledged, and nobody could say whether for good; not delivered since.
    tried: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    deliveries: u64,
    violations: Vec<String>,
}

struct Counts(Arc<AtomicU64>);

impl EventHook for Counts {
    fn wants(&self, kind: EventKind) -> bool {
        kind == EventKind::Reconnected
    }
    fn on_event(&self, event: &Event<'_>) {
        self.0.fetch_add(u64::from(event.kind() == EventKind::Reconnected), Ordering::Relaxed);
    }
}

fn numbered(id: u64) -> Message {
    let message = Message::new(id.to_be_bytes().to_vec()).with_id(id.to_string());
    message.with_key(id % KEYS).with_header("n", id as i64)
}

/// Publishes in small pipelines until it is told to stop.
async fn publish(publisher: Publisher, history: Arc<Mutex<History>>, stop: Arc<AtomicBool>) {
    let mut next = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let ids: Vec<u64> = (next..next + 32).collect();
        next += 32;
        history.lock().unwrap().issued = next;
        let messages: Vec<Message> = ids.iter().map(|id| numbered(*id)).collect();
        // Not as fast as it can: each start reads the whole file.
        sleep(Duration::from_millis(2)).await;
        let outcomes = publisher.publish_all(messages).await.into_outcomes();
        let mut history = history.lock().unwrap();
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => history.confirmed.insert(id),
                Err(error) if error.is_unknown() => history.unknown.insert(id),
                Err(_) => history.rejected.insert(id),
            };
        }
    }
    let _ = publisher.close(BOUND).await;
}

/// Handles everything until there is nothing more: acknowledges for good, or at random fails, gives back, rejects.
async fn consume(consumer: Consumer, history: Arc<Mutex<History>>, mut random: Option<fastrand::Rng>) {
    while let Some(next) = consumer.next().await {
        let delivery = next.unwrap();
        let message = delivery.message();
        let id = u64::from_be_bytes(message.body[..].try_into().unwrap());
        {
            let mut history = history.lock().unwrap();
            history.deliveries += 1;
            history.tried.remove(&id);
            if message.headers.get("n") != Some(&HeaderValue::Int(id as i64)) || message.key != Some((id % KEYS).into())
            {
                history.violations.push(format!("{id} came changed"));
            }
            // A second copy is allowed after an Unknown, and says that it may be one.
            if history.acked.contains(&id) && !message.history().maybe_duplicate {
                history.violations.push(format!("{id} was acknowledged for good and came again"));
            }
            if history.seen.insert(id) {
                let earlier = history.first.entry(id % KEYS).or_default();
                let last = earlier.last().copied();
                earlier.push(id);
                if last.is_some_and(|last| last > id) {
                    history.violations.push(format!("{id} came first after {}", last.unwrap_or(0)));
                }
            }
        }
        match random.as_mut().map_or(9, |random| random.u32(0..10)) {
            0 => drop(delivery.retry(None, "asked to fail")),
            1 => drop(delivery),
            2 => drop(delivery.reject("asked to reject")),
            _ => {
                history.lock().unwrap().tried.insert(id);
                if delivery.ack_confirmed().await.is_ok() {
                    history.lock().unwrap().acked.insert(id);
                }
            }
        }
    }
}

/// Notes what is dead-lettered.
async fn bury(consumer: Consumer, history: Arc<Mutex<History>>) {
    while let Some(next) = consumer.next().await {
        let letter = next.unwrap();
        let id = u64::from_be_bytes(letter.message().body[..].try_into().unwrap());
        let mut history = history.lock().unwrap();
        let reason = letter.message().history().dead_letter.as_ref().and_then(|info| info.reason);
        if !matches!(reason, Some(ReasonKind::Rejected | ReasonKind::MaxAttempts)) {
            history.violations.push(format!("{id} was dead-lettered as {reason:?}"));
        }
        history.dead.insert(id);
        let _ = letter.ack();
    }
}

/// A run under load, hurt by `hurt`, then judged. Gives how often somebody connected again.
async fn run(
    options: ServerOptions,
    at_random: bool,
    hurt: impl AsyncFnOnce(MemoryServer, &mut fastrand::Rng) -> MemoryServer,
    faults: u32,
) -> u64 {
    let seed = std::env::var("PONTOON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(seed);
    let server = tokio::task::spawn_blocking(|| MemoryServer::start(options)).await.unwrap().unwrap();
    let transport: AnyTransport = connect(&server.url()).await.unwrap();
    let reconnects = Arc::new(AtomicU64::new(0));
    let env = Environment::new().seeded(seed).with_hook(Arc::new(Counts(reconnects.clone())));
    let mut channel = ordered("work", if at_random { Order::BLOCK } else { Order::FallBehind });
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("work.dead").unwrap());
    let history = Arc::new(Mutex::new(History::default()));
    let stop = Arc::new(AtomicBool::new(false));
    // Back quickly, so that most kills meet everybody at work.
    let reconnect = Reconnect::new(Duration::from_millis(5), Duration::from_millis(20));
    let mut publishing = PublisherOptions::default();
    publishing.reconnect = reconnect;
    let mut consuming = ConsumerOptions::default();
    consuming.reconnect = reconnect;
    consuming.retry = Retry::fixed(Duration::from_millis(5)).attempts(4);
    consuming.release_pace.first = Duration::from_millis(5);
    let publisher = Publisher::open(&transport, channel.clone(), publishing, &env).await.unwrap();
    let mut consumers = Vec::new();
    for _ in 0..2 {
        let consumer = Consumer::open(&transport, source(&channel), consuming.clone(), &env).await.unwrap();
        for _ in 0..4 {
            let random = at_random.then(|| random.fork());
            tokio::spawn(consume(consumer.clone(), history.clone(), random));
        }
        consumers.push(consumer);
    }
    let dead = Source::new(channel.dead_letter_channel().unwrap(), None).unwrap();
    let dead = Consumer::open(&transport, dead, consuming, &env).await.unwrap();
    tokio::spawn(bury(dead.clone(), history.clone()));
    consumers.push(dead);
    let publishing = tokio::spawn(publish(publisher, history.clone(), stop.clone()));
    let server = hurt(server, &mut random).await;
    stop.store(true, Ordering::Relaxed);
    timeout(Duration::from_secs(60), publishing).await.expect("every publish ends").unwrap();

    // Everything confirmed comes in the end.
    let missing = || {
        let history = history.lock().unwrap();
        let ended = |id: &&u64| [&history.acked, &history.tried, &history.dead].iter().any(|set| set.contains(*id));
        history.confirmed.iter().filter(|id| !ended(id)).count()
    };
    let begin = Instant::now();
    while missing() > 0 && begin.elapsed() < Duration::from_secs(30) {
        // The step of a bounded wait.
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(missing(), 0, "seed {seed}: confirmed and lost");
    for consumer in consumers {
        let _ = consumer.drain(BOUND).await;
    }
    let history = history.lock().unwrap();
    println!(
        "seed {seed}: issued {} confirmed {} unknown {} rejected {} deliveries {} dead {} reconnects {}",
        history.issued,
        history.confirmed.len(),
        history.unknown.len(),
        history.rejected.len(),
        history.deliveries,
        history.dead.len(),
        reconnects.load(Ordering::Relaxed),
    );
    assert!(history.violations.is_empty(), "seed {seed}: {:?}", &history.violations[..history.violations.len().min(5)]);
    assert_eq!(history.seen.intersection(&history.rejected).count(), 0, "seed {seed}: rejected and seen");
    let enough = u64::from(faults) * 32;
    assert!(history.confirmed.len() as u64 >= enough, "seed {seed}: there was no load");
    drop(server);
    reconnects.load(Ordering::Relaxed)
}

async fn kill_again_and_again(mut server: MemoryServer, random: &mut fastrand::Rng) -> MemoryServer {
    for _ in 0..KILLS {
        // Not a wait: the instant at which the kill strikes, drawn from the seed.
        sleep(Duration::from_millis(random.u64(20..220))).await;
        let down = Duration::from_millis(random.u64(0..60));
        server = tokio::task::spawn_blocking(move || {
            server.kill().unwrap();
            std::thread::sleep(down);
            server.restart().unwrap();
            server
        })
        .await
        .unwrap();
    }
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_over_twenty_kills() {
    let reconnects = run(options(), false, kill_again_and_again, KILLS).await;
    assert!(reconnects >= u64::from(KILLS), "every kill is noticed by somebody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_and_dead_letters_survive_twenty_kills() {
    let reconnects = run(options(), true, kill_again_and_again, KILLS).await;
    assert!(reconnects >= u64::from(KILLS), "every kill is noticed by somebody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_over_pauses() {
    let pause = async |server: MemoryServer, random: &mut fastrand::Rng| {
        for _ in 0..PAUSES {
            // Not waits: when the pause begins, and how long it is, drawn from the seed.
            sleep(Duration::from_millis(random.u64(20..200))).await;
            server.pause().unwrap();
            sleep(Duration::from_millis(random.u64(50..400))).await;
            server.resume().unwrap();
        }
        server
    };
    run(options().with_sync("always"), false, pause, PAUSES).await;
}
