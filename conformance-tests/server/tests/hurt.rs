//! What can be made to go wrong while the process runs.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory::{Chance, Fault};
use pontoon_memory_server::*;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn a_cut_ends_every_connection_and_new_ones_work() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a")).await;
    let first = stage.consumer.one().await;
    stage.server.hurt(Hurt::Cut).await.unwrap();
    assert_eq!(stage.consumer.news(1).await.unwrap_err().kind(), ErrorKind::Connection);
    assert_eq!(stage.publisher.publish_all([message("b")]).await.unwrap_err().kind(), ErrorKind::Connection);
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Stale);
    let again = stage.another().await.one().await;
    assert_eq!(again.deliveries, Some(2));
}

#[tokio::test]
async fn a_frozen_connection_is_silent_until_its_leases_end() {
    let mut stage = Stage::with(queue("q"), options().with_setting("lease", "300ms")).await;
    stage.publisher.put(message("a")).await;
    let first = stage.consumer.one().await;
    stage.server.hurt(Hurt::Freeze).await.unwrap();
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Recorded);
    assert!(timeout(QUIET, stage.consumer.flush()).await.is_err());
    assert!(timeout(QUIET, stage.publisher.publish_all([message("b")])).await.is_err());
    let mut other = stage.another().await;
    let again = other.one().await;
    assert_eq!((bodies(std::slice::from_ref(&again)).as_str(), again.deliveries), ("a", Some(2)));
    other.end(again.token, Disposition::Ack).await;
}

#[tokio::test]
async fn silence_is_noticed_within_two_beats_and_idleness_is_no_silence() {
    let beat = Duration::from_millis(200);
    let mut stage = Stage::with(queue("q"), options().with_beat(beat)).await;
    assert!(timeout(4 * beat, stage.consumer.news(1)).await.is_err(), "nothing to say, and there");
    stage.publisher.put(message("a")).await;
    let first = stage.consumer.one().await;
    stage.server.hurt(Hurt::Freeze).await.unwrap();
    let begun = Instant::now();
    for error in [
        timeout(BOUND, stage.consumer.news(1)).await.expect("it is noticed").unwrap_err(),
        timeout(BOUND, stage.publisher.publish_all([message("b")])).await.expect("it is noticed").unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.message().contains("silent")), (ErrorKind::Connection, true), "{error}");
    }
    assert!(begun.elapsed() >= beat / 2, "{:?}", begun.elapsed());
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Stale);
}

#[tokio::test]
async fn a_frozen_consumer_does_not_stand_in_the_way() {
    let mut stage = Stage::new(queue("q")).await;
    stage.consumer.nothing().await;
    stage.server.hurt(Hurt::Freeze).await.unwrap();
    let mut other = stage.another().await;
    let mut publisher = Publisher::open(&stage.transport, &stage.channel).await;
    for text in ["a", "b", "c"] {
        // It waits, behind the frozen one if that still did.
        other.nothing().await;
        publisher.put(message(text)).await;
        let next = other.one().await;
        assert_eq!(bodies(std::slice::from_ref(&next)), text);
    }
}

#[tokio::test]
async fn a_deleted_channel_is_gone_also_after_a_restart() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a")).await;
    stage.server.hurt(Hurt::Delete("q".into())).await.unwrap();
    assert_eq!(stage.consumer.news(1).await.unwrap_err().kind(), ErrorKind::NotFound);
    let gone = stage.publisher.publish(message("b")).await;
    assert!(matches!(gone, PublishOutcome::Rejected(Rejection::Refused(error)) if error.kind() == ErrorKind::NotFound));
    stage.server.restart().unwrap();
    let how = OpenConsumer::new(source(&stage.channel), 1);
    assert_eq!(stage.transport.open_consumer(how).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Declared anew it is another one, and that survives; also when it is for the second time.
    let ensure = Ensure::new(stage.channel.clone());
    stage.transport.ensure(&ensure).await.unwrap();
    stage.server.hurt(Hurt::Delete("q".into())).await.unwrap();
    stage.transport.ensure(&ensure).await.unwrap();
    let mut stage = stage.restarted().await;
    assert_eq!(stage.depth().await, (0, 0, 0));
    stage.publisher.put(message("c")).await;
}

#[tokio::test]
async fn faults_of_the_model_come_over_the_socket() {
    let mut stage = Stage::new(queue("q")).await;
    let once = Chance::ALWAYS.times(1);
    stage.server.hurt(Hurt::Fault(Fault::LoseConfirm, once)).await.unwrap();
    assert!(matches!(stage.publisher.publish(message("a")).await, PublishOutcome::Unknown(_)));
    let first = stage.consumer.one().await;

    // Not done while its lease holds: it is told, and can be settled again.
    stage.server.hurt(Hurt::Fault(Fault::FailSettle, once)).await.unwrap();
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Recorded);
    let late = stage.consumer.flush().await.unwrap();
    assert!(matches!(&late[..], [Late { token, kind: LateKind::Failed(_) }] if *token == first.token), "{late:?}");
    stage.consumer.end(first.token, Disposition::Ack).await;

    stage.publisher.put(message("b")).await;
    let second = stage.consumer.one().await;
    stage.server.hurt(Hurt::Fault(Fault::ExpireLease, once)).await.unwrap();
    stage.publisher.put(message("c")).await;
    let mut lost = Vec::new();
    for _ in 0..3 {
        lost.append(&mut stage.consumer.news(1).await.unwrap().1);
        if !lost.is_empty() {
            break;
        }
    }
    assert_eq!(lost, [second.token]);

    stage.server.hurt(Hurt::Fault(Fault::LoseConfirm, Chance::ALWAYS)).await.unwrap();
    stage.server.hurt(Hurt::Heal).await.unwrap();
    stage.publisher.put(message("d")).await;
}

#[tokio::test]
async fn a_server_that_does_not_run_cannot_be_hurt() {
    let mut server = MemoryServer::start(options()).unwrap();
    server.kill().unwrap();
    let error = timeout(Duration::from_secs(5), server.hurt(Hurt::Cut)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
}
