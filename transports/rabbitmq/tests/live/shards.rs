//! Members of an ordered channel that come and go share its shards, and order holds through every hand-over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::common::{connect, name, urls};
use pontoon_core::driver::{AnyTransport, Transport};
use pontoon_core::engine::{Consumer, ConsumerOptions, Environment, Publisher, PublisherOptions};
use pontoon_core::{Channel, DeadLetterPolicy, Message, Order, Source};
use tokio::task::JoinHandle;

const SHARDS: u16 = 8;
/// So many that every shard has several.
const KEYS: u64 = 64;
/// How long a change of members may take until it is seen. Silence of one that was lost is noticed after five seconds.
const SETTLED: Duration = Duration::from_secs(60);

/// Which shard a key belongs to: FNV-1a of 64 bits, as the transport says.
fn shard(key: u64) -> u16 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    (key_name(key).bytes().fold(0xcbf2_9ce4_8422_2325, mix) % u64::from(SHARDS)) as u16
}

fn key_name(key: u64) -> String {
    format!("key-{key}")
}

/// What members did, in the order in which they did it.
#[derive(Default)]
struct Log {
    /// The member that works on a key now.
    busy: HashMap<u64, &'static str>,
    /// The last number of each key that was acknowledged.
    last: HashMap<u64, u64>,
    handled: u64,
    again: u64,
    /// Who had each shard last, and since when nobody else had.
    owners: BTreeMap<u16, (&'static str, Instant)>,
    wrong: Vec<String>,
}

impl Log {
    fn begin(&mut self, who: &'static str, key: u64, number: u64) {
        if let Some(other) = self.busy.insert(key, who) {
            self.wrong.push(format!("{who} and {other} have key {key}"));
        }
        let owner = self.owners.entry(shard(key)).or_insert((who, Instant::now()));
        if owner.0 != who {
            *owner = (who, Instant::now());
        }
        let due = self.last.get(&key).map_or(0, |last| last + 1);
        if number < due {
            self.again += 1;
        } else if number > due {
            self.wrong.push(format!("{who} has {number} of key {key} and {due} is due"));
        }
    }

    fn end(&mut self, key: u64, number: u64) {
        self.busy.remove(&key);
        let last = self.last.entry(key).or_insert(number);
        *last = number.max(*last);
        self.handled += 1;
    }

    /// How many shards each member has.
    fn shares(&self) -> BTreeMap<&'static str, usize> {
        let mut shares = BTreeMap::new();
        self.owners.values().for_each(|(who, _)| *shares.entry(*who).or_default() += 1);
        shares
    }
}

#[derive(Clone, Default)]
struct Stage {
    log: Arc<Mutex<Log>>,
    over: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
}

