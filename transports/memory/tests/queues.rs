//! Queues: storing, handing out, settling, leases, bounds.
#![allow(clippy::unwrap_used)]

mod common;

use std::task::Poll;
use std::time::Duration;

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory::*;
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn what_is_published_is_received_once_in_order_and_gone_when_acknowledged() {
    let mut stage = Stage::new(queue("q")).await;
    for text in ["a", "b", "c"] {
        stage.publisher.put(message(text).with_id(text).with_header("h", text));
    }
    let got = stage.consumer.take(10);
    assert_eq!(bodies(&got), "a b c");
    assert_eq!(got[0].message.id.to_string(), "a");
    assert_eq!(got[0].deliveries, Some(1));
    assert_eq!(got[0].failures, 0);
    assert_eq!(stage.depth(), (0, 0, 3));
    for incoming in &got {
        stage.consumer.ack(incoming.token);
    }
    assert_eq!(stage.depth(), (0, 0, 0));
    assert!(stage.consumer.take(10).is_empty());
    advance(secs(100)).await;
    assert!(stage.consumer.take(10).is_empty());
}

#[tokio::test(start_paused = true)]
async fn receipts_name_what_is_delivered() {
    let mut stage = Stage::new(queue("q")).await;
    let mut named = Vec::new();
    for n in 0..10 {
        let PublishOutcome::Confirmed(receipt) = stage.publisher.publish(message(&n.to_string())) else { panic!() };
        assert_eq!(receipt.routed, Some(true));
        assert!(!named.contains(&receipt.broker_id));
        named.push(receipt.broker_id);
    }
    let got: Vec<_> = stage.consumer.take(10).into_iter().map(|i| i.broker_id).collect();
    assert_eq!(got, named);
}

