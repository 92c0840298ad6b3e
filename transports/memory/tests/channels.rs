//! Declaring, topics and subscriptions, delay, ttl, priority, retention, depth, purge, settings.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory::*;
use tokio::time::advance;

fn conflict(result: Result<()>) -> (String, String, String) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let part = |name| error.context(name).unwrap().to_owned();
    (part("field"), part("held"), part("asked"))
}

#[tokio::test(start_paused = true)]
async fn declaring_twice_changes_nothing_and_differing_facts_are_named() {
    let mut stage = Stage::new(ordered("q", Order::BLOCK)).await;
    stage.publisher.put(keyed("k", "a"));
    let ensure = async |channel: Channel| stage.transport.ensure(&Ensure::new(channel)).await;
    ensure(stage.channel.clone()).await.unwrap();
    let mut one_shard = stage.channel.clone();
    one_shard.shards = Some(1);
    ensure(one_shard).await.unwrap();
    let change = |change: fn(&mut Channel)| {
        let mut channel = stage.channel.clone();
        change(&mut channel);
        channel
    };
    type Edit = fn(&mut Channel);
    let cases: [(&str, Edit); 6] = [
        ("kind", |c| c.kind = ChannelKind::Topic),
        ("order", |c| c.order = Order::FallBehind),
        ("shards", |c| c.shards = Some(4)),
        ("dead_letter", |c| c.dead_letter = DeadLetterPolicy::To(ChannelName::new("d").unwrap())),
        ("retention", |c| c.retention = Retention::For(secs(9))),
        ("delivery_ceiling", |c| c.delivery_ceiling = 5),
    ];
    for (field, edit) in cases {
        let (named, held, asked) = conflict(ensure(change(edit)).await);
        assert_eq!(named, field);
        assert_ne!(held, asked);
    }
    assert_eq!(stage.server.channels(), ["q"], "a refused declaration leaves nothing behind");
    assert_eq!(stage.depth(), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn existing_channels_are_found_and_never_made() {
    let stage = Stage::new(queue("q")).await;
    let native = Channel::existing("a/b:{c}", ChannelKind::Queue).unwrap();
    let error = stage.transport.ensure(&Ensure::new(native.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    stage.server.declare(&Ensure::new(native.clone())).unwrap();
    stage.transport.ensure(&Ensure::new(native.clone())).await.unwrap();
    Publisher::open(&stage.transport, &native).await.put(message("a"));
    assert_eq!(body(&Consumer::open(&stage.transport, &source(&native)).await.one()), "a");
    let topic = Channel::existing("a/b:{c}", ChannelKind::Topic).unwrap();
    assert_eq!(conflict(stage.transport.ensure(&Ensure::new(topic)).await).0, "kind");
    // One that we declared ourselves is found as well, whatever its facts.
    let own = Channel::existing("q", ChannelKind::Queue).unwrap();
    stage.transport.ensure(&Ensure::new(own)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_channel_comes_along_and_can_be_declared_by_itself() {
    let mut channel = queue("q");
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("dead").unwrap());
    let stage = Stage::new(channel.clone()).await;
    assert_eq!(stage.server.channels(), ["dead", "q"]);
    let implied = channel.dead_letter_channel().unwrap();
    stage.transport.ensure(&Ensure::new(implied.clone())).await.unwrap();
    // The first declaration of its own wins ...
    let mut own = ordered("dead", Order::BLOCK);
    own.dead_letter = DeadLetterPolicy::Discard;
    own.retention = Retention::For(secs(60));
    stage.transport.ensure(&Ensure::new(own.clone())).await.unwrap();
    let mut dead = Publisher::open(&stage.transport, &own).await;
    dead.put(keyed("k", "1"));
    dead.put(keyed("k", "2"));
    let mut reader = Consumer::open(&stage.transport, &source(&own)).await;
    assert_eq!(bodies(&reader.take(9)), "1", "ordered now");
    // ... a second has to agree, and what comes along with another channel always does.
    let mut other = own.clone();
    other.delivery_ceiling = 7;
    assert_eq!(conflict(stage.transport.ensure(&Ensure::new(other)).await).0, "delivery_ceiling");
    stage.transport.ensure(&Ensure::new(channel)).await.unwrap();
    stage.transport.ensure(&Ensure::new(implied)).await.unwrap();
    // A topic cannot take dead letters.
    stage.transport.ensure(&Ensure::new(Channel::topic("t").unwrap())).await.unwrap();
    let mut bad = queue("bad");
    bad.dead_letter = DeadLetterPolicy::To(ChannelName::new("t").unwrap());
    assert_eq!(conflict(stage.transport.ensure(&Ensure::new(bad)).await).0, "kind");
    assert!(!stage.server.channels().contains(&"bad".to_owned()));
}

fn subscribed(topic: &Channel, name: &str) -> (Ensure, Source) {
    let subscription = Subscription::new(name.to_owned()).unwrap();
    let source = Source::new(topic.clone(), Some(subscription.clone())).unwrap();
    (Ensure::new(topic.clone()).with_subscription(subscription), source)
}

#[tokio::test(start_paused = true)]
async fn every_subscription_gets_its_own_copy_from_its_creation_on() {
    let topic = Channel::topic("t").unwrap();
    let transport = MemoryTransport::new(&MemoryServer::default());
    let (ensure, one) = subscribed(&topic, "one");
    transport.ensure(&Ensure::new(topic.clone())).await.unwrap();
    let how = OpenConsumer::new(one.clone(), 1);
    assert_eq!(transport.open_consumer(how).await.unwrap_err().kind(), ErrorKind::NotFound);
    let mut publisher = Publisher::open(&transport, &topic).await;
    let PublishOutcome::Confirmed(receipt) = publisher.publish(message("0")) else { panic!() };
    assert_eq!(receipt.routed, Some(false));
    transport.ensure(&ensure).await.unwrap();
    transport.ensure(&ensure).await.unwrap();
    let PublishOutcome::Confirmed(first) = publisher.publish(message("1")) else { panic!() };
    assert_eq!(first.routed, Some(true));
    let (ensure, two) = subscribed(&topic, "two");
    transport.ensure(&ensure).await.unwrap();
    let mut batch = publisher.batch(["2", "3"].map(message));
    assert!(publisher.submit(&mut batch).is_ready());
    assert_eq!(transport.server().subscriptions("t"), ["one", "two"]);

    let mut one = Consumer::open(&transport, &one).await;
    let mut two = Consumer::open(&transport, &two).await;
    let mine = one.take(9);
    assert_eq!(bodies(&mine), "1 2 3");
    assert_eq!(mine[0].broker_id, first.broker_id);
    assert_eq!(one.settle(mine[1].token, Disposition::Ack), Settled::Recorded);
    let theirs = two.take(9);
    assert_eq!(bodies(&theirs), "2 3", "settled for each by itself");
    assert_eq!(theirs[0].broker_id, mine[1].broker_id, "one publish, one name");
    assert_eq!(two.settle(mine[2].token, Disposition::Ack), Settled::Stale);
}

#[tokio::test(start_paused = true)]
async fn the_slowest_subscription_holds_the_publishers() {
    let topic = Channel::topic("t").unwrap();
    let transport = MemoryTransport::new(&MemoryServer::new(config(&[("max_messages", "2")])));
    let ((a, one), (b, two)) = (subscribed(&topic, "one"), subscribed(&topic, "two"));
    transport.ensure(&a).await.unwrap();
    transport.ensure(&b).await.unwrap();
    let (mut one, mut two) = (Consumer::open(&transport, &one).await, Consumer::open(&transport, &two).await);
    let mut publisher = Publisher::open(&transport, &topic).await;
    let mut batch = publisher.batch(["1", "2", "3"].map(message));
    assert!(publisher.submit(&mut batch).is_ready());
    assert_eq!(batch.len(), 1);
    for incoming in one.take(9) {
        one.ack(incoming.token);
    }
    assert!(publisher.submit(&mut batch).is_pending());
    let got = two.take(1);
    two.ack(got[0].token);
    assert!(publisher.bell.rung() > 0);
    assert!(publisher.submit(&mut batch).is_ready());
    assert_eq!((bodies(&one.take(9)).as_str(), bodies(&two.take(9)).as_str()), ("3", "2 3"));
}

#[tokio::test(start_paused = true)]
async fn delayed_messages_come_when_due_not_before() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("later").with_delay(Delay::For(secs(60))));
    stage.publisher.put(message("soon").with_delay(Delay::For(secs(1))));
    stage.publisher.put(message("past").with_delay(Delay::Until(std::time::UNIX_EPOCH)));
    assert_eq!(bodies(&stage.consumer.take(9)), "past");
    assert!(stage.consumer.take(9).is_empty());
    advance(Duration::from_millis(1_002)).await;
    assert!(stage.consumer.bell.rung() >= 1, "a short delay is not behind a long one");
    assert_eq!(bodies(&stage.consumer.take(9)), "soon");
    assert_eq!(stage.depth(), (0, 1, 2));
    assert!(stage.consumer.take(9).is_empty());
    stage.consumer.bell.rung();
    // One that is published while somebody waits with a later timer.
    stage.publisher.put(message("sooner").with_delay(Delay::For(secs(2))));
    assert_eq!(stage.consumer.bell.rung(), 1, "the waiting one has to set its timer");
    assert!(stage.consumer.take(9).is_empty());
    advance(Duration::from_millis(2_002)).await;
    assert_eq!(stage.consumer.bell.rung(), 1);
    assert_eq!(bodies(&stage.consumer.take(9)), "sooner");
}

#[tokio::test(start_paused = true)]
async fn an_ended_ttl_is_told_with_the_delivery() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a").with_ttl(secs(5)));
    stage.publisher.put(message("b").with_ttl(secs(50)));
    let got = stage.consumer.one();
    assert!(!got.expired);
    assert_eq!(stage.consumer.settle(got.token, Disposition::Release), Settled::Recorded);
    advance(secs(5)).await;
    let got = stage.consumer.take(9);
    assert_eq!(got.iter().map(|i| i.expired).collect::<Vec<_>>(), [true, false]);
    assert!(stage.snapshot().messages[0].expired);
    // Told again when the consumer that was told is lost.
    advance(secs(31)).await;
    assert!(stage.consumer.one().expired);

    // Handed over in time, it keeps its chances.
    stage.publisher.put(message("c").with_ttl(secs(5)));
    let got = stage.consumer.take(9).pop().unwrap();
    assert_eq!(stage.consumer.settle(got.token, Disposition::Retry { after: secs(9), failures: 1 }), Settled::Recorded);
    advance(secs(10)).await;
    let got = stage.consumer.one();
    assert!(!got.expired && got.failures == 1);
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_go_first_where_there_is_no_order() {
    let mut stage = Stage::new(queue("q")).await;
    for (text, priority) in [("a", None), ("b", Some(5)), ("c", Some(0)), ("d", Some(9)), ("e", Some(5))] {
        let message = message(text);
        stage.publisher.put(match priority {
            Some(priority) => message.with_priority(priority),
            None => message,
        });
    }
    let got = stage.consumer.take(2);
    assert_eq!(bodies(&got), "d b");
    assert_eq!(stage.consumer.settle(got[1].token, Disposition::Release), Settled::Recorded);
    assert_eq!(bodies(&stage.consumer.take(9)), "b e a c");
    assert!(stage.transport.capabilities(&stage.channel).has(Capability::Priority));

    let mut stage = Stage::new(ordered("q", Order::BLOCK)).await;
    stage.publisher.put(message("a"));
    stage.publisher.put(message("b").with_priority(9));
    assert_eq!(bodies(&stage.consumer.take(9)), "a b");
    assert!(!stage.transport.capabilities(&stage.channel).has(Capability::Priority));
}

#[tokio::test(start_paused = true)]
async fn retention_removes_what_nobody_took() {
    for order in [Order::Unordered, Order::BLOCK] {
        let mut channel = ordered("q", order);
        channel.retention = Retention::For(secs(100));
        let mut stage = Stage::with(channel, config(&[("max_messages", "3")])).await;
        stage.publisher.put(keyed("k", "a"));
        let got = stage.consumer.one();
        assert_eq!(stage.consumer.settle(got.token, Disposition::Extend { by: secs(1_000) }), Settled::Recorded);
        stage.publisher.put(keyed("k", "b"));
        advance(secs(60)).await;
        stage.publisher.put(keyed("k", "c"));
        let mut batch = stage.publisher.batch([keyed("k", "waits")]);
        assert!(stage.publisher.submit(&mut batch).is_pending());
        advance(secs(39)).await;
        assert_eq!(stage.publisher.bell.rung(), 0);
        advance(secs(2)).await;
        assert_eq!(stage.publisher.bell.rung(), 1, "woken without any consumer's help");
        // Full, but for what is too old.
        stage.publisher.put(keyed("k", "d"));
        let snapshot = stage.snapshot();
        assert_eq!(snapshot.totals.retired, 1);
        let left: Vec<_> = snapshot.messages.iter().map(|m| String::from_utf8_lossy(&m.message.body)).collect();
        assert_eq!(left, ["a", "c", "d"], "what is out stays");
        stage.consumer.ack(got.token);
        let got = stage.consumer.one();
        assert_eq!(body(&got), "c");
        stage.consumer.ack(got.token);
        assert_eq!(body(&stage.consumer.one()), "d");
    }
}

#[tokio::test(start_paused = true)]
async fn depth_is_exact_and_purge_takes_only_what_is_ready() {
    for order in [Order::Unordered, Order::BLOCK, Order::FallBehind] {
        let mut stage = Stage::new(ordered("q", order)).await;
        for n in 0..6 {
            stage.publisher.put(keyed(&format!("k{}", n % 3), &n.to_string()));
        }
        stage.publisher.put(keyed("k0", "delayed").with_delay(Delay::For(secs(9))));
        let got = stage.consumer.take(2);
        assert_eq!(
            stage.consumer.settle(got[1].token, Disposition::Retry { after: secs(5), failures: 1 }),
            Settled::Recorded
        );
        let extensions = stage.transport.extensions();
        let source = source(&stage.channel);
        let (depth, purge) = (extensions.depth.unwrap(), extensions.purge.unwrap());
        assert_eq!(depth.depth(&source).await.unwrap(), DepthReport::exact(4, 2, 1));
        assert_eq!(purge.purge(&source).await.unwrap(), 4);
        assert_eq!(depth.depth(&source).await.unwrap(), DepthReport::exact(0, 2, 1));
        assert!(stage.consumer.take(9).is_empty());
        stage.publisher.put(keyed("k2", "new"));
        assert_eq!(bodies(&stage.consumer.take(9)), "new");
        stage.consumer.ack(got[0].token);
        advance(secs(10)).await;
        let mut rest: Vec<String> = stage.consumer.take(9).iter().map(body).collect();
        rest.sort();
        assert_eq!(rest, ["1", "delayed"], "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_channel_is_noticed() {
    let mut stage = Stage::new(queue("q")).await;
    assert!(stage.consumer.take(1).is_empty());
    assert!(stage.server.delete("q"));
    assert!(!stage.server.delete("q"));
    assert_eq!(stage.consumer.bell.rung(), 1);
    assert!(matches!(stage.consumer.poll(1), std::task::Poll::Ready(Err(e)) if e.kind() == ErrorKind::NotFound));
    let outcome = stage.publisher.publish(message("a"));
    assert!(matches!(outcome, PublishOutcome::Rejected(Rejection::Refused(e)) if e.kind() == ErrorKind::NotFound));
    stage.transport.ensure(&Ensure::new(stage.channel.clone())).await.unwrap();
    stage.publisher.put(message("b"));
}

#[tokio::test(start_paused = true)]
async fn named_servers_are_shared_and_live_as_long_as_they_are_used() {
    let connect = |name, pairs: &[(&str, &str)]| MemoryTransport::connect(name, config(pairs));
    let first = connect(Some("shared-by-name"), &[("lease", "7s")]).unwrap();
    let second = connect(Some("shared-by-name"), &[]).unwrap();
    first.ensure(&Ensure::new(queue("q"))).await.unwrap();
    assert_eq!(second.server().channels(), ["q"]);
    assert_eq!(second.server().config().lease, secs(7));
    let error = connect(Some("shared-by-name"), &[("lease", "8s")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(connect(None, &[]).unwrap().server().channels().is_empty());
    assert!(connect(Some("another-name"), &[]).unwrap().server().channels().is_empty());
    drop((first, second));
    assert!(connect(Some("shared-by-name"), &[]).unwrap().server().channels().is_empty());
}

#[test]
fn settings_are_read_and_wrong_ones_named() {
    let config = config(&[("max_messages", "5"), ("max_bytes", "2KiB"), ("lease", "250ms"), ("seed", "9")]);
    assert_eq!((config.max_messages, config.max_bytes), (5, 2048));
    assert_eq!((config.lease, config.seed), (Duration::from_millis(250), Some(9)));
    let wrong = |name: &str, value: &str| {
        let error = MemoryConfig::from_pairs([(name.to_owned(), value.to_owned())]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.context("setting"), Some(name), "{error}");
        error.to_string()
    };
    let unknown = wrong("max_mesages", "5");
    assert!(unknown.contains("unknown") && unknown.contains("max_messages") && unknown.contains("lease"), "{unknown}");
    for (name, value, part) in [
        ("lease", "30", "30s"),
        ("lease", "-1s", "30s"),
        ("lease", "0ms", "at least"),
        ("lease", "99999999999999999h", "30s"),
        ("max_messages", "0", "from 1"),
        ("max_messages", "many", "whole number"),
        ("max_messages", "99999999999", "from 1"),
        ("max_bytes", "1TB", "GiB"),
        ("max_bytes", "99999999999GiB", "GiB"),
        ("max_body", "8GiB", "below"),
        ("key_window", "0", "at least"),
        ("seed", "", "whole number"),
    ] {
        let text = wrong(name, value);
        assert!(text.contains(part), "{name}={value}: {text}");
    }
    let twice = [("seed".to_owned(), "1".to_owned()), ("seed".to_owned(), "2".to_owned())];
    assert!(MemoryConfig::from_pairs(twice).unwrap_err().to_string().contains("duplicate"));
}

#[test]
fn what_it_cannot_do_is_absent() {
    let transport = MemoryTransport::new(&MemoryServer::default());
    let found = transport.capabilities(&queue("q"));
    let absent: Vec<_> = Capability::ALL.iter().filter(|c| !found.has(**c)).map(|c| c.as_str()).collect();
    assert_eq!(
        absent,
        [
            "publish dedupe",
            "replay from a position",
            "consume-and-produce transactions",
            "survives process crash",
            "survives power loss",
            "survives node loss",
        ]
    );
    assert!(found.behaviour.returns_in_place);
}
