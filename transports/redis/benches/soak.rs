//! Millions of messages through one queue and one topic with three subscriptions, one of them slow, while consumers join
//! and leave: does everything arrive, and do server, client and streams stay as large as they were?
//!
//! It starts a Redis of its own, which takes root on Linux, prints a line each second, and then what it found:
//!
//! ```sh
//! cargo bench --profile test -p pontoon-redis --features broker-tests --bench soak -- 5000000
//! ```
//!
//! Ends with an error when something is lost or grows.

#[path = "../tests/backend/server.rs"]
#[allow(dead_code)]
mod server;

#[path = "../tests/common/mod.rs"]
mod common;

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{Other, connect};
use pontoon_core::engine::{Consumer, ConsumerOptions, Environment, Publisher, PublisherOptions};
use pontoon_core::{Channel, DeadLetterPolicy, Message, Source, Start, Subscription};
use tokio::time::{sleep, timeout};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Published at once.
const BATCH: u64 = 250;
/// The most that a publisher is ahead of the slowest reader: what would grow without a bound is no one's fault here.
const LAG: u64 = 20_000;
/// How long a consumer that leaves again stays.
const STAY: Duration = Duration::from_secs(2);
/// What the slow one waits after each batch.
const SLOW: Duration = Duration::from_millis(60);
/// Nothing takes longer, once all is published.
const PATIENCE: Duration = Duration::from_secs(120);
const BODY: usize = 200;
const QUEUE: &str = "soak.queue";
const TOPIC: &str = "soak.topic";

/// What one reader has: the queue's, or one subscription's.
struct Reader {
    name: &'static str,
    channel: Channel,
    slow: bool,
    /// How many of its consumers stay.
    stay: usize,
    /// A bit for each message.
    seen: Mutex<Vec<u64>>,
    settled: AtomicU64,
    again: AtomicU64,
    joined: AtomicU64,
}

impl Reader {
    fn new(name: &'static str, channel: &Channel, (slow, stay): (bool, usize), count: u64) -> Arc<Self> {
        // Memory that is zero from the start is had page by page as it is written: what is watched would seem to grow.
        let mut seen = vec![u64::MAX; (count / 64 + 1) as usize];
        seen.fill(0);
        Arc::new(Reader {
            name,
            channel: channel.clone(),
            slow,
            stay,
            seen: Mutex::new(seen),
            settled: AtomicU64::new(0),
            again: AtomicU64::new(0),
            joined: AtomicU64::new(0),
        })
    }

    fn source(&self) -> pontoon_core::Result<Source> {
        let subscription = match self.channel.kind {
            pontoon_core::ChannelKind::Queue => None,
            pontoon_core::ChannelKind::Topic => {
                Some(Subscription { start: Start::Earliest, ..Subscription::new(self.name)? })
            }
        };
        Source::new(self.channel.clone(), subscription)
    }

    fn note(&self, numbers: &[u64]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            let (word, bit) = (&mut seen[(number / 64) as usize], 1 << (number % 64));
            let of = if *word & bit == 0 { &self.settled } else { &self.again };
            *word |= bit;
            of.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }
}

/// Reads until it is time to leave, or until everything is settled.
async fn read(url: &str, reader: &Reader, stay: Option<Duration>, done: &AtomicBool) -> Outcome<()> {
    let transport = connect(url, "").await;
    let options = ConsumerOptions::default();
    let consumer = Consumer::open(&transport, reader.source()?, options, &Environment::new()).await?;
    reader.joined.fetch_add(1, Ordering::Relaxed);
    let began = Instant::now();
    while !done.load(Ordering::Relaxed) && stay.is_none_or(|stay| began.elapsed() < stay) {
        let Ok(batch) = timeout(Duration::from_millis(100), consumer.next_batch(256)).await else { continue };
        let Some(batch) = batch? else { break };
        let mut all: Vec<_> = batch.collect();
        let numbers: Vec<u64> = all.iter().filter_map(|delivery| number(&delivery.message().body)).collect();
        if numbers.len() != all.len() {
            return Err("a body has no number".into());
        }
        pontoon_core::engine::Delivery::ack_all(&mut all);
        reader.note(&numbers);
        if reader.slow {
            sleep(SLOW).await;
        }
    }
    let report = consumer.drain(PATIENCE).await;
    report.error.map_or(Ok(()), |error| Err(error.into()))
}

fn number(body: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(body.get(..8)?.try_into().ok()?))
}

/// Publishes, never far ahead of the slowest reader.
async fn publish(url: &str, channel: Channel, readers: [Arc<Reader>; 4], count: u64) -> Outcome<()> {
    let transport = connect(url, "").await;
    let publisher = Publisher::open(&transport, channel, PublisherOptions::default(), &Environment::new()).await?;
    let mut next = 0;
    while next < count {
        let slowest = readers.iter().map(|reader| reader.settled()).min().unwrap_or(count);
        if next >= slowest + LAG {
            sleep(Duration::from_millis(2)).await;
            continue;
        }
        let until = (next + BATCH).min(count);
        let all = (next..until).map(|number| {
            let mut body = vec![0x5a; BODY];
            body[..8].copy_from_slice(&number.to_le_bytes());
            Message::new(body).with_id(format!("{number:x}"))
        });
        publisher.publish_all(all).await.into_result()?;
        next = until;
    }
    match publisher.close(PATIENCE).await.abandoned {
        0 => Ok(()),
        some => Err(format!("{some} messages had no outcome").into()),
    }
}

/// What is watched, each second.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: f64,
    values: [f64; WATCHED.len()],
}

/// Its name, and what growth over the whole is within what an allocator, or a publisher's lead, makes.
const WATCHED: [(&str, f64); 4] = [
    ("server memory, KiB", 2_048.0),
    ("client memory, KiB", 2_048.0),
    ("queue's stream, entries", 2_500.0),
    ("topic's stream, entries", 2_500.0),
];

