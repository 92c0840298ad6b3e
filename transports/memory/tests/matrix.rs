//! Every fault × queue and topic × each order profile, under random handlers, in paused time: engine and transport
//! together against what the contract says of the history.
//!
//! `PONTOON_SEEDS` sets how many schedules each cell gets; `PONTOON_SEED` runs a single one.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pontoon_core::driver::{AnyTransport, Settled};
use pontoon_core::engine::{
    Consumer, ConsumerOptions, Environment, Lease, PublishError, Publisher, PublisherOptions, Reconnect, ReleasePace,
};
use pontoon_core::*;
use pontoon_memory::*;
use tokio::time::{Instant, sleep, timeout};

const MS: fn(u64) -> Duration = Duration::from_millis;
const MESSAGES: u64 = 24;
const KEYS: u64 = 3;

#[derive(Clone, Copy, Debug)]
struct Cell {
    fault: Option<Fault>,
    kind: ChannelKind,
    order: Order,
}

/// What happened, as the checks need it.
#[derive(Default)]
struct History {
    confirmed: BTreeSet<u64>,
    rejected: BTreeSet<u64>,
    /// By subscription.
    seen: BTreeMap<usize, Seen>,
}

#[derive(Default)]
struct Seen {
    /// First deliveries, in order.
    first: Vec<u64>,
    acked: BTreeSet<u64>,
    /// Deliveries in handlers' hands: key, id, and the lease that tells whether it still counts.
    running: Vec<(u64, u64, Lease)>,
    violations: Vec<String>,
}

fn id_of(message: &Message) -> u64 {
    u64::from_be_bytes(message.body[..8].try_into().unwrap())
}

/// One consumer task: handles at random until there is nothing more.
async fn handle(
    cell: Cell,
    consumer: Consumer,
    subscription: usize,
    history: Arc<Mutex<History>>,
    mut random: fastrand::Rng,
) {
    // A lease that ends early, or with a connection nobody has used since, looks valid to its holder until it settles:
    // such a zombie is fenced by its generation, which other tests prove.
    let told = !matches!(cell.fault, Some(Fault::ExpireLease | Fault::DropConnection));
    while let Some(next) = consumer.next().await {
        let delivery = next.unwrap();
        let id = id_of(delivery.message());
        let key = id % KEYS;
        {
            let mut history = history.lock().unwrap();
            let seen = history.seen.entry(subscription).or_default();
            if consumer.source().channel.order.is_ordered() {
                let valid = seen.running.iter().find(|(k, _, lease)| told && *k == key && !lease.is_lost());
                if let Some((_, other, _)) = valid {
                    let violation = format!("{id} handed out while {other} of its key is leased");
                    seen.violations.push(violation);
                }
                if let Some(later) = seen.first.iter().find(|other| **other % KEYS == key && **other > id)
                    && !seen.first.contains(&id)
                {
                    let violation = format!("{id} first delivered after {later} of its key");
                    seen.violations.push(violation);
                }
            }
            if !seen.first.contains(&id) {
                seen.first.push(id);
            }
            seen.running.push((key, id, delivery.lease()));
        }
        sleep(MS(random.u64(0..40))).await;
        let draw = random.u8(0..20);
        {
            let mut history = history.lock().unwrap();
            let seen = history.seen.entry(subscription).or_default();
            let generation = delivery.generation();
            seen.running.retain(|(_, other, lease)| *other != id || lease.generation() != generation);
        }
        match draw {
            0..=3 => drop(delivery.retry(Some(MS(random.u64(0..30))), "at random")),
            4 => drop(delivery.release()),
            5 => drop(delivery.reject("at random")),
            6 => drop(delivery),
            _ => {
                if delivery.ack() == Settled::Recorded {
                    history.lock().unwrap().seen.entry(subscription).or_default().acked.insert(id);
                }
            }
        }
    }
}

fn channel(cell: Cell) -> Channel {
    let mut channel = match cell.kind {
        ChannelKind::Queue => Channel::queue("work").unwrap(),
        ChannelKind::Topic => Channel::topic("work").unwrap(),
    };
    channel.order = cell.order;
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("work.dead").unwrap());
    channel
}

async fn publish(publisher: Publisher, history: Arc<Mutex<History>>, mut random: fastrand::Rng) {
    let mut at = 0;
    while at < MESSAGES {
        let count = random.u64(1..6).min(MESSAGES - at);
        let batch = (at..at + count).map(|n| Message::new(n.to_be_bytes().to_vec()).with_key(Key::from(n % KEYS)));
        let outcomes = publisher.publish_all(batch).await.into_outcomes();
        for (n, outcome) in (at..).zip(outcomes) {
            let mut history = history.lock().unwrap();
            match outcome {
                Ok(_) => drop(history.confirmed.insert(n)),
                Err(PublishError::Rejected { .. }) => drop(history.rejected.insert(n)),
                Err(PublishError::Unknown { .. }) => {}
            }
        }
        at += count;
        sleep(MS(random.u64(0..20))).await;
    }
}

