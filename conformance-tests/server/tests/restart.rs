//! The process is killed and started again with the same file: everything confirmed and final is as it was.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory_server::*;

#[tokio::test]
async fn what_was_confirmed_is_there_with_its_number_and_its_place() {
    let mut stage = Stage::new(queue("q")).await;
    let mut numbers = Vec::new();
    for text in ["a", "b", "c", "d"] {
        numbers.push(stage.publisher.put(message(text).with_id(text).with_header("h", 0.5)).await);
    }
    let got = stage.consumer.take(3).await;
    stage.consumer.end(got[1].token, Disposition::Ack).await;
    stage.consumer.end(got[2].token, Disposition::Release).await;
    let mut stage = stage.restarted().await;
    assert_eq!(stage.depth().await, (3, 0, 0));
    let again = stage.consumer.take(3).await;
    assert_eq!(bodies(&again), "a c d");
    assert_eq!(again[0].message.headers.get("h"), Some(&HeaderValue::Float(0.5)));
    assert_eq!(again[0].message.id, MessageId::from("a"));
    let known: Vec<_> = again.iter().map(|i| i.broker_id.clone()).collect();
    assert_eq!(known, [numbers[0].clone(), numbers[2].clone(), numbers[3].clone()]);
    // Out and lost counts, released does not, never handed out starts at one.
    assert_eq!(again.iter().map(|i| i.deliveries).collect::<Vec<_>>(), [Some(2), Some(1), Some(1)]);
}

#[tokio::test]
async fn a_number_is_not_used_again_whatever_became_of_its_message() {
    let mut stage = Stage::new(queue("q")).await;
    let mut topic = Channel::topic("t").unwrap();
    topic.dead_letter = DeadLetterPolicy::Discard;
    stage.transport.ensure(&Ensure::new(topic.clone())).await.unwrap();
    let mut used = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        used[0].push(stage.publisher.put(message("a")).await);
        let got = stage.consumer.one().await;
        stage.consumer.end(got.token, Disposition::Ack).await;
        used[1].push(Publisher::open(&stage.transport, &topic).await.put(message("nobody reads it")).await);
        stage = stage.restarted().await;
    }
    for mut numbers in used {
        numbers.dedup();
        assert_eq!(numbers.len(), 3, "{numbers:?}");
    }
}

#[tokio::test]
async fn a_token_from_before_settles_nothing() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.publish_all((0..12).map(|n| message(&n.to_string()))).await.unwrap();
    let before = stage.consumer.one().await;
    let Stage { mut server, transport, channel, mut consumer, .. } = stage;
    server.restart().unwrap();
    // More connections than there were before: were they counted from the same number, one would be taken for it.
    let mut others = Vec::new();
    for _ in 0..12 {
        let mut after = Consumer::open(&transport, &source(&channel)).await;
        let again = after.one().await;
        assert_eq!(again.token.position, before.token.position, "alike but for the connection");
        for disposition in [Disposition::Ack, Disposition::Retry { after: Duration::ZERO, failures: 1 }] {
            assert_eq!(after.settle(before.token, disposition), Settled::Stale);
        }
        others.push((after, again));
    }
    // The old half learns of the loss, and then knows.
    let error = consumer.news(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert_eq!(consumer.settle(before.token, Disposition::Ack), Settled::Stale);
    for (mut after, again) in others {
        after.end(again.token, Disposition::Ack).await;
    }
}

#[tokio::test]
async fn counts_and_delays_of_retries_survive() {
    for order in [Order::Unordered, Order::BLOCK, Order::FallBehind] {
        let mut stage = Stage::new(ordered("q", order)).await;
        stage.publisher.publish_all([keyed("k", "a"), keyed("k", "b")]).await.unwrap();
        let first = stage.consumer.one().await;
        let begin = Instant::now();
        let after = Duration::from_millis(1_500);
        stage.consumer.end(first.token, Disposition::Retry { after, failures: 2 }).await;
        let mut stage = stage.restarted().await;
        if order == Order::BLOCK {
            assert_eq!(stage.depth().await, (1, 1, 0));
        } else {
            let behind = stage.consumer.one().await;
            assert_eq!(bodies(std::slice::from_ref(&behind)), "b", "{order:?}");
            stage.consumer.end(behind.token, Disposition::Ack).await;
        }
        let again = stage.consumer.one().await;
        assert!(begin.elapsed() >= after, "{order:?}: after {:?}", begin.elapsed());
        assert_eq!(bodies(std::slice::from_ref(&again)), "a");
        assert_eq!((again.deliveries, again.failures), (Some(3), 2), "{order:?}");
    }
}

#[tokio::test]
async fn falling_behind_survives() {
    let mut stage = Stage::new(ordered("q", Order::FallBehind)).await;
    stage.publisher.publish_all(["a", "b"].map(|text| keyed("k", text))).await.unwrap();
    let first = stage.consumer.one().await;
    stage.consumer.end(first.token, Disposition::Retry { after: Duration::ZERO, failures: 1 }).await;
    stage.publisher.put(keyed("k", "c")).await;
    let mut stage = stage.restarted().await;
    let mut found = Vec::new();
    for _ in 0..3 {
        let next = stage.consumer.one().await;
        stage.consumer.end(next.token, Disposition::Ack).await;
        found.push(next);
    }
    assert_eq!(bodies(&found), "b a c");
}

