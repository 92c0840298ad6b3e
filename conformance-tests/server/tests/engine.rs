//! The engine over the server: what it does with what the transport declares.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{BOUND, QUIET};
use pontoon_core::driver::{AnyTransport, Settled, Transport};
use pontoon_core::engine::{Consumer, ConsumerOptions, Delivery, Environment, Publisher, PublisherOptions, Reconnect};
use pontoon_core::*;
use pontoon_memory_server::*;
use tokio::time::timeout;

struct Rig {
    server: MemoryServer,
    transport: AnyTransport,
    env: Environment,
    channel: Channel,
}

impl Rig {
    async fn new(order: Order) -> Self {
        let server = MemoryServer::start(common::options()).unwrap();
        let transport = connect(&server.url()).await.unwrap();
        let mut channel = Channel::queue("work").unwrap();
        channel.order = order;
        channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("work.dead").unwrap());
        Rig { server, transport, env: Environment::new().seeded(1), channel }
    }

    async fn consumer_of(&self, channel: Channel, change: impl FnOnce(&mut ConsumerOptions)) -> Consumer {
        let mut options = ConsumerOptions::default();
        options.retry = Retry::fixed(Duration::from_millis(50)).jitter(0.0).attempts(3);
        change(&mut options);
        Consumer::open(&self.transport, Source::new(channel, None).unwrap(), options, &self.env).await.unwrap()
    }

    async fn consumer(&self) -> Consumer {
        self.consumer_of(self.channel.clone(), |_| {}).await
    }

    async fn publish(&self, ids: &[&str]) {
        let options = PublisherOptions::default();
        let publisher = Publisher::open(&self.transport, self.channel.clone(), options, &self.env).await.unwrap();
        let messages = ids.iter().map(|id| Message::new(id.as_bytes().to_vec()).with_id(*id).with_key("k"));
        publisher.publish_all(messages.collect::<Vec<_>>()).await.into_result().unwrap();
    }

    async fn depth(&self, channel: &str) -> u64 {
        let channel = Channel::existing(channel.to_owned(), ChannelKind::Queue).unwrap();
        let depth = self.transport.extensions().depth.unwrap();
        let report = depth.depth(&Source::new(channel, None).unwrap()).await.unwrap();
        report.ready + report.delayed.unwrap() + report.in_flight.unwrap()
    }
}

async fn next(consumer: &Consumer) -> Delivery {
    timeout(BOUND, consumer.next()).await.expect("in time").expect("open").expect("healthy")
}

/// How long the publisher of dead letters waits before it connects again.
#[derive(Default)]
struct Waits(Mutex<Vec<Duration>>);

impl EventHook for Waits {
    fn wants(&self, kind: EventKind) -> bool {
        kind == EventKind::Disconnected
    }
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Disconnected { channel, retry_in, .. } = event
            && channel.name.as_str() == "work.dead"
        {
            self.0.lock().unwrap().push(*retry_in);
        }
    }
}