async fn schedule(cell: Cell, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut config = MemoryConfig::default();
    config.seed = Some(seed);
    config.lease = MS(200);
    // A lease that ends early without a word lets one of a key return while its holder starts the next: nobody who
    // holds several of a key can keep their order then.
    config.key_window = if random.bool() || cell.fault == Some(Fault::ExpireLease) { 1 } else { 4 };
    let server = MemoryServer::new(config);
    let transport = AnyTransport::new(MemoryTransport::new(&server));
    let env = Environment::new().seeded(seed);
    let mut options = ConsumerOptions::default();
    options.prefetch = random.usize(1..8);
    options.retry = Retry::exponential(MS(5), MS(40)).attempts(4);
    options.reconnect = Reconnect::new(MS(5), MS(50));
    options.release_pace = ReleasePace { first: MS(5), cap: MS(20) };
    let mut publishing = PublisherOptions::default();
    publishing.reconnect = Reconnect::new(MS(5), MS(50));
    let history = Arc::new(Mutex::new(History::default()));
    let subscriptions: Vec<Option<Subscription>> = match cell.kind {
        ChannelKind::Queue => vec![None],
        ChannelKind::Topic => ["one", "two"].map(|name| Some(Subscription::new(name).unwrap())).to_vec(),
    };
    let mut consumers = Vec::new();
    for (at, subscription) in subscriptions.iter().enumerate() {
        for _ in 0..2 {
            let source = Source::new(channel(cell), subscription.clone()).unwrap();
            let consumer = Consumer::open(&transport, source, options.clone(), &env).await.unwrap();
            for _ in 0..2 {
                tokio::spawn(handle(cell, consumer.clone(), at, history.clone(), random.fork()));
            }
            consumers.push(consumer);
        }
    }
    let publisher = Publisher::open(&transport, channel(cell), publishing, &env).await.unwrap();
    if let Some(fault) = cell.fault {
        server.faults().set(fault, Chance::of(0.15).times(random.u64(1..12)));
        server.faults().set_delivery_delay(MS(50));
    }
    tokio::spawn(publish(publisher.clone(), history.clone(), random.fork())).await.unwrap();
    publisher.flush().await;
    // Progress is promised once faults stop.
    sleep(MS(random.u64(0..300))).await;
    server.faults().clear();
    let queues = || -> Vec<QueueSnapshot> {
        subscriptions
            .iter()
            .map(|subscription| match subscription {
                None => server.queue("work").unwrap(),
                Some(subscription) => server.subscription("work", subscription.name.as_str()).unwrap(),
            })
            .collect()
    };
    let start = Instant::now();
    while queues().iter().any(|queue| !queue.messages.is_empty()) {
        let left = || queues().iter().map(|q| format!("{:?}", q.messages)).collect::<Vec<_>>();
        assert!(start.elapsed() < Duration::from_secs(120), "{cell:?} seed {seed}: no progress, left: {:?}", left());
        sleep(MS(50)).await;
    }
    for consumer in consumers {
        let drained = timeout(Duration::from_secs(20), consumer.drain(Duration::from_secs(10))).await;
        let report = drained.unwrap_or_else(|_| panic!("{cell:?} seed {seed}: the drain hangs"));
        assert!(report.abandoned.is_empty(), "{cell:?} seed {seed}: {report}");
    }
    judge(cell, seed, &server, &history.lock().unwrap(), subscriptions.len());
}

fn judge(cell: Cell, seed: u64, server: &MemoryServer, history: &History, subscriptions: usize) {
    let dead = server.queue("work.dead").unwrap();
    for subscription in 0..subscriptions {
        let name = ["one", "two"][subscription];
        let buried: BTreeSet<u64> = dead
            .messages
            .iter()
            .filter(|stored| {
                let info = stored.message.history().dead_letter.clone().unwrap();
                assert!(matches!(info.reason, Some(ReasonKind::Rejected | ReasonKind::MaxAttempts)), "{info:?}");
                assert_eq!(info.channel.as_deref(), Some("work"));
                cell.kind == ChannelKind::Queue || info.subscription.as_deref() == Some(name)
            })
            .map(|stored| id_of(&stored.message))
            .collect();
        let nothing = Seen::default();
        let seen = history.seen.get(&subscription).unwrap_or(&nothing);
        let context = format!("{cell:?} seed {seed} subscription {subscription}");
        assert!(seen.violations.is_empty(), "{context}: {:?}", seen.violations);
        for id in &history.confirmed {
            assert!(seen.acked.contains(id) || buried.contains(id), "{context}: {id} was confirmed and is lost");
        }
        for id in seen.first.iter().chain(&buried) {
            assert!(*id < MESSAGES, "{context}: {id} came from nowhere");
            assert!(!history.rejected.contains(id), "{context}: {id} was rejected and is visible");
        }
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("PONTOON_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PONTOON_SEEDS").unwrap_or(1_000),
    }
}

fn all_cells(fault: Option<Fault>) {
    for kind in [ChannelKind::Queue, ChannelKind::Topic] {
        for order in [Order::Unordered, Order::BLOCK, Order::FallBehind] {
            let cell = Cell { fault, kind, order };
            for seed in seeds() {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
                runtime.unwrap().block_on(schedule(cell, seed));
            }
        }
    }
}

macro_rules! matrix {
    ($($name:ident: $fault:expr,)*) => {$(
        #[test]
        fn $name() {
            all_cells($fault);
        }
    )*};
}

matrix! {
    no_fault: None,
    lost_confirms: Some(Fault::LoseConfirm),
    duplicates: Some(Fault::Duplicate),
    delayed_deliveries: Some(Fault::DelayDelivery),
    dropped_connections: Some(Fault::DropConnection),
    expired_leases: Some(Fault::ExpireLease),
    refused_dead_letters: Some(Fault::RefuseDeadLetter),
    failed_settlements: Some(Fault::FailSettle),
}
