//! Members that come later get their share of an ordered channel's streams, and give it back when they go: through the
//! engine, on both servers.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Other, connect, declare, name, publish, urls};
use pontoon_core::engine::{Consumer, ConsumerOptions, Environment};
use pontoon_core::{Channel, DeadLetterPolicy, Message, Order, PublishOutcome, Source};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const SHARDS: u16 = 8;
const KEYS: usize = 48;
/// Handlers of a member.
const HANDLERS: usize = 4;
/// Long enough that no machine makes a member lose it; a member looks for its share each second then.
const SETTINGS: &str = "lease=20s&look_every=20ms";
const PATIENCE: Duration = Duration::from_secs(60);

/// What handlers did, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    member: u8,
    key: usize,
    number: u64,
    begins: bool,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// A process of its own, as far as the server can tell.
struct Member {
    consumer: Consumer,
    handlers: Vec<JoinHandle<()>>,
}

impl Member {
    async fn join(url: &str, channel: &Channel, member: u8, log: &Log) -> Self {
        let transport = connect(url, SETTINGS).await;
        let source = Source::new(channel.clone(), None).unwrap();
        let options = ConsumerOptions::default();
        let consumer = Consumer::open(&transport, source, options, &Environment::new()).await.unwrap();
        let handlers = (0..HANDLERS).map(|_| tokio::spawn(handle(consumer.clone(), member, log.clone()))).collect();
        Member { consumer, handlers }
    }

    async fn leave(self) {
        let report = self.consumer.drain(PATIENCE).await;
        assert!(report.is_clean(), "{report:?}");
        for handler in self.handlers {
            handler.await.unwrap();
        }
    }
}

async fn handle(consumer: Consumer, member: u8, log: Log) {
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.unwrap();
        let text = std::str::from_utf8(&delivery.message().body).unwrap().to_owned();
        let (key, number) = text.split_once(' ').unwrap();
        let mut seen = Seen { member, key: key.parse().unwrap(), number: number.parse().unwrap(), begins: true };
        log.lock().unwrap().push(seen);
        // The work: long enough that messages of a stream are out when it has to go.
        sleep(Duration::from_millis(2)).await;
        seen.begins = false;
        log.lock().unwrap().push(seen);
        let _ = delivery.ack();
    }
}

/// How many streams each owner has.
fn owners(other: &mut Other, channel: &Channel) -> Vec<usize> {
    let mut counts = BTreeMap::<String, usize>::new();
    for shard in 0..SHARDS {
        let owner = other.ask(&["GET", &format!("{{{}}}--shard-{shard}--owner--pontoon", channel.name)]);
        *counts.entry(owner).or_default() += 1;
    }
    counts.remove("nil");
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable();
    counts
}

async fn share(url: &str) {
    let mut channel = Channel::queue(name("shares")).unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    channel.order = Order::BLOCK;
    channel.shards = Some(SHARDS);
    let transport = connect(url, SETTINGS).await;
    declare(&transport, &channel, &[]).await;
    let (mut other, log) = (Other::at(url), Log::default());
    let mut rounds = 0;
    // Work goes on until the streams are owned as they should be.
    let mut until = async |wanted: &[usize], least: u64| {
        let deadline = Instant::now() + PATIENCE;
        let first = rounds;
        loop {
            let all = (0..KEYS).map(|key| {
                let body = format!("{key} {rounds}");
                Message::new(body.clone()).with_id(body).with_key(format!("k{key}"))
            });
            let outcomes = publish(&transport, &channel, all.collect()).await;
            assert!(outcomes.iter().all(PublishOutcome::is_confirmed));
            rounds += 1;
            let found = owners(&mut other, &channel);
            if found == wanted && rounds >= first + least {
                return rounds;
            }
            assert!(Instant::now() < deadline, "streams are owned {found:?}, not {wanted:?}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    let first = Member::join(url, &channel, 1, &log).await;
    until(&[8], 10).await;
    let second = Member::join(url, &channel, 2, &log).await;
    until(&[4, 4], 20).await;
    second.leave().await;
    let rounds = until(&[8], 20).await;

    let all = || log.lock().unwrap().iter().filter(|seen| !seen.begins).count() as u64 == rounds * KEYS as u64;
    let deadline = Instant::now() + PATIENCE;
    while !all() {
        assert!(Instant::now() < deadline, "some do not come");
        sleep(Duration::from_millis(5)).await;
    }
    first.leave().await;
    judge(&log.lock().unwrap(), rounds);
}

/// Each key: its messages in order, one at a time and once each, by the first member, then by the second, if it got the
/// key, and then by the first again.
fn judge(log: &[Seen], rounds: u64) {
    let mut moved = 0;
    for key in 0..KEYS {
        let of_key: Vec<Seen> = log.iter().filter(|seen| seen.key == key).copied().collect();
        let expected = (0..rounds).flat_map(|number| [(number, true), (number, false)]);
        let found: Vec<(u64, bool)> = of_key.iter().map(|seen| (seen.number, seen.begins)).collect();
        assert_eq!(found, expected.collect::<Vec<_>>(), "key {key}");
        let mut members: Vec<u8> = of_key.iter().map(|seen| seen.member).collect();
        members.dedup();
        assert!(members == [1] || members == [1, 2, 1], "key {key} went through {members:?}");
        moved += usize::from(members.len() == 3);
    }
    // Half of the streams, with any number of keys; more than none and not all.
    assert!((1..KEYS).contains(&moved), "{moved} of {KEYS} keys moved");
}

#[tokio::test]
async fn members_of_the_newer_server_share_and_hand_over_in_order() {
    share(&urls()[0]).await;
}

#[tokio::test]
async fn members_of_the_older_server_share_and_hand_over_in_order() {
    share(&urls()[1]).await;
}
