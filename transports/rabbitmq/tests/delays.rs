//! Delays: none is early, none waits behind a longer one, and neither a kill of the broker nor a target that is gone costs
//! one. `PONTOON_DELAYS=long` is the form that takes minutes.

#![allow(clippy::unwrap_used)]

mod own;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use pontoon_core::driver::{AnyTransport, Ensure, Settled, Transport};
use pontoon_core::engine::{Consumer, ConsumerOptions, Delivery, Environment, Pending, Publisher, PublisherOptions};
use pontoon_core::{Channel, DeadLetterPolicy, Delay, Message, Source};
use pontoon_rabbitmq::{RabbitConfig, RabbitConnections, RabbitTransport};

use own::{SAFE_AFTER, Server};

const BROKERS: [&str; 2] = ["PONTOON_RABBITMQ_URL", "PONTOON_RABBITMQ_OLD_URL"];
/// What comes does so within this time after it is due, kills of the broker and a slow machine included.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many unsettled deliveries a consumer here has at most.
const PREFETCH: usize = 100;

fn long() -> bool {
    std::env::var("PONTOON_DELAYS").is_ok_and(|form| form == "long")
}

/// The three lengths that are mixed.
fn lengths() -> [Duration; 3] {
    let longest = if long() { 20_000 } else { 4_000 };
    [50, longest / 6, longest].map(Duration::from_millis)
}

async fn connect(url: &str) -> AnyTransport {
    AnyTransport::new(RabbitTransport::connect(RabbitConfig::from_url(url).unwrap()).await.unwrap())
}

/// The brokers that tests share.
fn shared(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"))
}

fn queue(of: &str) -> Channel {
    let mut channel = Channel::queue(format!("{of}.{:x}", pontoon_core::os_seed())).unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    channel
}

/// What one message went through.
struct Told {
    /// Before it was published.
    begun: Instant,
    delay: Duration,
    arrivals: Vec<Instant>,
}

/// A channel with one publisher, and one consumer that writes down what it gets.
struct Bench {
    publisher: Publisher,
    told: Arc<Mutex<HashMap<String, Told>>>,
    /// While it is there, deliveries are put into it instead of acknowledged.
    held: Arc<Mutex<Option<Vec<Delivery>>>>,
}