impl Stage {
    /// Waits until the shards are shared like this.
    async fn until(&self, what: &str, like: impl Fn(&BTreeMap<&'static str, usize>) -> bool) {
        let began = Instant::now();
        loop {
            let shares = self.log.lock().unwrap().shares();
            if like(&shares) && shares.values().sum::<usize>() == usize::from(SHARDS) {
                println!("{what}: {shares:?} after {:?}", began.elapsed());
                return;
            }
            assert!(began.elapsed() < SETTLED, "{what}: {shares:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Publishes numbers to all keys, one after the other, until told to stop.
    fn publish(&self, publisher: Publisher) -> JoinHandle<()> {
        let stage = self.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let round = (0..KEYS).map(|key| Message::new(number.to_string()).with_key(key_name(key)));
                assert_eq!(publisher.publish_all(round).await.into_result().unwrap(), KEYS as usize);
                stage.published.fetch_add(KEYS, Ordering::SeqCst);
                if stage.over.load(Ordering::SeqCst) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    }

    fn member(&self, who: &'static str, consumer: Arc<Consumer>) -> JoinHandle<()> {
        let log = self.log.clone();
        tokio::spawn(async move {
            let hand = |_| {
                let (log, consumer) = (log.clone(), consumer.clone());
                tokio::spawn(async move {
                    while let Some(Ok(delivery)) = consumer.next().await {
                        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                        let key = text(delivery.message().key.as_ref().unwrap().as_bytes());
                        let key: u64 = key.trim_start_matches("key-").parse().unwrap();
                        let number: u64 = text(&delivery.message().body).parse().unwrap();
                        log.lock().unwrap().begin(who, key, number);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        log.lock().unwrap().end(key, number);
                        let _ = delivery.ack();
                    }
                })
            };
            for hand in (0..8).map(hand).collect::<Vec<_>>() {
                hand.await.unwrap();
            }
        })
    }
}

async fn join(transport: &AnyTransport, channel: &Channel) -> Arc<Consumer> {
    let source = Source::new(channel.clone(), None).unwrap();
    Arc::new(Consumer::open(transport, source, ConsumerOptions::default(), &Environment::new()).await.unwrap())
}

async fn members_come_and_go(url: &str) {
    let mut channel = Channel::queue(name("shards")).unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    (channel.order, channel.shards) = (Order::FallBehind, Some(SHARDS));
    let stage = Stage::default();
    let publishing = connect(url).await;
    let (options, env) = (PublisherOptions::default(), Environment::new());
    let publisher = Publisher::open(&publishing, channel.clone(), options, &env).await.unwrap();

    let a = connect(url).await;
    let mut tasks = vec![stage.member("a", join(&a, &channel).await)];
    let publishing_task = stage.publish(publisher.clone());
    stage.until("a alone", |shares| shares.get("a") == Some(&8)).await;

    let b = connect(url).await;
    let second = join(&b, &channel).await;
    tasks.push(stage.member("b", second.clone()));
    let at_least = |least: usize, of: &'static [&'static str]| {
        move |shares: &BTreeMap<&'static str, usize>| {
            let all: BTreeSet<_> = shares.keys().copied().collect();
            all == of.iter().copied().collect() && shares.values().all(|share| *share >= least)
        }
    };
    stage.until("b came", at_least(3, &["a", "b"])).await;

    let c = connect(url).await;
    tasks.push(stage.member("c", join(&c, &channel).await));
    stage.until("c came", at_least(2, &["a", "b", "c"])).await;

    let report = second.drain(Duration::from_secs(20)).await;
    assert!(report.is_clean(), "{report:?}");
    stage.until("b left", at_least(3, &["a", "c"])).await;
    {
        let log = stage.log.lock().unwrap();
        assert!(log.wrong.is_empty(), "{} are wrong: {:?}", log.wrong.len(), &log.wrong[..log.wrong.len().min(5)]);
        assert_eq!(log.again, 0, "in order nothing is handed out twice");
    }

    // Without a word: what it had in hand comes again.
    c.close().await.unwrap();
    stage.until("c was lost", at_least(8, &["a"])).await;

    stage.over.store(true, Ordering::SeqCst);
    publishing_task.await.unwrap();
    let published = stage.published.load(Ordering::SeqCst);
    let began = Instant::now();
    loop {
        let done: u64 = stage.log.lock().unwrap().last.values().map(|last| last + 1).sum();
        if done == published {
            break;
        }
        assert!(began.elapsed() < SETTLED, "{done} of {published} were handled");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    {
        let log = stage.log.lock().unwrap();
        println!("{} handled, {} of them again", log.handled, log.again);
        assert!(log.wrong.is_empty(), "{} are wrong: {:?}", log.wrong.len(), &log.wrong[..log.wrong.len().min(5)]);
    }
    let _ = publisher.close(Duration::from_secs(5)).await;
    tasks.iter().for_each(JoinHandle::abort);
    for transport in [a, b, publishing] {
        transport.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_the_shards_of_4_0_and_order_holds() {
    members_come_and_go(&urls()[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_the_shards_of_3_10_and_order_holds() {
    members_come_and_go(&urls()[1]).await;
}
