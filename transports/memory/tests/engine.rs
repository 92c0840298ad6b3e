//! The engine's consumer over the memory transport, in paused time: the shell around the state machine.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pontoon_core::driver::{AnyTransport, Settled};
use pontoon_core::engine::{Consumer, ConsumerOptions, Delivery, Environment, Publisher, PublisherOptions};
use pontoon_core::{
    Channel, ChannelName, DeadLetterPolicy, DeliveryGuarantee, ErrorKind, Event, EventHook, EventKind, Key, Message,
    Order, ReasonKind, Retry, Source,
};
use pontoon_memory::{MemoryConfig, MemoryServer, MemoryTransport};
use tokio::time::{Instant, timeout};

const MS: fn(u64) -> Duration = Duration::from_millis;

struct Rig {
    server: MemoryServer,
    transport: AnyTransport,
    env: Environment,
    channel: Channel,
}

fn rig(order: Order) -> Rig {
    rig_with(order, MemoryConfig::default())
}

fn rig_with(order: Order, config: MemoryConfig) -> Rig {
    let server = MemoryServer::new(config);
    let transport = AnyTransport::new(MemoryTransport::new(&server));
    let mut channel = Channel::queue("work").unwrap();
    channel.order = order;
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("work.dead").unwrap());
    Rig { server, transport, env: Environment::new().seeded(1), channel }
}

impl Rig {
    async fn consumer(&self, change: impl FnOnce(&mut ConsumerOptions)) -> Consumer {
        let mut options = ConsumerOptions::default();
        options.retry = Retry::fixed(MS(100)).jitter(0.0).attempts(3);
        change(&mut options);
        let source = Source::new(self.channel.clone(), None).unwrap();
        Consumer::open(&self.transport, source, options, &self.env).await.unwrap()
    }

    async fn publish(&self, messages: impl IntoIterator<Item = (&str, &str)>) {
        let publisher = Publisher::open(&self.transport, self.channel.clone(), PublisherOptions::default(), &self.env)
            .await
            .unwrap();
        let message = |(id, key): (&str, &str)| {
            let message = Message::new(id.as_bytes().to_vec()).with_id(id);
            if key.is_empty() { message } else { message.with_key(key) }
        };
        publisher.publish_all(messages.into_iter().map(message)).await.into_result().unwrap();
    }
}

async fn next(consumer: &Consumer) -> Delivery {
    timeout(Duration::from_secs(60), consumer.next()).await.expect("in time").expect("open").expect("healthy")
}

async fn nothing_for(consumer: &Consumer, time: Duration) {
    assert!(timeout(time, consumer.next()).await.is_err(), "nothing within {time:?}");
}