#[tokio::test]
async fn delays_and_ttls_go_on_while_nobody_serves() {
    let mut stage = Stage::new(queue("q")).await;
    let begin = Instant::now();
    let delay = Duration::from_millis(1_200);
    stage.publisher.put(message("later").with_delay(Delay::For(delay))).await;
    stage.publisher.put(message("old").with_ttl(Duration::from_millis(100))).await;
    stage.publisher.put(message("fresh").with_ttl(Duration::from_secs(600))).await;
    stage.server.kill().unwrap();
    // The TTL must end while nobody serves; nothing tells of it.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let mut stage = stage.restarted().await;
    let got = stage.consumer.take(2).await;
    assert_eq!(bodies(&got), "old fresh");
    assert_eq!((got[0].expired, got[1].expired), (true, false));
    assert_eq!(bodies(&stage.consumer.take(1).await), "later");
    assert!(begin.elapsed() >= delay);
}

#[tokio::test]
async fn facts_survive_and_still_conflict() {
    let stage = Stage::new(ordered("q", Order::BLOCK)).await;
    let stage = stage.restarted().await;
    stage.transport.ensure(&Ensure::new(stage.channel.clone())).await.unwrap();
    let error = stage.transport.ensure(&Ensure::new(queue("q"))).await.unwrap_err();
    assert_eq!((error.kind(), error.context("field")), (ErrorKind::Conflict, Some("order")));
}

#[tokio::test]
async fn each_subscription_keeps_its_own() {
    let mut server = MemoryServer::start(options()).unwrap();
    let transport = ServerTransport::connect(&server.url()).await.unwrap();
    let mut topic = Channel::topic("t").unwrap();
    topic.dead_letter = DeadLetterPolicy::Discard;
    transport.ensure(&Ensure::new(topic.clone())).await.unwrap();
    let mut publisher = Publisher::open(&transport, &topic).await;
    let unrouted = publisher.publish(message("nobody")).await;
    assert!(matches!(unrouted, PublishOutcome::Confirmed(receipt) if receipt.routed == Some(false)));
    let both = ["s1", "s2"].map(|name| Subscription::new(name).unwrap());
    for subscription in &both {
        transport.ensure(&Ensure::new(topic.clone()).with_subscription(subscription.clone())).await.unwrap();
    }
    let reader = async |which: usize| {
        let source = Source::new(topic.clone(), Some(both[which].clone())).unwrap();
        Consumer::open(&transport, &source).await
    };
    publisher.put(message("a")).await;
    let only = History { only_for: Some("s2".into()), ..History::default() };
    let last = publisher.put(message("b").with_history(only)).await;
    let mut first = reader(0).await;
    let got = first.one().await;
    first.end(got.token, Disposition::Ack).await;
    first.nothing().await;

    server.restart().unwrap();
    let mut first = reader(0).await;
    first.nothing().await;
    let mut second = reader(1).await;
    let got = second.take(2).await;
    assert_eq!(bodies(&got), "a b");
    assert_eq!(got[1].broker_id, last);
    let mut publisher = Publisher::open(&transport, &topic).await;
    assert_ne!(publisher.put(message("c")).await, last);
}

#[tokio::test]
async fn retention_counts_from_when_it_was_stored() {
    let mut channel = queue("q");
    channel.retention = Retention::For(Duration::from_millis(300));
    let mut stage = Stage::new(channel).await;
    stage.publisher.put(message("a")).await;
    stage.server.kill().unwrap();
    // The retention must end while nobody serves; nothing tells of it.
    tokio::time::sleep(Duration::from_millis(350)).await;
    let mut stage = stage.restarted().await;
    stage.consumer.nothing().await;
    assert_eq!(stage.depth().await, (0, 0, 0));
}

#[tokio::test]
async fn a_paused_server_goes_on_where_it_was() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a")).await;
    let got = stage.consumer.one().await;
    stage.server.pause().unwrap();
    assert_eq!(stage.consumer.settle(got.token, Disposition::Ack), Settled::Recorded);
    let flushed = tokio::time::timeout(QUIET, stage.consumer.flush());
    assert!(flushed.await.is_err(), "nobody can know that it is final");
    stage.server.resume().unwrap();
    assert!(stage.consumer.flush().await.unwrap().is_empty());
    assert_eq!(stage.depth().await, (0, 0, 0));
}

#[tokio::test]
async fn every_policy_of_synchronising_keeps_what_was_confirmed() {
    for (sync, survives) in [("always", true), ("everysec", false), ("none", false)] {
        let mut stage = Stage::with(queue("q"), options().with_sync(sync)).await;
        let capabilities = stage.transport.capabilities(&stage.channel);
        assert_eq!(capabilities.has(Capability::SurvivesPowerLoss), survives);
        assert!(capabilities.has(Capability::SurvivesProcessCrash));
        let outcomes = stage.publisher.publish_all((0..500).map(|n| message(&n.to_string()))).await.unwrap();
        assert!(outcomes.iter().all(PublishOutcome::is_confirmed));
        let stage = stage.restarted().await;
        assert_eq!(stage.depth().await, (500, 0, 0), "{sync}");
    }
}
