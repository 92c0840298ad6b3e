//! What a channel keeps: for as long as it says, and without a reader no more than it is told to. On both servers.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Consumer, Other, connect, declare, messages, publish, urls};
use pontoon_core::driver::{AnyTransport, Disposition, Settled};
use pontoon_core::{Channel, DeadLetterPolicy, PublishOutcome, Retention, Source, Subscription};
use tokio::time::Instant;

const LATE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(100);

fn discarding(mut channel: Channel, retention: Retention) -> Channel {
    channel.dead_letter = DeadLetterPolicy::Discard;
    channel.retention = retention;
    channel
}

fn length(other: &mut Other, channel: &Channel) -> u64 {
    other.ask(&["XLEN", channel.name.as_str()]).parse().unwrap()
}

async fn put(transport: &AnyTransport, channel: &Channel, count: usize) {
    let outcomes = publish(transport, channel, messages((0..count).map(|n| n.to_string()))).await;
    assert!(outcomes.iter().all(PublishOutcome::is_confirmed));
}

#[tokio::test]
async fn a_publisher_alone_keeps_to_the_retention() {
    for url in urls() {
        let transport = connect(&url, "").await;
        let mut other = Other::at(&url);
        let brief =
            discarding(Channel::queue(common::name("brief")).unwrap(), Retention::For(Duration::from_millis(300)));
        let lasting = discarding(Channel::queue(common::name("lasting")).unwrap(), Retention::UntilSettled);
        for channel in [&brief, &lasting] {
            declare(&transport, channel, &[]).await;
            put(&transport, channel, 100).await;
        }
        let (deadline, mut rounds) = (Instant::now() + LATE, 0);
        // However fast this machine is, and however much of it is younger: the first hundred go.
        while length(&mut other, &brief) >= 100.max(rounds) {
            assert!(Instant::now() < deadline, "{} are kept", length(&mut other, &brief));
            for channel in [&brief, &lasting] {
                put(&transport, channel, 1).await;
            }
            rounds += 1;
        }
        assert_eq!(length(&mut other, &lasting), 100 + rounds, "what is kept until it is settled is");
    }
}

#[tokio::test]
async fn a_subscription_that_is_behind_the_retention_loses_what_is_older() {
    for url in urls() {
        for ordered in [false, true] {
            let transport = connect(&url, "look_every=20ms").await;
            let mut other = Other::at(&url);
            let retention = Retention::For(Duration::from_secs(1));
            let mut topic = discarding(Channel::topic(common::name("topic")).unwrap(), retention);
            if ordered {
                topic.order = pontoon_core::Order::FallBehind;
            }
            declare(&transport, &topic, &["fast", "slow"]).await;
            put(&transport, &topic, 100).await;
            let source = Source::new(topic.clone(), Some(Subscription::new("fast").unwrap())).unwrap();
            let mut fast = Consumer::open(&transport, source).await;
            let deadline = Instant::now() + LATE;
            // Nobody settles anything of the other, so that only its age takes it away.
            while length(&mut other, &topic) > 0 {
                assert!(Instant::now() < deadline, "{} are kept", length(&mut other, &topic));
                for incoming in fast.take(100, SOON).await.unwrap() {
                    assert_eq!(fast.settle(incoming.token, Disposition::Ack), Settled::Recorded);
                }
                assert!(fast.flush().await.is_empty());
            }
            fast.close().await;
        }
    }
}

#[tokio::test]
async fn each_stream_of_a_sharded_topic_is_trimmed() {
    for url in urls() {
        let transport = connect(&url, "").await;
        let mut other = Other::at(&url);
        let mut topic = discarding(Channel::topic(common::name("sharded")).unwrap(), Retention::UntilSettled);
        (topic.order, topic.shards) = (pontoon_core::Order::FallBehind, Some(4));
        declare(&transport, &topic, &["one"]).await;
        let keyed = |n: u32| pontoon_core::Message::new(n.to_string()).with_key(format!("key {n}"));
        let outcomes = publish(&transport, &topic, (0..400).map(keyed).collect()).await;
        assert!(outcomes.iter().all(PublishOutcome::is_confirmed));
        let streams: Vec<_> = (0..4).map(|shard| format!("{{{}}}--shard-{shard}", topic.name)).collect();
        let mut left =
            || -> Vec<u64> { streams.iter().map(|stream| other.ask(&["XLEN", stream]).parse().unwrap()).collect() };
        assert!(left().iter().all(|length| *length > 1) && left().iter().sum::<u64>() == 400, "{:?}", left());
        let source = Source::new(topic.clone(), Some(Subscription::new("one").unwrap())).unwrap();
        let mut reader = Consumer::open(&transport, source).await;
        for incoming in reader.take(400, LATE).await.unwrap() {
            assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        }
        assert!(reader.flush().await.is_empty());
        let deadline = Instant::now() + LATE;
        while left().iter().any(|length| *length > 1) {
            assert!(Instant::now() < deadline, "left in each stream: {:?}", left());
            assert!(reader.take(1, SOON).await.unwrap().is_empty());
        }
        reader.close().await;
    }
}

#[tokio::test]
async fn a_topic_without_subscriptions_keeps_the_newest() {
    for url in urls() {
        let transport = connect(&url, "keep_unsubscribed=50").await;
        let mut other = Other::at(&url);
        let [alone, read] = ["alone", "read"]
            .map(|name| discarding(Channel::topic(common::name(name)).unwrap(), Retention::UntilSettled));
        declare(&transport, &alone, &[]).await;
        declare(&transport, &read, &["one"]).await;
        for _ in 0..10 {
            put(&transport, &alone, 100).await;
            put(&transport, &read, 100).await;
        }
        assert_eq!(length(&mut other, &read), 1_000, "a subscription has a right to all");
        // Each publisher looks after it with its first messages, and then once a second.
        let left = length(&mut other, &alone);
        assert!((50..=150).contains(&left), "{left} are kept");
        let newest = other.ask(&["XREVRANGE", alone.name.as_str(), "+", "-", "COUNT", "1"]);
        assert!(newest.contains("body 99"), "{newest}");
    }
}
