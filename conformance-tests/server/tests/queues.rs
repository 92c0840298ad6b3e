//! Queues over the socket: storing, handing out, settling, leases, bounds.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;

#[tokio::test]
async fn what_is_published_is_received_once_in_order_and_gone_when_acknowledged() {
    let mut stage = Stage::new(queue("q")).await;
    let mut numbers = Vec::new();
    for text in ["a", "b", "c"] {
        let sent = message(text).with_id(text).with_key("k").with_header("h", 7).with_priority(0);
        numbers.push(stage.publisher.put(sent).await);
    }
    let got = stage.consumer.take(3).await;
    assert_eq!(bodies(&got), "a b c");
    assert_eq!(got.iter().map(|i| i.broker_id.clone()).collect::<Vec<_>>(), numbers);
    assert_eq!(got[0].message.id, MessageId::from("a"));
    assert_eq!(got[0].message.key, Some("k".into()));
    assert_eq!(got[0].message.headers.get("h"), Some(&HeaderValue::Int(7)));
    assert_eq!((got[0].deliveries, got[0].failures), (Some(1), 0));
    assert_eq!(stage.depth().await, (0, 0, 3));
    for incoming in &got {
        stage.consumer.end(incoming.token, Disposition::Ack).await;
        assert_eq!(stage.consumer.settle(incoming.token, Disposition::Ack), Settled::Stale);
    }
    assert_eq!(stage.depth().await, (0, 0, 0));
    stage.consumer.nothing().await;
}

#[tokio::test]
async fn a_pipeline_has_one_outcome_each_in_order() {
    let mut stage = Stage::new(queue("q")).await;
    let begin = Instant::now();
    let outcomes = stage.publisher.publish_all((0..5_000).map(|n| message(&n.to_string()))).await.unwrap();
    assert!(outcomes.iter().all(PublishOutcome::is_confirmed));
    println!("5,000 published in {:?}", begin.elapsed());
    let got = stage.consumer.take(256).await;
    assert_eq!(bodies(&got[..3]), "0 1 2");
    assert_eq!(stage.depth().await, (4_744, 0, 256));
}

#[tokio::test]
async fn only_what_was_asked_for_is_handed_over() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.publish_all((0..10).map(|n| message(&n.to_string()))).await.unwrap();
    stage.consumer.take(2).await;
    assert_eq!(stage.depth().await, (8, 0, 2));
}

#[tokio::test]
async fn a_release_returns_in_place_and_uncounted_and_a_retry_when_due_and_counted() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.publish_all(["a", "b"].map(message)).await.unwrap();
    let got = stage.consumer.take(2).await;
    stage.consumer.end(got[0].token, Disposition::Release).await;
    let again = stage.consumer.one().await;
    assert_eq!((bodies(std::slice::from_ref(&again)).as_str(), again.deliveries), ("a", Some(1)));
    let after = Duration::from_millis(150);
    let begin = Instant::now();
    stage.consumer.end(again.token, Disposition::Retry { after, failures: 2 }).await;
    assert_eq!(stage.depth().await, (0, 1, 1));
    let third = stage.consumer.one().await;
    assert!(begin.elapsed() >= after);
    assert_eq!((third.deliveries, third.failures), (Some(3), 2));
}

#[tokio::test]
async fn a_lost_lease_is_told_and_its_token_is_stale() {
    let mut stage = Stage::with(queue("q"), options().with_setting("lease", "200ms")).await;
    assert_eq!(stage.consumer.lease, Some(Duration::from_millis(200)));
    stage.publisher.put(message("a")).await;
    let first = stage.consumer.one().await;
    let mut lost = Vec::new();
    let mut again = Vec::new();
    for _ in 0..2 {
        let news = stage.consumer.news(1).await.unwrap();
        again.extend(news.0);
        lost.extend(news.1);
        if !lost.is_empty() && !again.is_empty() {
            break;
        }
    }
    assert_eq!(lost, [first.token]);
    assert_eq!(again[0].deliveries, Some(2));
    let dispositions =
        [Disposition::Ack, Disposition::Release, Disposition::Retry { after: Duration::ZERO, failures: 1 }];
    for late in dispositions {
        assert_eq!(stage.consumer.settle(first.token, late), Settled::Stale);
    }
    assert_eq!(stage.depth().await, (0, 0, 1));
}

