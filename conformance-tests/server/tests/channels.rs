//! Declaring, topics and subscriptions, over the socket.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory_server::*;

fn conflict(result: Result<()>) -> (String, String, String) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let part = |name| error.context(name).unwrap().to_owned();
    (part("field"), part("held"), part("asked"))
}

#[tokio::test]
async fn declaring_twice_changes_nothing_and_every_differing_fact_is_named() {
    let mut channel = ordered("q", Order::BLOCK);
    channel.shards = Some(1);
    channel.retention = Retention::For(Duration::from_millis(86_400_123));
    channel.delivery_ceiling = 7;
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("dead").unwrap());
    let mut stage = Stage::new(channel).await;
    stage.publisher.put(keyed("k", "a")).await;
    let ensure = async |channel: Channel| stage.transport.ensure(&Ensure::new(channel)).await;
    ensure(stage.channel.clone()).await.unwrap();
    type Edit = fn(&mut Channel);
    let edits: [(&str, Edit); 8] = [
        ("kind", |c| c.kind = ChannelKind::Topic),
        ("order", |c| c.order = Order::FallBehind),
        ("order", |c| {
            c.order = Order::Block {
                max_blocked_keys: 1_000,
                longest_wait: Duration::from_secs(600),
                spill: Spill::FallBehind,
            };
        }),
        ("shards", |c| c.shards = Some(4)),
        ("dead_letter", |c| c.dead_letter = DeadLetterPolicy::Discard),
        ("retention", |c| c.retention = Retention::UntilSettled),
        ("retention", |c| c.retention = Retention::For(Duration::from_nanos(86_400_123_000_001))),
        ("delivery_ceiling", |c| c.delivery_ceiling = 5),
    ];
    for (field, edit) in edits {
        let mut channel = stage.channel.clone();
        edit(&mut channel);
        let (named, held, asked) = conflict(ensure(channel).await);
        assert_eq!(named, field);
        assert_ne!(held, asked);
    }
    assert_eq!(stage.depth().await, (1, 0, 0));
    // What was declared along with it takes messages.
    let implied = stage.channel.dead_letter_channel().unwrap();
    ensure(implied.clone()).await.unwrap();
    Publisher::open(&stage.transport, &implied).await.put(message("dead")).await;
}

#[tokio::test]
async fn facts_that_contradict_each_other_are_refused_before_anything_is_sent() {
    let stage = Stage::new(queue("q")).await;
    let mut channel = queue("r");
    channel.delivery_ceiling = 0;
    let error = stage.transport.ensure(&Ensure::new(channel)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn existing_channels_are_found_and_never_made_also_after_a_restart() {
    let stage = Stage::new(queue("q")).await;
    let native = Channel::existing("a/b:{c}", ChannelKind::Queue).unwrap();
    let error = stage.transport.ensure(&Ensure::new(native.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    stage.transport.declare(&Ensure::new(native.clone())).await.unwrap();
    let stage = stage.restarted().await;
    stage.transport.ensure(&Ensure::new(native.clone())).await.unwrap();
    Publisher::open(&stage.transport, &native).await.put(message("a")).await;
    assert_eq!(bodies(&Consumer::open(&stage.transport, &source(&native)).await.take(1).await), "a");
    let topic = Channel::existing("a/b:{c}", ChannelKind::Topic).unwrap();
    assert_eq!(conflict(stage.transport.ensure(&Ensure::new(topic)).await).0, "kind");
}

#[tokio::test]
async fn every_subscription_gets_what_came_after_it_and_settles_alone() {
    let server = MemoryServer::start(options()).unwrap();
    let transport = ServerTransport::connect(&server.url()).await.unwrap();
    let mut topic = Channel::topic("t").unwrap();
    topic.dead_letter = DeadLetterPolicy::Discard;
    let mut publisher = None;
    let mut readers = Vec::new();
    for name in ["s1", "s2", "s3"] {
        let subscription = Subscription::new(name).unwrap();
        let ensure = Ensure::new(topic.clone()).with_subscription(subscription.clone());
        transport.ensure(&ensure).await.unwrap();
        let source = Source::new(topic.clone(), Some(subscription)).unwrap();
        readers.push(Consumer::open(&transport, &source).await);
        let publisher = match &mut publisher {
            Some(publisher) => publisher,
            none => none.insert(Publisher::open(&transport, &topic).await),
        };
        publisher.put(message(name)).await;
    }
    for (reader, expected) in readers.iter_mut().zip(["s1 s2 s3", "s2 s3", "s3"]) {
        let count = expected.split(' ').count();
        let got = reader.take(count).await;
        assert_eq!(bodies(&got), expected);
        reader.end(got[0].token, Disposition::Ack).await;
        reader.nothing().await;
    }
    let missing = Source::new(topic.clone(), Some(Subscription::new("s4").unwrap())).unwrap();
    let error = transport.open_consumer(OpenConsumer::new(missing, 1)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("subscription")), (ErrorKind::NotFound, Some("s4")));
}

#[tokio::test]
async fn what_the_server_is_asked_for_is_bounded_as_it_was_told() {
    let stage = Stage::with(queue("q"), options().with_setting("max_body", "2KiB").with_setting("lease", "7s")).await;
    let capabilities = stage.transport.capabilities(&stage.channel);
    assert_eq!(capabilities.limits.max_body, Some(2048));
    assert_eq!(capabilities.profile(), &Text::from("memory-server-queue"));
    assert_eq!(capabilities.limits.priorities, Some(256));
    assert!(!stage.transport.capabilities(&ordered("o", Order::BLOCK)).has(Capability::Priority));
    assert_eq!(stage.consumer.lease, Some(Duration::from_secs(7)));
}