fn id(delivery: &Delivery) -> String {
    delivery.message().id.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_delivered_acked_and_gone() {
    let rig = rig(Order::Unordered);
    let consumer = rig.consumer(|_| {}).await;
    rig.publish([("a", ""), ("b", "")]).await;
    for expected in ["a", "b"] {
        let delivery = next(&consumer).await;
        assert_eq!(id(&delivery), expected);
        assert!(delivery.attempt().is_first());
        assert_eq!(delivery.ack(), Settled::Recorded);
    }
    nothing_for(&consumer, Duration::from_secs(100)).await;
    let report = consumer.drain(Duration::from_secs(1)).await;
    assert!(report.is_clean() && report.released == 0, "{report}");
    assert!(consumer.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_consumer_is_woken_and_a_dropped_next_loses_nothing() {
    let rig = rig(Order::Unordered);
    let consumer = rig.consumer(|_| {}).await;
    for n in 0..50 {
        let waiting = timeout(MS(n), consumer.next()).await;
        assert!(waiting.is_err());
        let text = n.to_string();
        let sleeper = tokio::spawn({
            let consumer = consumer.clone();
            async move { id(&next(&consumer).await) }
        });
        if n % 2 == 0 {
            tokio::time::sleep(MS(1)).await;
        }
        rig.publish([(text.as_str(), "")]).await;
        // Its delivery was dropped, so it comes again.
        assert_eq!(sleeper.await.unwrap(), text);
        let again = next(&consumer).await;
        assert_eq!(id(&again), text);
        again.ack_confirmed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failures_block_their_key_then_dead_letter_with_everything_kept() {
    let rig = rig(Order::BLOCK);
    let consumer = rig.consumer(|_| {}).await;
    rig.publish([("a1", "a"), ("a2", "a"), ("b1", "b")]).await;
    let start = Instant::now();
    for attempt in 1..=3 {
        let delivery = next(&consumer).await;
        assert_eq!((id(&delivery).as_str(), delivery.attempt().at_least), ("a1", attempt));
        if attempt == 1 {
            let other = next(&consumer).await;
            assert_eq!(id(&other), "b1");
            let _ = other.ack();
        }
        let _ = delivery.retry(None, "boom");
        if attempt < 3 {
            nothing_for(&consumer, MS(99)).await;
        }
    }
    assert_eq!(start.elapsed(), MS(200));
    let second = next(&consumer).await;
    assert_eq!((id(&second).as_str(), second.attempt().at_least), ("a2", 1));
    let _ = second.reject("not today");
    let _ = consumer.drain(Duration::from_secs(5)).await;
    let dead = rig.server.queue("work.dead").unwrap();
    let reasons: Vec<_> = dead
        .messages
        .iter()
        .map(|m| {
            let info = m.message.history().dead_letter.clone().unwrap();
            (m.message.id.to_string(), info.reason.unwrap(), info.error.clone().unwrap().to_string())
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("a1".into(), ReasonKind::MaxAttempts, "boom".into()),
            ("a2".into(), ReasonKind::Rejected, "not today".into())
        ]
    );
    assert!(rig.server.queue("work").unwrap().messages.is_empty());
}

#[tokio::test(start_paused = true)]
async fn slow_handlers_keep_their_lease_and_lost_ones_are_told() {
    let rig = rig(Order::Unordered);
    let consumer = rig.consumer(|_| {}).await;
    rig.publish([("a", "")]).await;
    let delivery = next(&consumer).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!delivery.lease().is_lost(), "extended ten times over");
    let lease = delivery.lease();
    let told = tokio::spawn(async move { lease.lost().await });
    tokio::task::yield_now().await;
    rig.server.disconnect_all();
    timeout(Duration::from_secs(1), told).await.expect("told").unwrap();
    assert_eq!(delivery.ack(), Settled::Stale);
    let again = next(&consumer).await;
    assert_eq!(id(&again), "a");
    assert_eq!(again.attempt().at_least, 1, "a lost connection is no failure");
    assert_eq!(again.attempt().at_most, Some(2));
    again.ack_confirmed().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn prefetch_bounds_what_is_out_and_room_wakes_whoever_waits() {
    let rig = rig(Order::Unordered);
    let consumer = rig.consumer(|o| o.prefetch = 2).await;
    rig.publish([("a", ""), ("b", ""), ("c", "")]).await;
    let (first, _second) = (next(&consumer).await, next(&consumer).await);
    let third = tokio::spawn({
        let consumer = consumer.clone();
        async move { id(&next(&consumer).await) }
    });
    tokio::time::sleep(MS(50)).await;
    assert!(!third.is_finished());
    let _ = first.ack();
    assert_eq!(timeout(MS(10), third).await.expect("woken").unwrap(), "c");
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_what_runs_and_names_what_it_gives_up() {
    let rig = rig(Order::BLOCK);
    let consumer = rig.consumer(|_| {}).await;
    rig.publish([("a1", "a"), ("b1", "b"), ("c1", "c")]).await;
    let (a, b) = (next(&consumer).await, next(&consumer).await);
    let drain = tokio::spawn({
        let consumer = consumer.clone();
        async move { consumer.drain(MS(500)).await }
    });
    tokio::time::sleep(MS(100)).await;
    assert!(consumer.next().await.is_none(), "nothing is started any more");
    assert_eq!(a.ack(), Settled::Recorded);
    let report = drain.await.unwrap();
    assert_eq!(report.abandoned.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b1"]);
    assert_eq!(b.ack(), Settled::Stale);
    let left: Vec<_> = rig.server.queue("work").unwrap().messages.iter().map(|m| m.message.id.to_string()).collect();
    assert_eq!(left, ["b1", "c1"]);
    let again = consumer.drain(MS(1)).await;
    assert_eq!(again.abandoned.len(), 1, "draining twice gives the same report");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_consumer_lets_running_deliveries_settle() {
    let rig = rig(Order::Unordered);
    let consumer = rig.consumer(|_| {}).await;
    rig.publish([("a", ""), ("b", "")]).await;
    let delivery = next(&consumer).await;
    drop(consumer);
    tokio::time::sleep(MS(10)).await;
    assert_eq!(delivery.ack(), Settled::Recorded);
    tokio::time::sleep(MS(10)).await;
    let left: Vec<_> = rig.server.queue("work").unwrap().messages.iter().map(|m| m.message.id.to_string()).collect();
    assert_eq!(left, ["b"]);
    let other = rig.consumer(|_| {}).await;
    assert_eq!(id(&next(&other).await), "b");
}

#[tokio::test(start_paused = true)]
async fn releases_and_drops_come_again_at_a_pace() {
    let rig = rig(Order::Unordered);
    let consumer = rig.consumer(|_| {}).await;
    rig.publish([("a", "")]).await;
    let start = Instant::now();
    let mut gaps = Vec::new();
    let mut last = start;
    for _ in 0..8 {
        let delivery = next(&consumer).await;
        assert!(delivery.attempt().is_first(), "{}", delivery.attempt());
        gaps.push(last.elapsed().as_millis());
        last = Instant::now();
        drop(delivery);
    }
    for (gap, least) in gaps[1..].iter().zip([100, 200, 400, 800, 1600, 3200, 5000]) {
        assert!((least..least + 10).contains(gap), "{gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_once_never_delivers_twice() {
    let mut rig = rig(Order::Unordered);
    rig.channel.dead_letter = DeadLetterPolicy::Undeclared;
    let consumer = rig
        .consumer(|o| {
            o.guarantee = DeliveryGuarantee::AtMostOnce;
            o.retry = Retry::never();
        })
        .await;
    rig.publish([("a", ""), ("b", "")]).await;
    let first = next(&consumer).await;
    rig.server.disconnect_all();
    drop(first);
    let second = next(&consumer).await;
    assert_eq!(id(&second), "b");
    let _ = second.retry(None, "no matter");
    nothing_for(&consumer, Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn openings_that_cannot_keep_their_promise_are_refused() {
    let rig = rig(Order::Unordered);
    let mut channel = rig.channel.clone();
    channel.dead_letter = DeadLetterPolicy::Undeclared;
    let open = |channel: Channel, options: ConsumerOptions| {
        let source = Source::new(channel, None).unwrap();
        let (transport, env) = (rig.transport.clone(), rig.env.clone());
        async move { Consumer::open(&transport, source, options, &env).await.unwrap_err() }
    };
    let error = open(channel, ConsumerOptions::default()).await;
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("dead_letter"), "{error}");
    let mut options = ConsumerOptions::default();
    options.guarantee = DeliveryGuarantee::ExactlyOnce;
    assert_eq!(open(rig.channel.clone(), options).await.kind(), ErrorKind::Unsupported);
    let mut options = ConsumerOptions::default();
    options.guarantee = DeliveryGuarantee::AtMostOnce;
    assert_eq!(open(rig.channel.clone(), options).await.kind(), ErrorKind::InvalidConfig);
    let mut options = ConsumerOptions::default();
    options.prefetch = 0;
    assert_eq!(open(rig.channel.clone(), options).await.kind(), ErrorKind::InvalidConfig);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_falls_behind_reaches_only_its_subscription() {
    let server = MemoryServer::new(MemoryConfig::default());
    let transport = AnyTransport::new(MemoryTransport::new(&server));
    let env = Environment::new().seeded(1);
    let mut channel = Channel::topic("news").unwrap();
    channel.order = Order::Block { max_blocked_keys: 9, longest_wait: MS(50), spill: pontoon_core::Spill::FallBehind };
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("news.dead").unwrap());
    let mut consumers = Vec::new();
    for name in ["one", "two"] {
        let source = Source::new(channel.clone(), Some(pontoon_core::Subscription::new(name).unwrap())).unwrap();
        let mut options = ConsumerOptions::default();
        options.retry = Retry::fixed(MS(100)).jitter(0.0);
        consumers.push(Consumer::open(&transport, source, options, &env).await.unwrap());
    }
    let publisher = Publisher::open(&transport, channel, PublisherOptions::default(), &env).await.unwrap();
    publisher.publish(Message::new("a").with_id("a").with_key("k")).await.unwrap();
    for _ in 0..2 {
        let _ = next(&consumers[0]).await.retry(None, "no");
    }
    let copy = next(&consumers[0]).await;
    assert_eq!((id(&copy).as_str(), copy.attempt().at_least), ("a", 3));
    copy.ack_confirmed().await.unwrap();
    next(&consumers[1]).await.ack_confirmed().await.unwrap();
    nothing_for(&consumers[1], Duration::from_secs(10)).await;
    nothing_for(&consumers[0], Duration::from_secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn at_the_channels_bound_publishers_wait() {
    let mut config = MemoryConfig::default();
    config.max_messages = 10;
    let rig = rig_with(Order::Unordered, config);
    let consumer = rig.consumer(|_| {}).await;
    let publisher =
        Publisher::open(&rig.transport, rig.channel.clone(), PublisherOptions::default(), &rig.env).await.unwrap();
    for _ in 0..10 {
        publisher.publish(Message::new("x")).await.unwrap();
    }
    let waiting = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish(Message::new("last")).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!waiting.is_finished(), "there is no room, and the deadline is far");
    let _ = next(&consumer).await.ack();
    timeout(Duration::from_secs(1), waiting).await.expect("room wakes it").unwrap().unwrap();
}

#[derive(Default)]
struct Seen(Mutex<Vec<EventKind>>);

impl EventHook for Seen {
    fn wants(&self, _: EventKind) -> bool {
        true
    }
    fn on_event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(event.kind());
    }
}

/// Hears one kind, and wants no other.
struct Only(EventKind, Seen);

impl EventHook for Only {
    fn wants(&self, kind: EventKind) -> bool {
        kind == self.0
    }
    fn on_event(&self, event: &Event<'_>) {
        self.1.on_event(event);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_hears_what_it_wants_and_nothing_else() {
    for kind in [EventKind::Disconnected, EventKind::Reconnected, EventKind::LeaseLost, EventKind::Stale] {
        let mut rig = rig(Order::Unordered);
        let only = Arc::new(Only(kind, Seen::default()));
        rig.env = Environment::new().seeded(1).with_hook(only.clone());
        let consumer = rig.consumer(|_| {}).await;
        rig.publish([("a", "")]).await;
        let running = next(&consumer).await;
        rig.server.disconnect_all();
        tokio::time::sleep(MS(300)).await;
        let _ = running.ack();
        let _ = next(&consumer).await.reject("y");
        let _ = consumer.drain(Duration::from_secs(1)).await;
        let heard = only.1.0.lock().unwrap().clone();
        assert!(!heard.is_empty() && heard.iter().all(|other| *other == kind), "{kind:?}: {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_story() {
    let mut rig = rig(Order::Unordered);
    let seen = Arc::new(Seen::default());
    rig.env = Environment::new().seeded(1).with_hook(seen.clone());
    let consumer = rig.consumer(|_| {}).await;
    rig.publish([("a", "")]).await;
    let _ = next(&consumer).await.retry(Some(MS(10)), "x");
    let second = next(&consumer).await;
    rig.server.disconnect_all();
    tokio::time::sleep(MS(300)).await;
    let _ = second.ack();
    let _ = next(&consumer).await.reject("y");
    let _ = consumer.drain(Duration::from_secs(1)).await;
    let seen = seen.0.lock().unwrap().clone();
    let expected = [
        EventKind::Published,
        EventKind::Delivered,
        EventKind::Retried,
        EventKind::Disconnected,
        EventKind::Reconnected,
        EventKind::LeaseLost,
        EventKind::Stale,
        EventKind::DeadLettered,
    ];
    for kind in expected {
        assert!(seen.contains(&kind), "{kind:?} is missing in {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_consumers_on_threads_share_without_loss_or_duplicates() {
    let rig = rig(Order::BLOCK);
    let total: u64 = 20_000;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let done = Arc::new(tokio::sync::Semaphore::new(0));
    let mut consumers = Vec::new();
    for _ in 0..3 {
        let consumer = rig.consumer(|o| o.prefetch = 16).await;
        for _ in 0..2 {
            let (consumer, seen, done) = (consumer.clone(), seen.clone(), done.clone());
            tokio::spawn(async move {
                while let Some(Ok(delivery)) = consumer.next().await {
                    let number = u64::from_be_bytes(delivery.message().body[..8].try_into().unwrap());
                    // Before the ack: the next of the key may be handled elsewhere at once.
                    seen.lock().unwrap().push(number);
                    assert_eq!(delivery.ack(), Settled::Recorded);
                    done.add_permits(1);
                }
            });
        }
        consumers.push(consumer);
    }
    let publisher =
        Publisher::open(&rig.transport, rig.channel.clone(), PublisherOptions::default(), &rig.env).await.unwrap();
    for start in (0..total).step_by(50) {
        let batch = (start..start + 50).map(|n| Message::new(n.to_be_bytes().to_vec()).with_key(Key::from(n % 37)));
        publisher.publish_all(batch).await.into_result().unwrap();
    }
    timeout(Duration::from_secs(60), done.acquire_many(total as u32)).await.expect("all arrive").unwrap().forget();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len() as u64, total);
    let mut last = [None; 37];
    for number in seen {
        let key = (number % 37) as usize;
        assert!(last[key] < Some(number), "{number} after {:?}", last[key]);
        last[key] = Some(number);
    }
    for consumer in consumers {
        assert!(consumer.drain(Duration::from_secs(5)).await.is_clean());
    }
}

#[test]
fn an_idle_consumer_rests() {
    // Paused time moves only while every task rests: a pump that spins would stop it for ever.
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let rig = rig(Order::Unordered);
            let consumer = rig.consumer(|_| {}).await;
            rig.publish([("a", "")]).await;
            let _ = next(&consumer).await.ack();
            // Flushes the settlement before the pump's own tick, and goes away.
            nothing_for(&consumer, MS(1)).await;
            tokio::time::sleep(Duration::from_secs(3600)).await;
        });
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("something spins while nothing happens");
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_what_nobody_asks_for_is_released_and_comes_again() {
    for order in [Order::Unordered, Order::BLOCK] {
        let rig = rig(order);
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        // Two keys: of each, one message may run, the others wait their turn.
        rig.publish(names.iter().map(|name| (name.as_str(), if name.as_str() < "5" { "a" } else { "b" }))).await;
        let consumer = rig.consumer(|_| {}).await;
        let mut batch = consumer.next_batch(4).await.unwrap().unwrap();
        let expected = if order.is_ordered() { ["0", "5"].as_slice() } else { ["0", "1", "2", "3"].as_slice() };
        assert_eq!((batch.len(), consumer.running()), (expected.len(), expected.len()));
        let first = batch.next().unwrap();
        assert_eq!((id(&first), first.attempt().at_least), (expected[0].to_owned(), 1));
        drop(batch);
        assert_eq!(consumer.running(), 1, "{order:?}");
        assert_eq!(first.ack(), Settled::Recorded);
        let mut seen = Vec::new();
        while seen.len() < 9 {
            let batch = timeout(Duration::from_secs(60), consumer.next_batch(3)).await.expect("in time");
            for delivery in batch.unwrap().unwrap() {
                seen.push(id(&delivery));
                assert_eq!(delivery.ack(), Settled::Recorded);
            }
        }
        let of = |key: std::ops::Range<u8>| {
            let mut of_key = seen.iter().filter(|id| key.contains(&id.as_bytes()[0])).cloned().collect::<Vec<_>>();
            if !order.is_ordered() {
                of_key.sort();
            }
            of_key
        };
        assert_eq!(of(b'0'..b'5'), ["1", "2", "3", "4"], "{order:?}");
        assert_eq!(of(b'5'..b'9' + 1), ["5", "6", "7", "8", "9"], "{order:?}");
        assert!(consumer.drain(Duration::from_secs(1)).await.is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_while_another_handles() {
    let rig = rig(Order::Unordered);
    let consumer = rig.consumer(|_| {}).await;
    let (first, second) = (consumer.clone(), consumer.clone());
    let held = tokio::spawn(async move { next(&first).await });
    let waits = tokio::spawn(async move { next(&second).await });
    tokio::time::sleep(MS(50)).await;
    rig.publish([("a", "")]).await;
    tokio::time::sleep(MS(50)).await;
    rig.publish([("b", "")]).await;
    let both = timeout(Duration::from_secs(5), async { (held.await.unwrap(), waits.await.unwrap()) });
    let (one, other) = both.await.expect("both are served");
    assert_ne!(id(&one), id(&other));
    assert_eq!((one.ack(), other.ack()), (Settled::Recorded, Settled::Recorded));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_brings_what_arrived_and_nothing_else() {
    let mut config = MemoryConfig::default();
    config.key_window = 2;
    let rig = rig_with(Order::BLOCK, config);
    let consumer = rig.consumer(|_| {}).await;
    rig.publish([("a1", "a")]).await;
    let first = next(&consumer).await;
    let waiting = tokio::spawn({
        let consumer = consumer.clone();
        async move { consumer.next_batch(4).await.unwrap().unwrap().collect::<Vec<_>>() }
    });
    // What arrives first must wait for its key, so the batch goes on waiting.
    tokio::time::sleep(MS(300)).await;
    rig.publish([("a2", "a")]).await;
    tokio::time::sleep(MS(300)).await;
    rig.publish([("b1", "b")]).await;
    let batch = timeout(Duration::from_secs(60), waiting).await.expect("in time").unwrap();
    assert_eq!(batch.iter().map(id).collect::<Vec<_>>(), ["b1"]);
    for delivery in batch {
        assert_eq!(delivery.ack(), Settled::Recorded);
    }
    nothing_for(&consumer, MS(300)).await;
    assert_eq!(first.ack(), Settled::Recorded);
    let second = next(&consumer).await;
    assert_eq!(id(&second), "a2");
    assert_eq!(second.ack(), Settled::Recorded);
    assert!(consumer.drain(Duration::from_secs(1)).await.is_clean());
}