#[tokio::test]
async fn an_extended_lease_holds() {
    let mut stage = Stage::with(queue("q"), options().with_setting("lease", "300ms")).await;
    stage.publisher.put(message("a")).await;
    let first = stage.consumer.one().await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(900) {
        let by = Duration::from_millis(300);
        stage.consumer.end(first.token, Disposition::Extend { by }).await;
        stage.consumer.nothing().await;
    }
    stage.consumer.end(first.token, Disposition::Ack).await;
    assert_eq!(stage.depth().await, (0, 0, 0));
}

#[tokio::test]
async fn a_settlement_that_crosses_the_loss_of_its_lease_comes_back_late() {
    let mut stage = Stage::with(queue("q"), options().with_setting("lease", "150ms")).await;
    stage.publisher.put(message("a")).await;
    let first = stage.consumer.one().await;
    // The client does not look, so it does not know yet.
    stage.another().await.one().await;
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Recorded);
    let late = stage.consumer.flush().await.unwrap();
    assert!(matches!(&late[..], [Late { token, kind: LateKind::Stale }] if *token == first.token), "{late:?}");
}

#[tokio::test]
async fn a_token_of_another_connection_settles_nothing() {
    let mut stage = Stage::new(queue("q")).await;
    let mut other = stage.another().await;
    stage.publisher.publish_all(["a", "b"].map(message)).await.unwrap();
    let mine = stage.consumer.one().await;
    let theirs = other.one().await;
    assert_eq!(mine.token.position, theirs.token.position, "alike but for the connection");
    assert_eq!(stage.consumer.settle(theirs.token, Disposition::Ack), Settled::Stale);
    assert_eq!(other.settle(mine.token, Disposition::Ack), Settled::Stale);
    assert_eq!(stage.depth().await, (0, 0, 2));
}

#[tokio::test]
async fn what_is_out_goes_back_when_its_consumer_goes() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.publish_all(["a", "b"].map(message)).await.unwrap();
    let got = stage.consumer.take(2).await;
    assert_eq!(stage.consumer.settle(got[0].token, Disposition::Ack), Settled::Recorded);
    let mut late = Vec::new();
    std::future::poll_fn(|cx| stage.consumer.settler.poll_close(cx, &mut late)).await.unwrap();
    assert!(late.is_empty());
    let again = stage.another().await.one().await;
    assert_eq!((bodies(std::slice::from_ref(&again)).as_str(), again.deliveries), ("b", Some(2)));
    let error = stage.consumer.news(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_stopped_receiver_says_when_nothing_more_comes() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a")).await;
    let got = stage.consumer.one().await;
    let mut inbox = Inbox::new();
    std::future::poll_fn(|cx| stage.consumer.receiver.poll_stop(cx, &mut inbox)).await.unwrap();
    stage.publisher.put(message("b")).await;
    stage.consumer.nothing().await;
    stage.consumer.end(got.token, Disposition::Ack).await;
    assert_eq!(stage.depth().await, (1, 0, 0));
}

#[tokio::test]
async fn a_held_receiver_gets_nothing_until_it_is_let_go() {
    let mut stage = Stage::new(queue("q")).await;
    stage.consumer.receiver.hold(0, true);
    stage.publisher.put(message("a")).await;
    stage.consumer.nothing().await;
    stage.consumer.receiver.hold(0, false);
    stage.consumer.one().await;
}

#[tokio::test]
async fn refusals_are_typed() {
    let mut stage = Stage::with(queue("q"), options().with_setting("max_body", "1KiB")).await;
    let PublishOutcome::Rejected(Rejection::Refused(error)) = stage.publisher.publish(message(&"x".repeat(1025))).await
    else {
        panic!()
    };
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let mut nowhere = Publisher::open(&stage.transport, &queue("nowhere")).await;
    let PublishOutcome::Rejected(Rejection::Refused(error)) = nowhere.publish(message("x")).await else { panic!() };
    assert_eq!((error.kind(), error.context("channel")), (ErrorKind::NotFound, Some("nowhere")));
    let how = OpenConsumer::new(source(&queue("nowhere")), 1);
    assert_eq!(stage.transport.open_consumer(how).await.unwrap_err().kind(), ErrorKind::NotFound);
    stage.publisher.put(message("still fine")).await;
}

