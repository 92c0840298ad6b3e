//! A broker that blocks publishers, and nodes of which one is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::common::{Consumer, PATIENCE, connect, declare, messages, publish, queue, urls};
use pontoon_core::ErrorKind;
use pontoon_core::driver::{AnyTransport, Disposition, Settled, Transport};
use pontoon_core::engine::{Environment, Publisher, PublisherOptions};
use pontoon_rabbitmq::{RabbitConfig, RabbitConnections, RabbitTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const LATE: Duration = Duration::from_secs(10);
/// What is accepted and has no outcome yet, at most.
const BOUND: usize = 64;
/// A frame of a method on channel 0: what a broker says when its alarm begins (with an empty reason) and ends.
const BLOCKED: &[u8] = &[1, 0, 0, 0, 0, 0, 5, 0, 10, 0, 60, 0, 0xce];
const UNBLOCKED: &[u8] = &[1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 61, 0xce];
/// Frame type, channel and length, before what they are about; behind it is one byte more.
const HEAD: usize = 7;

/// Stands between client and broker, and says to connections that publish what a broker with an alarm says.
async fn alarm(url: &str) -> (String, watch::Sender<bool>) {
    let (_, broker) = url.rsplit_once('@').unwrap();
    let broker = broker.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    let (on, alarm) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&broker).await.unwrap();
            let ((from_client, to_client), (from_broker, to_broker)) = (near.into_split(), far.into_split());
            let (named, name) = watch::channel(false);
            tokio::spawn(to_the_broker(from_client, to_broker, named));
            tokio::spawn(to_the_client(from_broker, to_client, name, alarm.clone()));
        }
    });
    (format!("amqp://guest:guest@{here}"), on)
}

async fn to_the_broker(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, publishes: watch::Sender<bool>) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let name = b"pontoon publishing";
        if piece[..count].windows(name.len()).any(|window| window == name) {
            publishes.send_replace(true);
        }
        if to.write_all(&piece[..count]).await.is_err() {
            break;
        }
    }
}

/// Hands on whole frames, with the alarm's between them.
async fn to_the_client(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    publishes: watch::Receiver<bool>,
    mut alarm: watch::Receiver<bool>,
) {
    let (mut read, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        tokio::select! {
            count = from.read(&mut piece) => match count {
                Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
                _ => return,
            },
            changed = alarm.changed() => {
                if changed.is_err() {
                    return;
                }
                let words = if *alarm.borrow_and_update() { BLOCKED } else { UNBLOCKED };
                if *publishes.borrow() && to.write_all(words).await.is_err() {
                    return;
                }
            }
        }
        while read.len() > HEAD {
            let whole = HEAD + u32::from_be_bytes([read[3], read[4], read[5], read[6]]) as usize + 1;
            if read.len() < whole {
                break;
            }
            let frame: Vec<u8> = read.drain(..whole).collect();
            if to.write_all(&frame).await.is_err() {
                return;
            }
        }
    }
}

async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_broker_that_blocks_publishers_makes_them_wait_within_their_bounds_and_nobody_else() {
    for url in urls() {
        let (url, alarm) = alarm(&url).await;
        let transport = connect(&url).await;
        let channel = queue("blocked");
        declare(&transport, &channel, &[]).await;
        let mut options = PublisherOptions::default();
        options.max_messages = BOUND;
        let env = Environment::new();
        let publisher = Publisher::open(&transport, channel.clone(), options.clone(), &env).await.unwrap();
        for message in messages((0..10).map(|number| number.to_string())) {
            publisher.publish(message).await.unwrap();
        }
        options.deliver_within = Duration::from_millis(300);
        let hasty = Publisher::open(&transport, channel.clone(), options, &env).await.unwrap();
        let native = transport.extensions().native.unwrap().downcast::<RabbitConnections>().unwrap();
        let publishing = native.publishing().await.unwrap();

        alarm.send_replace(true);
        until("the client hears of the alarm", async || publishing.status().blocked()).await;
        let done = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = messages((0..4 * BOUND).map(|number| number.to_string()))
            .into_iter()
            .map(|message| {
                let (publisher, done) = (publisher.clone(), done.clone());
                tokio::spawn(async move {
                    publisher.publish(message).await.unwrap();
                    done.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        until("as many as may wait do", async || publisher.stats().unresolved() == BOUND as u64).await;
        let late = hasty.publish(messages(["hasty".to_owned()]).remove(0)).await.unwrap_err();
        assert_eq!(late.error().kind(), ErrorKind::Timeout, "{late:?}");

        // Who consumes is not held up.
        let mut reader = Consumer::of(&transport, &channel).await;
        let there = reader.take(10, LATE).await.unwrap();
        assert_eq!(there.len(), 10);
        for incoming in there {
            assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        }
        assert!(reader.flush().await.is_empty());
        assert_eq!((done.load(Ordering::SeqCst), publisher.stats().unresolved()), (0, BOUND as u64));

        alarm.send_replace(false);
        for task in tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("an outcome once the alarm is over").unwrap();
        }
        assert_eq!(done.load(Ordering::SeqCst), 4 * BOUND);
        reader.close().await;
        transport.close().await.unwrap();
    }
}

/// A port on which nobody listens.
async fn dead() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn of_several_nodes_one_that_answers_is_enough() {
    for url in urls() {
        let (_, alive) = url.rsplit_once('@').unwrap();
        let (one, other) = (dead().await, dead().await);
        let nodes = format!("amqp://guest:guest@127.0.0.1:{one}?node=127.0.0.1:{other}");
        let error = RabbitTransport::connect(RabbitConfig::from_url(&nodes).unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Connection, pontoon_core::ErrorStatus::Temporary));
        assert!(error.context("node").is_some() && error.help().is_some(), "{error:?}");

        let config = RabbitConfig::from_url(&format!("{nodes}&node={alive}")).unwrap();
        let transport = AnyTransport::new(RabbitTransport::connect(config).await.unwrap());
        let channel = queue("nodes");
        declare(&transport, &channel, &[]).await;
        assert!(publish(&transport, &channel, messages(["a".to_owned()])).await[0].is_confirmed());
        transport.close().await.unwrap();
    }
}