#[tokio::test]
async fn what_stores_dead_letters_reconnects_as_its_consumer_does() {
    let mut rig = Rig::new(Order::BLOCK).await;
    let waits = Arc::new(Waits::default());
    rig.env = rig.env.with_hook(waits.clone());
    let cap = Duration::from_millis(2);
    let reconnect = |options: &mut ConsumerOptions| options.reconnect = Reconnect::new(cap, cap);
    let consumer = rig.consumer_of(rig.channel.clone(), reconnect).await;
    for round in 1..=6 {
        rig.publish(&["rejected"]).await;
        let _ = next(&consumer).await.reject("no");
        let stored = async {
            // The step of a bounded wait.
            while rig.depth("work.dead").await < round {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(BOUND, stored).await.expect("it is stored");
        rig.server.hurt(Hurt::Cut).await.unwrap();
    }
    let waits = waits.0.lock().unwrap();
    assert!(waits.len() >= 5, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= cap), "{waits:?}");
}

#[tokio::test]
async fn dead_letters_go_by_confirmed_copies_and_survive() {
    let mut rig = Rig::new(Order::BLOCK).await;
    assert_eq!(rig.transport.capabilities(&rig.channel).level(Capability::AtomicReplace), Level::Absent);
    let consumer = rig.consumer().await;
    rig.publish(&["fails", "rejected", "fine"]).await;
    for attempt in 1..=3 {
        let delivery = next(&consumer).await;
        assert_eq!((delivery.message().id.to_string().as_str(), delivery.attempt().at_least), ("fails", attempt));
        let _ = delivery.retry(None, "boom");
    }
    let _ = next(&consumer).await.reject("not today");
    let last = next(&consumer).await;
    assert_eq!(last.message().id.to_string(), "fine");
    last.ack_confirmed().await.unwrap();
    assert!(consumer.drain(BOUND).await.is_clean());
    assert_eq!((rig.depth("work").await, rig.depth("work.dead").await), (0, 2));

    rig.server.restart().unwrap();
    let dead = rig.consumer_of(rig.channel.dead_letter_channel().unwrap(), |_| {}).await;
    for (id, reason, error) in
        [("fails", ReasonKind::MaxAttempts, "boom"), ("rejected", ReasonKind::Rejected, "not today")]
    {
        let letter = next(&dead).await;
        let info = letter.message().history().dead_letter.clone().unwrap();
        assert_eq!(letter.message().id.to_string(), id);
        assert_eq!((info.reason, info.error.as_deref()), (Some(reason), Some(error)));
        assert_eq!(info.channel.as_deref(), Some("work"));
        assert!(info.first_failure_ms.is_some() && info.last_failure_ms.is_some());
        let _ = letter.ack();
    }
}

#[tokio::test]
async fn attempts_go_on_after_a_restart() {
    let mut rig = Rig::new(Order::Unordered).await;
    let consumer = rig.consumer().await;
    rig.publish(&["a"]).await;
    let first = next(&consumer).await;
    assert!(first.attempt().is_first());
    assert_eq!(first.retry(None, "boom"), Settled::Recorded);
    let _ = consumer.flush().await;
    rig.server.restart().unwrap();
    let second = next(&consumer).await;
    assert_eq!(second.attempt(), Attempt { at_least: 2, at_most: Some(2) });
    drop(second);
}

#[tokio::test]
async fn a_settlement_before_a_kill_is_unknown_or_final_and_the_consumer_goes_on() {
    let mut rig = Rig::new(Order::Unordered).await;
    let consumer = rig.consumer().await;
    rig.publish(&["a", "b"]).await;
    let (first, second) = (next(&consumer).await, next(&consumer).await);
    first.ack_confirmed().await.unwrap();
    rig.server.restart().unwrap();
    // The lease went with the process.
    timeout(BOUND, second.lease().lost()).await.expect("told of the loss");
    assert_eq!(second.ack(), Settled::Stale);
    let again = next(&consumer).await;
    assert_eq!((again.message().id.to_string().as_str(), again.attempt().at_most), ("b", Some(2)));
    again.ack_confirmed().await.unwrap();
    assert_eq!(rig.depth("work").await, 0);
}

#[tokio::test]
async fn at_most_once_is_settled_before_it_is_handled() {
    let mut rig = Rig::new(Order::Unordered).await;
    let mut channel = rig.channel.clone();
    channel.dead_letter = DeadLetterPolicy::Undeclared;
    rig.channel = channel.clone();
    let consumer = rig
        .consumer_of(channel, |options| {
            options.guarantee = DeliveryGuarantee::AtMostOnce;
            options.retry = Retry::never();
        })
        .await;
    rig.publish(&["a"]).await;
    let delivery = next(&consumer).await;
    rig.server.restart().unwrap();
    drop(delivery);
    assert!(timeout(QUIET, consumer.next()).await.is_err(), "settled for good before it was handed out");
    assert_eq!(rig.depth("work").await, 0);
}

#[tokio::test]
async fn closing_a_publisher_while_the_server_is_silent_ends_by_its_deadline() {
    let rig = Rig::new(Order::Unordered).await;
    let options = PublisherOptions::default();
    let publisher = Publisher::open(&rig.transport, rig.channel.clone(), options, &rig.env).await.unwrap();
    rig.server.pause().unwrap();
    let pending = publisher.enqueue(Message::new("x")).await.unwrap();
    let _ = timeout(BOUND, publisher.close(Duration::from_millis(200))).await.expect("by its deadline");
    assert!(pending.await.unwrap_err().is_unknown());
    rig.server.resume().unwrap();
}