#[tokio::test]
async fn a_full_queue_makes_publishers_wait() {
    let mut stage = Stage::with(queue("q"), options().with_setting("max_messages", "3")).await;
    let Stage { publisher, consumer, .. } = &mut stage;
    let (outcomes, ()) = tokio::join!(publisher.publish_all((0..9).map(|n| message(&n.to_string()))), async {
        for n in 0..9 {
            let got = consumer.one().await;
            assert_eq!(bodies(std::slice::from_ref(&got)), n.to_string());
            consumer.end(got.token, Disposition::Ack).await;
        }
    });
    assert!(outcomes.unwrap().iter().all(PublishOutcome::is_confirmed));
}

#[tokio::test]
async fn keys_keep_their_order_and_wait_for_a_retry() {
    let mut stage = Stage::new(ordered("q", Order::BLOCK)).await;
    stage.publisher.publish_all([keyed("k", "a"), keyed("k", "b"), keyed("l", "c")]).await.unwrap();
    let got = stage.consumer.take(2).await;
    assert_eq!(bodies(&got), "a c");
    let after = Duration::from_millis(200);
    stage.consumer.end(got[0].token, Disposition::Retry { after, failures: 1 }).await;
    stage.consumer.nothing().await;
    let again = stage.consumer.one().await;
    assert_eq!(bodies(std::slice::from_ref(&again)), "a");
    stage.consumer.end(again.token, Disposition::Ack).await;
    assert_eq!(bodies(&stage.consumer.take(1).await), "b");
}

#[tokio::test]
async fn delay_ttl_and_priority_are_the_servers() {
    let mut stage = Stage::new(queue("q")).await;
    let delay = Duration::from_millis(200);
    let begin = Instant::now();
    stage.publisher.put(message("later").with_delay(Delay::For(delay))).await;
    stage.publisher.put(message("low")).await;
    stage.publisher.put(message("high").with_priority(9)).await;
    stage.publisher.put(message("old").with_ttl(Duration::from_millis(1))).await;
    // Time itself is what is waited for: the TTL must be over before anything is asked for.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let got = stage.consumer.take(3).await;
    assert_eq!(bodies(&got), "high low old");
    assert_eq!(got.iter().map(|i| i.expired).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(bodies(&stage.consumer.take(1).await), "later");
    assert!(begin.elapsed() >= delay);
}

#[tokio::test]
async fn purging_takes_what_is_ready_alone() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.publish_all((0..5).map(|n| message(&n.to_string()))).await.unwrap();
    stage.publisher.put(message("later").with_delay(Delay::For(Duration::from_secs(60)))).await;
    stage.consumer.take(2).await;
    let purge = stage.transport.extensions().purge.unwrap();
    assert_eq!(purge.purge(&source(&stage.channel)).await.unwrap(), 3);
    assert_eq!(stage.depth().await, (0, 1, 2));
    let stage = stage.restarted().await;
    assert_eq!(stage.depth().await, (2, 1, 0));
}

#[tokio::test]
async fn closing_ends_every_handle() {
    let mut stage = Stage::new(queue("q")).await;
    stage.transport.close().await.unwrap();
    stage.transport.close().await.unwrap();
    assert_eq!(stage.publisher.publish_all([message("a")]).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(stage.consumer.news(1).await.unwrap_err().kind(), ErrorKind::Closed);
    let error = stage.transport.ensure(&Ensure::new(stage.channel.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_closed_producer_has_every_outcome() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a")).await;
    for _ in 0..2 {
        std::future::poll_fn(|cx| stage.publisher.producer.poll_close(cx)).await.unwrap();
    }
    assert!(stage.publisher.publish_all([message("b")]).await.is_err());
}