#[tokio::test(start_paused = true)]
async fn a_release_returns_at_once_in_place_and_uncounted() {
    let mut stage = Stage::new(queue("q")).await;
    for text in ["a", "b", "c"] {
        stage.publisher.put(message(text));
    }
    let got = stage.consumer.take(2);
    // Later first: the place counts, not the moment.
    for incoming in got.iter().rev() {
        assert_eq!(stage.consumer.settle(incoming.token, Disposition::Release), Settled::Recorded);
    }
    let again = stage.consumer.take(10);
    assert_eq!(bodies(&again), "a b c");
    assert!(again.iter().all(|i| i.deliveries == Some(1) && i.failures == 0));
    assert_eq!(stage.consumer.settle(got[0].token, Disposition::Ack), Settled::Stale);
    assert_eq!(stage.depth(), (0, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_counted_and_comes_back_when_due() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a"));
    let token = stage.consumer.one().token;
    assert_eq!(stage.consumer.settle(token, Disposition::Retry { after: secs(5), failures: 1 }), Settled::Recorded);
    assert_eq!(stage.depth(), (0, 1, 0));
    assert!(stage.consumer.take(1).is_empty());
    advance(Duration::from_millis(4_990)).await;
    assert!(stage.consumer.take(1).is_empty());
    stage.consumer.bell.rung();
    advance(Duration::from_millis(15)).await;
    assert_eq!(stage.consumer.bell.rung(), 1, "whoever waits is woken when it is due");
    let again = stage.consumer.one();
    assert_eq!((again.deliveries, again.failures), (Some(2), 1));
    assert_eq!(
        stage.consumer.settle(again.token, Disposition::Retry { after: Duration::ZERO, failures: 1 }),
        Settled::Recorded
    );
    let third = stage.consumer.one();
    assert_eq!((third.deliveries, third.failures), (Some(3), 2));
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_counts_and_leaves_a_stale_token() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a"));
    let first = stage.consumer.one();
    advance(Duration::from_millis(29_900)).await;
    assert_eq!(stage.depth(), (0, 0, 1));
    advance(Duration::from_millis(102)).await;
    // Nobody polled: the timer ended it.
    for disposition in [Disposition::Ack, Disposition::Release, Disposition::Retry { after: secs(1), failures: 1 }] {
        assert_eq!(stage.consumer.settle(first.token, disposition), Settled::Stale);
    }
    assert_eq!(stage.depth(), (1, 0, 0));
    let (again, lost) = stage.consumer.news(1);
    assert_eq!(lost, [first.token]);
    assert_eq!((again[0].deliveries, again[0].failures), (Some(2), 0));
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Stale);
    assert_eq!(stage.depth(), (0, 0, 1));
    stage.consumer.ack(again[0].token);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_no_timer_watches_ends_all_the_same() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a"));
    stage.publisher.put(message("b"));
    let first = stage.consumer.one();
    advance(secs(10)).await;
    let second = stage.consumer.one();
    // The timer fires for the first one; nobody polls to set it again.
    advance(secs(21)).await;
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Stale);
    advance(secs(10)).await;
    assert_eq!(stage.consumer.settle(second.token, Disposition::Ack), Settled::Stale);
    assert_eq!(stage.depth(), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_can_be_extended_and_shortened() {
    let mut stage = Stage::new(queue("q")).await;
    for text in ["a", "b", "c"] {
        stage.publisher.put(message(text));
    }
    let got = stage.consumer.take(3);
    advance(secs(20)).await;
    assert_eq!(stage.consumer.settle(got[0].token, Disposition::Extend { by: secs(30) }), Settled::Recorded);
    assert_eq!(stage.consumer.settle(got[1].token, Disposition::Extend { by: secs(5) }), Settled::Recorded);
    assert!(stage.consumer.take(1).is_empty());
    advance(Duration::from_millis(5_002)).await;
    let (again, lost) = stage.consumer.news(1);
    assert_eq!((bodies(&again).as_str(), lost), ("b", vec![got[1].token]));
    assert!(stage.consumer.take(1).is_empty());
    advance(Duration::from_millis(5_002)).await;
    let (again, lost) = stage.consumer.news(1);
    assert_eq!((bodies(&again).as_str(), lost), ("c", vec![got[2].token]));
    assert!(stage.consumer.take(1).is_empty());
    stage.consumer.ack(got[0].token);
}

#[tokio::test(start_paused = true)]
async fn another_waiting_consumer_gets_what_a_silent_one_lost() {
    let mut stage = Stage::new(queue("q")).await;
    let mut other = stage.another().await;
    stage.publisher.put(message("a"));
    let first = stage.consumer.one();
    assert!(other.take(1).is_empty());
    advance(Duration::from_millis(30_002)).await;
    assert!(other.bell.rung() >= 1);
    assert_eq!(other.one().deliveries, Some(2));
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Stale);
    assert_eq!(stage.depth(), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_gives_back_in_place_and_counted() {
    let mut stage = Stage::new(queue("q")).await;
    for text in ["a", "b", "c", "d"] {
        stage.publisher.put(message(text));
    }
    let mut other = stage.another().await;
    let got = stage.consumer.take(3);
    assert_eq!(bodies(&other.take(9)), "d");
    assert!(other.take(9).is_empty());
    stage.consumer.ack(got[1].token);
    let Consumer { receiver, settler, .. } = stage.consumer;
    drop(receiver);
    assert!(other.take(9).is_empty(), "the settling half still holds them");
    drop(settler);
    assert_eq!(other.bell.rung(), 1);
    let again = other.take(9);
    assert_eq!(bodies(&again), "a c");
    assert!(again.iter().all(|i| i.deliveries == Some(2) && i.failures == 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_old_lease_settles_nothing_else() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a"));
    let first = stage.consumer.one();
    stage.consumer.ack(first.token);
    stage.publisher.put(message("b"));
    let second = stage.consumer.one();
    assert_eq!(first.token.position as u32, second.token.position as u32, "the slot is used again");
    let all = [Disposition::Ack, Disposition::Release, Disposition::Extend { by: secs(1) }];
    for disposition in all {
        assert_eq!(stage.consumer.settle(first.token, disposition), Settled::Stale);
    }
    let mut other = stage.another().await;
    assert_eq!(other.settle(second.token, Disposition::Ack), Settled::Stale, "another's lease");
    assert_eq!(stage.depth(), (0, 0, 1));
    stage.consumer.ack(second.token);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_consumer_is_woken_and_passes_on_what_it_leaves() {
    let mut stage = Stage::new(queue("q")).await;
    let mut other = stage.another().await;
    assert!(stage.consumer.take(1).is_empty());
    assert!(other.take(1).is_empty());
    let mut batch = stage.publisher.batch([message("a"), message("b"), message("c")]);
    assert!(matches!(stage.publisher.submit(&mut batch), Poll::Ready(Ok(3))));
    assert_eq!((stage.consumer.bell.rung(), other.bell.rung()), (1, 0), "one wake for a batch");
    assert_eq!(bodies(&stage.consumer.take(1)), "a");
    assert_eq!(other.bell.rung(), 1, "more is ready");
    assert_eq!(bodies(&other.take(1)), "b");
    // One that was woken and goes away must not swallow the wake.
    assert!(stage.consumer.take(0).is_empty());
    let Consumer { receiver, settler, bell, .. } = stage.consumer;
    assert_eq!(bodies(&other.take(1)), "c");
    assert!(other.take(1).is_empty());
    drop((receiver, settler));
    assert_eq!(other.bell.rung(), 1);
    assert_eq!(bodies(&other.take(1)), "a");
    drop(bell);
}

#[tokio::test(start_paused = true)]
async fn who_was_woken_and_stops_passes_it_on() {
    for stop in 0..3 {
        let mut stage = Stage::new(queue("q")).await;
        let mut other = stage.another().await;
        assert!(stage.consumer.take(1).is_empty());
        assert!(other.take(1).is_empty());
        stage.publisher.put(message("a"));
        assert_eq!((stage.consumer.bell.rung(), other.bell.rung()), (1, 0));
        let Consumer { mut receiver, settler, mut inbox, .. } = stage.consumer;
        match stop {
            0 => drop(receiver),
            1 => {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(receiver.poll_stop(&mut cx, &mut inbox).is_ready());
            }
            _ => receiver.hold(0, true),
        }
        assert_eq!(other.bell.rung(), 1, "{stop}");
        assert_eq!(bodies(&other.take(1)), "a");
        drop(settler);
    }
}

#[tokio::test(start_paused = true)]
async fn prefetch_bounds_what_is_out_and_settling_wakes() {
    let mut stage = Stage::new(queue("q")).await;
    let mut narrow = Consumer::with_prefetch(&stage.transport, &source(&stage.channel), 2).await;
    for n in 0..5 {
        stage.publisher.put(message(&n.to_string()));
    }
    let got = narrow.take(10);
    assert_eq!(got.len(), 2);
    assert!(narrow.take(10).is_empty());
    narrow.bell.rung();
    narrow.ack(got[0].token);
    assert_eq!(narrow.bell.rung(), 1);
    assert_eq!(narrow.take(10).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn publishers_wait_at_the_bounds_and_are_woken() {
    for (name, pairs) in [("messages", [("max_messages", "2")]), ("bytes", [("max_bytes", "7")])] {
        let mut stage = Stage::with(queue("q"), config(&pairs)).await;
        let mut batch = stage.publisher.batch(["aaa", "bbb", "ccc"].map(message));
        assert!(matches!(stage.publisher.submit(&mut batch), Poll::Ready(Ok(2))), "{name}");
        assert!(stage.publisher.submit(&mut batch).is_pending(), "{name}");
        assert_eq!(stage.publisher.outcomes().len(), 2);
        let got = stage.consumer.take(1);
        assert_eq!(stage.publisher.bell.rung(), 0, "in flight still counts");
        stage.consumer.ack(got[0].token);
        assert_eq!(stage.publisher.bell.rung(), 1, "{name}");
        assert!(matches!(stage.publisher.submit(&mut batch), Poll::Ready(Ok(1))), "{name}");
        assert!(stage.publisher.outcomes()[0].1.is_confirmed());
    }
    // A message above the byte bound would wait for ever: alone it is taken.
    let mut stage = Stage::with(queue("q"), config(&[("max_bytes", "7")])).await;
    stage.publisher.put(message("far too long"));
    let mut batch = stage.publisher.batch([message("x")]);
    assert!(stage.publisher.submit(&mut batch).is_pending());
}

#[tokio::test(start_paused = true)]
async fn refusals_are_outcomes_and_leave_neighbours_alone() {
    let mut stage = Stage::with(queue("q"), config(&[("max_body", "3")])).await;
    let mut batch = stage.publisher.batch(["abc", "abcd", "x"].map(message));
    assert!(matches!(stage.publisher.submit(&mut batch), Poll::Ready(Ok(3))));
    let outcomes = stage.publisher.outcomes();
    assert!(outcomes[0].1.is_confirmed() && outcomes[2].1.is_confirmed());
    let PublishOutcome::Rejected(Rejection::Refused(error)) = &outcomes[1].1 else { panic!("{outcomes:?}") };
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(bodies(&stage.consumer.take(9)), "abc x");

    let mut lost = Publisher::open(&stage.transport, &queue("nowhere")).await;
    let PublishOutcome::Rejected(Rejection::Refused(error)) = lost.publish(message("a")) else { panic!() };
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // Declared later, the same producer finds it.
    stage.transport.ensure(&Ensure::new(queue("nowhere"))).await.unwrap();
    lost.put(message("a"));
    assert_eq!(stage.server.queue("nowhere").unwrap().ready().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_one_step() {
    let mut stage = Stage::new(queue("q")).await;
    stage.transport.ensure(&Ensure::new(queue("dead"))).await.unwrap();
    stage.publisher.put(message("a"));
    stage.publisher.put(message("b"));
    let got = stage.consumer.take(2);
    let successor = message("a!");
    let to = queue("dead");
    let what = [
        (got[0].token, Disposition::Replace { to: &to, message: &successor }),
        (got[1].token, Disposition::Ack),
        (got[0].token, Disposition::Ack),
    ];
    assert_eq!(stage.consumer.settle_all(&what), [Settled::Recorded, Settled::Recorded, Settled::Stale]);
    assert!(stage.consumer.flush().1.is_empty());
    assert_eq!(stage.depth(), (0, 0, 0));
    assert_eq!(stage.server.queue("dead").unwrap().ready().count(), 1);
    assert_eq!(stage.snapshot().totals.replaced, 1);

    // A target that refuses leaves the source as it was.
    stage.publisher.put(message("c"));
    let got = stage.consumer.one();
    let missing = queue("missing");
    let what = Disposition::Replace { to: &missing, message: &successor };
    assert_eq!(stage.consumer.settle(got.token, what), Settled::Recorded);
    let (_, late) = stage.consumer.flush();
    assert_eq!(late[0].token, got.token);
    assert!(matches!(&late[0].kind, LateKind::Failed(e) if e.kind() == ErrorKind::NotFound), "{late:?}");
    assert_eq!(stage.depth(), (0, 0, 1));
    // And it can be settled otherwise, for instance into its own queue.
    let own = queue("q");
    let what = Disposition::Replace { to: &own, message: &successor };
    assert_eq!(stage.consumer.settle(got.token, what), Settled::Recorded);
    assert_eq!(bodies(&stage.consumer.take(9)), "a!");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_generation_and_gives_back() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a"));
    let got = stage.consumer.one();
    assert!(stage.publisher.drive().is_pending());
    assert!(stage.consumer.take(1).is_empty());
    stage.transport.close().await.unwrap();
    stage.transport.close().await.unwrap();
    assert_eq!((stage.publisher.bell.rung(), stage.consumer.bell.rung()), (1, 1));
    assert!(matches!(stage.publisher.drive(), Poll::Ready(e) if e.kind() == ErrorKind::Closed));
    assert!(matches!(stage.consumer.poll(1), Poll::Ready(Err(e)) if e.kind() == ErrorKind::Closed));
    assert_eq!(stage.consumer.settle(got.token, Disposition::Ack), Settled::Stale);
    let mut batch = stage.publisher.batch([message("b")]);
    assert!(matches!(stage.publisher.submit(&mut batch), Poll::Ready(Err(e)) if e.kind() == ErrorKind::Closed));
    assert_eq!(batch.len(), 1, "untouched");
    let how = OpenConsumer::new(source(&stage.channel), 2);
    assert_eq!(stage.transport.open_consumer(how).await.unwrap_err().kind(), ErrorKind::Closed);
    // The server lives on.
    let again = MemoryTransport::new(&stage.server);
    let mut consumer = Consumer::open(&again, &source(&stage.channel)).await;
    assert_eq!(consumer.one().deliveries, Some(2));
}

#[tokio::test(start_paused = true)]
async fn stopping_takes_nothing_more_but_settles() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a"));
    let got = stage.consumer.one();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(stage.consumer.receiver.poll_stop(&mut cx, &mut stage.consumer.inbox).is_ready());
    stage.publisher.put(message("b"));
    assert!(stage.consumer.take(9).is_empty());
    stage.consumer.ack(got.token);
    let mut late = Vec::new();
    assert!(stage.consumer.settler.poll_close(&mut cx, &mut late).is_ready());
    assert_eq!(stage.depth(), (1, 0, 0));
}