impl Bench {
    async fn of(transport: &AnyTransport, channel: &Channel) -> Bench {
        let mut options = PublisherOptions::default();
        options.deliver_within = PATIENCE;
        let publisher = Publisher::open(transport, channel.clone(), options, &Environment::new()).await.unwrap();
        let mut options = ConsumerOptions::default();
        options.prefetch = PREFETCH;
        let source = Source::new(channel.clone(), None).unwrap();
        let consumer = Consumer::open(transport, source, options, &Environment::new()).await.unwrap();
        let told = Arc::new(Mutex::new(HashMap::<String, Told>::new()));
        let held = Arc::new(Mutex::new(None::<Vec<Delivery>>));
        let (seen, holding) = (told.clone(), held.clone());
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let now = Instant::now();
                let id = delivery.message().id.to_string();
                seen.lock().unwrap().get_mut(&id).expect("it was published").arrivals.push(now);
                match &mut *holding.lock().unwrap() {
                    Some(held) => held.push(delivery),
                    None => _ = delivery.ack(),
                }
            }
        });
        Bench { publisher, told, held }
    }

    /// Publishes so many, of these lengths in turn; their outcomes are yet to come.
    async fn begin(&self, count: usize, lengths: &[Duration]) -> Vec<Pending> {
        let mut pending = Vec::new();
        for at in 0..count {
            let delay = lengths[at % lengths.len()];
            let id = format!("{:x}-{at}", pontoon_core::os_seed());
            let told = Told { begun: Instant::now(), delay, arrivals: Vec::new() };
            self.told.lock().unwrap().insert(id.clone(), told);
            let message = Message::new("body").with_id(id.as_str()).with_delay(Delay::For(delay));
            pending.push(self.publisher.enqueue(message).await.unwrap());
        }
        pending
    }

    /// As [`begin`](Self::begin), until all are confirmed.
    async fn put(&self, count: usize, lengths: &[Duration]) {
        confirmed(self.begin(count, lengths).await).await;
    }

    fn arrived(&self) -> usize {
        self.told.lock().unwrap().values().filter(|told| !told.arrivals.is_empty()).count()
    }

    /// Waits until this holds.
    async fn until(&self, what: &str, holds: impl Fn(&Bench) -> bool) {
        let longest = self.told.lock().unwrap().values().map(|told| told.delay).max().unwrap_or_default();
        let end = Instant::now() + longest + PATIENCE;
        while !holds(self) {
            let all = self.told.lock().unwrap().len();
            assert!(Instant::now() < end, "{what}: {} of {all} came", self.arrived());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All come, none before its time; how many came again.
    async fn all_came(&self, what: &str) -> usize {
        self.until(what, |bench| bench.arrived() == bench.told.lock().unwrap().len()).await;
        let told = self.told.lock().unwrap();
        for (id, Told { begun, delay, arrivals }) in &*told {
            let waited = arrivals[0] - *begun;
            assert!(waited >= *delay, "{what}: {id} came after {waited:?} of {delay:?}");
        }
        told.values().map(|told| told.arrivals.len() - 1).sum()
    }
}

/// Everything is confirmed in the end.
async fn confirmed(pending: Vec<Pending>) {
    for outcome in pending {
        outcome.await.unwrap();
    }
}

#[tokio::test]
async fn short_delays_wait_neither_for_long_ones_nor_for_a_backlog() {
    let backlog = if long() { 10_000 } else { 1_000 };
    for variable in BROKERS {
        let transport = connect(&shared(variable)).await;
        let (full, other) = (queue("full"), queue("other"));
        let (full, other) = (Bench::of(&transport, &full).await, Bench::of(&transport, &other).await);
        let lengths = lengths();
        full.put(backlog, &lengths[2..]).await;
        other.put(60, &lengths).await;
        assert_eq!(full.all_came("backlog").await, 0, "{variable}: without faults each comes once");
        assert_eq!(other.all_came("mixed").await, 0, "{variable}: without faults each comes once");
        let told = other.told.lock().unwrap();
        let came = |length| told.values().filter(move |told| told.delay == length).map(|told| told.arrivals[0]);
        let (last_short, first_long) = (came(lengths[0]).max().unwrap(), came(lengths[2]).min().unwrap());
        assert!(last_short < first_long, "{variable}: short ones waited behind long ones");
    }
}

/// What a queue holds, and whether it is there.
async fn deleted(transport: &AnyTransport, queue: &str) {
    let native = transport.extensions().native.unwrap().downcast::<RabbitConnections>().unwrap();
    let client = native.consuming().await.unwrap().create_channel().await.unwrap();
    client.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
}

async fn undeliverable(transport: &AnyTransport) -> u32 {
    let native = transport.extensions().native.unwrap().downcast::<RabbitConnections>().unwrap();
    let client = native.consuming().await.unwrap().create_channel().await.unwrap();
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    client.queue_declare("pontoon--undeliverable".into(), options, FieldTable::default()).await.unwrap().message_count()
}

#[tokio::test]
async fn a_target_that_is_deleted_holds_up_nobody_and_what_was_due_for_it_is_kept() {
    let delay = Duration::from_secs(2);
    for variable in BROKERS {
        let transport = connect(&shared(variable)).await;
        let (gone, other) = (queue("gone"), queue("other"));
        let other = Bench::of(&transport, &other).await;
        transport.ensure(&Ensure::new(gone.clone())).await.unwrap();
        let options = PublisherOptions::default();
        let publisher = Publisher::open(&transport, gone.clone(), options, &Environment::new()).await.unwrap();
        let mut pending = Vec::new();
        for at in 0..100 {
            let message = Message::new(format!("{at}")).with_delay(Delay::For(delay));
            pending.push(publisher.enqueue(message).await.unwrap());
        }
        confirmed(pending).await;
        let before = undeliverable(&transport).await;
        deleted(&transport, gone.name.as_str()).await;
        // Behind those that lead nowhere, in the same bucket.
        other.put(100, &[delay]).await;
        assert_eq!(other.all_came("others").await, 0, "{variable}");
        let end = Instant::now() + PATIENCE;
        while undeliverable(&transport).await < before + 100 {
            assert!(Instant::now() < end, "{variable}: {} of 100 are kept", undeliverable(&transport).await - before);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Declared again, it gets what is delayed from now on.
        let again = Bench::of(&transport, &gone).await;
        let message = Message::new("late").with_id("late").with_delay(Delay::For(delay));
        let told = Told { begun: Instant::now(), delay, arrivals: Vec::new() };
        again.told.lock().unwrap().insert("late".into(), told);
        publisher.publish(message).await.unwrap();
        again.all_came("declared again").await;
    }
}

/// Kills the broker in each hop of a delay: on the way into a bucket and in it, and on the way to the target and in hand.
async fn killed_in_each_hop(name: &'static str) {
    let began = |what: &str| println!("{name}: {what}");
    let server = Arc::new(tokio::task::spawn_blocking(move || Server::start(name).unwrap()).await.unwrap());
    let transport = connect(&server.url()).await;
    let bench = Bench::of(&transport, &queue("killed")).await;
    let lengths = lengths();
    bench.put(3, &lengths).await;
    // What was declared a moment ago is lost with the broker.
    tokio::time::sleep(SAFE_AFTER).await;
    let restart = || {
        let server = server.clone();
        tokio::task::spawn_blocking(move || server.kill().and_then(|()| server.up()).unwrap())
    };
    let rounds = if long() { 5 } else { 1 };
    for _ in 0..rounds {
        began("killed while some are on their way into buckets, and some wait there");
        let mut pending = bench.begin(600, &lengths).await;
        let late = pending.split_off(200);
        confirmed(pending).await;
        restart().await.unwrap();
        confirmed(late).await;

        began("killed while some are on their way to the target, and some are held there");
        bench.all_came("before they are held").await;
        let before = bench.arrived();
        *bench.held.lock().unwrap() = Some(Vec::new());
        bench.put(300, &lengths[1..2]).await;
        bench.until("held", |bench| bench.arrived() > before).await;
        let held = bench.held.lock().unwrap().take().unwrap();
        restart().await.unwrap();
        // The broker took them back: a late acknowledgement settles nothing.
        assert!(held.into_iter().all(|delivery| delivery.ack() == Settled::Stale), "{name}");
        bench.all_came("after they were held").await;
    }
    let again = bench.all_came("in the end").await;
    // Of what a kill strikes comes again: what was unsettled, what was unconfirmed, and what a bucket was handing over.
    let window = PREFETCH + 600;
    assert!(again <= 2 * rounds * window, "{again} came again");
    println!("{name}: {} delays, {} kills, {again} came again", bench.arrived(), 2 * rounds);
    transport.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_each_hop_lose_nothing_on_4_0() {
    killed_in_each_hop("rabbitmq").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_each_hop_lose_nothing_on_3_10() {
    killed_in_each_hop("rabbitmq-old").await;
}