/// What was found of one of them over the last 80 %.
struct Slope {
    name: &'static str,
    least: f64,
    mean: f64,
    most: f64,
    /// Of the line of least squares, from its begin to its end.
    grown: f64,
    flat: bool,
}

impl Slope {
    fn of(index: usize, samples: &[Sample]) -> Self {
        let (name, slack) = WATCHED[index];
        let points: Vec<(f64, f64)> = samples.iter().map(|sample| (sample.at, sample.values[index])).collect();
        let count = points.len().max(1) as f64;
        let mean_of = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, mean) = (mean_of(|point| point.0), mean_of(|point| point.1));
        let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let slope = points.iter().map(|point| (point.0 - x) * (point.1 - mean)).sum::<f64>() / squares.max(1e-9);
        let span = points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
        let grown = slope * span;
        let values = points.iter().map(|point| point.1);
        Slope {
            name,
            least: values.clone().fold(f64::INFINITY, f64::min),
            mean,
            most: values.fold(0.0, f64::max),
            grown,
            flat: points.len() >= 10 && grown <= mean / 20.0 + slack,
        }
    }
}

impl fmt::Display for Slope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slope { name, least, mean, most, grown, flat } = self;
        let verdict = if *flat { "flat" } else { "GROWS" };
        write!(f, "{name}: {least:.0} to {most:.0}, mean {mean:.0}, grown by {grown:+.0}: {verdict}")
    }
}

fn sample(other: &mut Other, began: Instant) -> Outcome<Sample> {
    let info = other.ask(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let own = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let values = [
        used.trim().parse::<f64>()? / 1024.0,
        own.trim().trim_end_matches(" kB").parse()?,
        other.ask(&["XLEN", QUEUE]).parse()?,
        other.ask(&["XLEN", TOPIC]).parse()?,
    ];
    Ok(Sample { at: began.elapsed().as_secs_f64(), values })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let entries: u64 = std::env::args().nth(1).ok_or("say how many entries, such as 5000000")?.parse()?;
    let half = entries / 2;
    let own = server::Server::start("redis")?;
    let url = format!("redis://{}", own.address());
    let mut other = Other::at(&url);
    // What is looked at is memory, not the disk of this machine.
    if other.ask(&["CONFIG", "SET", "appendfsync", "everysec"]) != "OK" {
        return Err("the server does not take appendfsync".into());
    }
    let (mut queue, mut topic) = (Channel::queue(QUEUE)?, Channel::topic(TOPIC)?);
    queue.dead_letter = DeadLetterPolicy::Discard;
    topic.dead_letter = DeadLetterPolicy::Discard;
    let all = [
        Reader::new("queue", &queue, (false, 1), half),
        Reader::new("steady", &topic, (false, 1), half),
        Reader::new("changing", &topic, (false, 0), half),
        Reader::new("slow", &topic, (true, 1), half),
    ];
    let (done, mut tasks) = (Arc::new(AtomicBool::new(false)), tokio::task::JoinSet::new());
    for reader in &all {
        for _ in 0..reader.stay {
            let (url, reader, done) = (url.clone(), reader.clone(), done.clone());
            tasks.spawn(async move { read(&url, &reader, None, &done).await });
        }
        if !reader.slow {
            // Two that come and go, half a stay apart.
            for turn in 0..2 {
                let (url, reader, done) = (url.clone(), reader.clone(), done.clone());
                tasks.spawn(async move {
                    sleep(STAY / 2 * turn).await;
                    while !done.load(Ordering::Relaxed) {
                        read(&url, &reader, Some(STAY), &done).await?;
                    }
                    Ok(())
                });
            }
        }
    }
    // Subscriptions first: a topic need keep nothing for those who come later.
    while all.iter().any(|reader| reader.joined.load(Ordering::Relaxed) == 0) {
        sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    let mut publishers = tokio::task::JoinSet::new();
    for channel in [queue, topic] {
        let (url, readers) = (url.clone(), all.clone());
        publishers.spawn(async move { publish(&url, channel, readers, half).await });
    }
    let (mut samples, mut published) = (Vec::new(), None::<Instant>);
    let complete = || all.iter().all(|reader| reader.settled() == half);
    while !complete() {
        sleep(Duration::from_secs(1)).await;
        while let Some(ended) = publishers.try_join_next() {
            ended??;
        }
        if let Some(ended) = tasks.try_join_next() {
            ended??;
            return Err("a reader ended too soon".into());
        }
        if publishers.is_empty() {
            let since = *published.get_or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE {
                break;
            }
        } else {
            let sample = sample(&mut other, began)?;
            let settled: Vec<u64> = all.iter().map(|reader| reader.settled()).collect();
            println!("{:.0} s: {:?} settled {settled:?}", sample.at, sample.values.map(|value| value as u64));
            samples.push(sample);
        }
    }
    let took = began.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    println!("\n{entries} entries in {took:.0} s, {} samples", samples.len());
    let mut well = true;
    for reader in &all {
        let (settled, again) = (reader.settled(), reader.again.load(Ordering::Relaxed));
        well &= settled == half;
        let joined = reader.joined.load(Ordering::Relaxed);
        println!("{}: {settled} of {half} settled, {again} of them again, {joined} consumers joined", reader.name);
    }
    let last = &samples[samples.len() / 5..];
    for index in 0..WATCHED.len() {
        let slope = Slope::of(index, last);
        well &= slope.flat;
        println!("{slope}");
    }
    println!("{}", if well { "held" } else { "FAILED" });
    if well { Ok(()) } else { Err("something is lost or grows: see above".into()) }
}
