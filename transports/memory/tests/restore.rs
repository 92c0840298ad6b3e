//! What one server held, put back into another.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory::*;
use tokio::time::advance;

fn restored(number: u64, text: &str) -> Restored {
    Restored {
        message: keyed("k", text),
        number,
        age: Duration::ZERO,
        held_for: Duration::ZERO,
        deliveries: 0,
        failures: 0,
        expired: false,
    }
}

#[tokio::test(start_paused = true)]
async fn messages_keep_numbers_counts_and_places() {
    let mut stage = Stage::new(queue("q")).await;
    let counted = Restored { deliveries: 3, failures: 2, ..restored(7, "a") };
    stage.server.restore("q", None, [counted, restored(9, "b")], 20).unwrap();
    stage.publisher.put(message("c"));
    let got = stage.consumer.take(10);
    assert_eq!(bodies(&got), "a b c");
    let numbers: Vec<_> = got.iter().map(|incoming| incoming.broker_id.clone()).collect();
    assert_eq!(numbers, [7, 9, 20].map(BrokerId::Number));
    assert_eq!((got[0].deliveries, got[0].failures), (Some(4), 2));
    assert_eq!(got[1].deliveries, Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_was_held_back_is_held_for_the_rest() {
    for (order, behind) in [(Order::BLOCK, ""), (Order::FallBehind, "b")] {
        let mut stage = Stage::new(ordered("q", order)).await;
        let retried = Restored { deliveries: 1, failures: 1, held_for: secs(5), ..restored(1, "a") };
        stage.server.restore("q", None, [retried, restored(2, "b")], 3).unwrap();
        // A retry blocks its key on a blocking channel, and nowhere else.
        let got = stage.consumer.take(10);
        assert_eq!(bodies(&got), behind, "{order:?}");
        got.iter().for_each(|incoming| stage.consumer.ack(incoming.token));
        advance(secs(6)).await;
        assert_eq!(body(&stage.consumer.one()), "a", "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ttl_counts_from_when_it_was_stored() {
    let mut stage = Stage::new(queue("q")).await;
    let old = |number, age| Restored { age, message: message("x").with_ttl(secs(10)), ..restored(number, "") };
    stage.server.restore("q", None, [old(1, secs(11)), old(2, secs(9))], 3).unwrap();
    let expired: Vec<bool> = stage.consumer.take(10).iter().map(|incoming| incoming.expired).collect();
    assert_eq!(expired, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_topics_subscriptions_are_put_back_one_by_one() {
    let mut topic = Channel::topic("t").unwrap();
    topic.dead_letter = DeadLetterPolicy::Discard;
    let server = MemoryServer::default();
    let both = ["s1", "s2"].map(|name| Subscription::new(name).unwrap());
    let ensure = both.iter().fold(Ensure::new(topic.clone()), |all, one| all.with_subscription(one.clone()));
    server.declare(&ensure).unwrap();
    server.restore("t", Some("s1"), [restored(4, "a")], 9).unwrap();
    let held = |name| server.subscription("t", name).unwrap().messages.len();
    assert_eq!((held("s1"), held("s2")), (1, 0));
    let transport = MemoryTransport::new(&server);
    let PublishOutcome::Confirmed(receipt) = Publisher::open(&transport, &topic).await.publish(message("b")) else {
        panic!()
    };
    assert_eq!(receipt.broker_id, BrokerId::Number(9));
    server.restore("t", None, [], 40).unwrap();
    let outcome = Publisher::open(&transport, &topic).await.publish(message("c"));
    assert!(matches!(outcome, PublishOutcome::Confirmed(receipt) if receipt.broker_id == BrokerId::Number(40)));
    for (channel, subscription) in [("t", Some("s3")), ("q", None), ("q", Some("s1"))] {
        let error = server.restore(channel, subscription, [], 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
