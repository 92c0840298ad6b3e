//! Order per key: blocking, falling behind, windows, places that are kept.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use tokio::time::advance;

async fn stage_of(order: Order, window: &str, messages: &[(&str, &str)]) -> Stage {
    let mut stage = Stage::with(ordered("q", order), config(&[("key_window", window)])).await;
    for (key, text) in messages {
        stage.publisher.put(keyed(key, text));
    }
    stage
}

#[tokio::test(start_paused = true)]
async fn a_key_with_a_message_out_waits_while_others_flow() {
    for order in [Order::BLOCK, Order::FallBehind] {
        let mut stage = stage_of(order, "1", &[("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3"), ("b", "b2")]).await;
        let mut other = stage.another().await;
        let first = stage.consumer.take(9);
        assert_eq!(bodies(&first), "a1 b1");
        assert!(other.take(9).is_empty());
        stage.consumer.ack(first[0].token);
        assert_eq!(other.bell.rung(), 1);
        assert_eq!(bodies(&other.take(9)), "a2");
        assert!(stage.consumer.take(9).is_empty());
        stage.consumer.ack(first[1].token);
        assert_eq!(bodies(&stage.consumer.take(9)), "b2");
        assert!(stage.consumer.take(9).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_key_flow_between_the_keys() {
    let mut stage = stage_of(Order::BLOCK, "1", &[("a", "a1"), ("a", "a2")]).await;
    stage.publisher.put(message("x"));
    stage.publisher.put(keyed("b", "b1"));
    stage.publisher.put(message("y"));
    assert_eq!(bodies(&stage.consumer.take(9)), "a1 x b1 y");
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_takes_its_place_in_its_key() {
    // A release, a lost lease and a lost connection.
    for way in 0..3 {
        let mut stage = stage_of(Order::BLOCK, "1", &[("a", "a1"), ("a", "a2"), ("b", "b1")]).await;
        let mut other = stage.another().await;
        let got = stage.consumer.take(1);
        let deliveries = match way {
            0 => {
                assert_eq!(stage.consumer.settle(got[0].token, Disposition::Release), Settled::Recorded);
                1
            }
            1 => {
                advance(secs(31)).await;
                2
            }
            _ => {
                let Consumer { receiver, settler, .. } = stage.consumer;
                drop((receiver, settler));
                2
            }
        };
        let again = other.take(9);
        let mut order: Vec<String> = again.iter().map(body).collect();
        order.sort();
        assert_eq!(order, ["a1", "b1"]);
        assert_eq!(again.iter().find(|i| body(i) == "a1").unwrap().deliveries, Some(deliveries));
        for incoming in &again {
            other.ack(incoming.token);
        }
        assert_eq!(bodies(&other.take(9)), "a2");
    }
}

#[tokio::test(start_paused = true)]
async fn block_holds_the_key_until_the_retry_is_due() {
    let mut stage = stage_of(Order::BLOCK, "1", &[("a", "a1"), ("a", "a2"), ("b", "b1")]).await;
    let got = stage.consumer.take(1);
    assert_eq!(
        stage.consumer.settle(got[0].token, Disposition::Retry { after: secs(5), failures: 1 }),
        Settled::Recorded
    );
    assert_eq!(bodies(&stage.consumer.take(9)), "b1");
    assert_eq!(stage.depth(), (1, 1, 1));
    advance(secs(4)).await;
    stage.publisher.put(keyed("a", "a3"));
    assert!(stage.consumer.take(9).is_empty());
    advance(Duration::from_millis(1_002)).await;
    assert!(stage.consumer.bell.rung() >= 1);
    let again = stage.consumer.take(9);
    assert_eq!((bodies(&again).as_str(), again[0].failures), ("a1", 1));
    stage.consumer.ack(again[0].token);
    let next = stage.consumer.take(9);
    assert_eq!(bodies(&next), "a2");
    stage.consumer.ack(next[0].token);
    assert_eq!(bodies(&stage.consumer.take(9)), "a3");
}

#[tokio::test(start_paused = true)]
async fn fall_behind_goes_to_the_tail_and_its_key_flows() {
    let mut stage = stage_of(Order::FallBehind, "1", &[("a", "a1"), ("a", "a2"), ("a", "a3")]).await;
    let got = stage.consumer.take(9);
    assert_eq!(
        stage.consumer.settle(got[0].token, Disposition::Retry { after: Duration::ZERO, failures: 1 }),
        Settled::Recorded
    );
    stage.publisher.put(keyed("a", "a4"));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let got = stage.consumer.one();
        seen.push(body(&got));
        stage.consumer.ack(got.token);
    }
    assert_eq!(seen, ["a2", "a3", "a1", "a4"], "behind what was queued, before what came later");

    // With a delay: it takes its place at the tail now, and is seen when it is due; the key is not blocked.
    let mut stage = stage_of(Order::FallBehind, "1", &[("a", "a1"), ("a", "a2")]).await;
    let got = stage.consumer.take(9);
    assert_eq!(
        stage.consumer.settle(got[0].token, Disposition::Retry { after: secs(5), failures: 1 }),
        Settled::Recorded
    );
    stage.publisher.put(keyed("a", "a3"));
    let second = stage.consumer.one();
    assert_eq!(body(&second), "a2");
    advance(Duration::from_millis(5_002)).await;
    assert!(stage.consumer.take(9).is_empty(), "one lease of a key at a time");
    stage.consumer.ack(second.token);
    let got = stage.consumer.one();
    assert_eq!(body(&got), "a1");
    stage.consumer.ack(got.token);
    assert_eq!(body(&stage.consumer.one()), "a3");
}

#[tokio::test(start_paused = true)]
async fn a_window_gives_more_of_a_key_to_its_holder_only() {
    let messages = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("a", "a4"), ("b", "b1"), ("b", "b2")];
    let mut stage = stage_of(Order::BLOCK, "3", &messages).await;
    let mut other = stage.another().await;
    let got = stage.consumer.take(9);
    assert_eq!(bodies(&got), "a1 b1 a2 b2 a3");
    assert!(other.take(9).is_empty());
    // Out of order: what is given back goes before what waits, head and siblings released together keep their order.
    let what = [(got[4].token, Disposition::Release), (got[2].token, Disposition::Release)];
    assert_eq!(stage.consumer.settle_all(&what), [Settled::Recorded; 2]);
    assert!(other.take(9).is_empty(), "a1 is still out");
    let again = stage.consumer.take(9);
    assert_eq!(bodies(&again), "a2 a3");
    let what = [
        (got[0].token, Disposition::Release),
        (again[0].token, Disposition::Release),
        (again[1].token, Disposition::Release),
    ];
    assert_eq!(stage.consumer.settle_all(&what), [Settled::Recorded; 3]);
    assert_eq!(bodies(&other.take(9)), "a1 a2 a3", "free for anyone");
    assert!(stage.consumer.take(9).is_empty());
    // The holder of b goes: the next one has it, from the start.
    let Consumer { receiver, settler, .. } = stage.consumer;
    drop((receiver, settler));
    let got = other.take(9);
    assert_eq!(bodies(&got), "b1 b2");
    assert!(got.iter().all(|i| i.deliveries == Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_key_taken_over_can_still_be_widened() {
    // Stale places in the old holder's own queue must not keep the new holder from its window.
    let mut stage = stage_of(Order::BLOCK, "2", &[("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")]).await;
    let mut other = stage.another().await;
    let got = stage.consumer.take(1);
    assert_eq!(bodies(&got), "1");
    assert_eq!(stage.consumer.settle(got[0].token, Disposition::Release), Settled::Recorded);
    let got = other.take(1);
    assert_eq!(bodies(&got), "1");
    let more = other.take(9);
    assert_eq!(bodies(&more), "2");
    other.ack(got[0].token);
    assert!(stage.consumer.take(9).is_empty());
    assert_eq!(bodies(&other.take(9)), "3");
}

#[tokio::test(start_paused = true)]
async fn a_published_delay_takes_its_place_when_it_is_due() {
    let mut stage = stage_of(Order::BLOCK, "1", &[]).await;
    stage.publisher.put(keyed("a", "late").with_delay(Delay::For(secs(2))));
    stage.publisher.put(keyed("a", "a1"));
    stage.publisher.put(keyed("a", "a2"));
    assert_eq!(stage.depth(), (2, 1, 0));
    let got = stage.consumer.one();
    assert_eq!(body(&got), "a1");
    advance(Duration::from_millis(2_002)).await;
    stage.publisher.put(keyed("a", "a3"));
    stage.consumer.ack(got.token);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let got = stage.consumer.one();
        seen.push(body(&got));
        stage.consumer.ack(got.token);
    }
    assert_eq!(seen, ["a2", "late", "a3"]);
}
