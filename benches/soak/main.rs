//! Work without end on the memory transport, with faults, failures and dead letters: does memory grow, is anything
//! lost? Prints a line of JSON each second; ends with code 1 when something is wrong.

use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use pontoon::driver::Settled;
use pontoon::prelude::*;
use pontoon::{Bytes, Delivery, Raw, Subscription};
use serde::Serialize;

const JOBS: Queue<Raw> = Queue::new("jobs").ordered_by_key(key).dead_letter("jobs.dead");
const DEAD: Queue<Raw> = Queue::existing("jobs.dead");
const BATCH: u64 = 64;
/// Messages under way before no more are published.
const MOST: usize = 1_000;
/// Faults that happen now and then, with a backlog that fits.
const URL: &str = "memory://?seed=7&lease=1s&lose_confirm=0.001&duplicate=0.001&drop_connection=0.0002&expire_lease=0.001&\
                   fail_settle=0.001&refuse_dead_letter=0.01";
/// How long what is under way may take at the end.
const PATIENCE: Duration = Duration::from_secs(60);

fn key(raw: &Raw) -> pontoon::Key {
    pontoon::Key::from(number(raw) % 97)
}

fn number(raw: &Raw) -> u64 {
    raw.0.get(..8).and_then(|bytes| bytes.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
}

/// The command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long to work.
    #[arg(long)]
    seconds: u64,
}

/// A line of output.
#[derive(Debug, Default, Serialize)]
struct Line {
    settled: u64,
    rss_kib: u64,
    problem: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let time = Duration::from_secs(Arguments::parse().seconds);
    let broker = pontoon::connect(URL).await?;
    let publisher = broker.publisher(JOBS).await?;
    let subscription = broker.subscribe(JOBS).await?;
    let mut work = Work { subscription, under_way: HashSet::new(), released: HashSet::new(), settled: 0 };
    let (began, mut second, mut next) = (Instant::now(), 1, 0);
    while began.elapsed() < time {
        if work.under_way.len() < MOST {
            let bodies: Vec<Raw> = (next..next + BATCH).map(body).collect();
            work.under_way.extend(next..next + BATCH);
            next += BATCH;
            publisher.publish_all(&bodies).await.into_result()?;
        }
        work.once().await?;
        if began.elapsed() >= Duration::from_secs(second) {
            second += 1;
            // Dead letters are not the soak's matter: they would be the growth that it looks for.
            broker.purge(&DEAD).await?;
            work.say(None);
        }
    }
    let ended = Instant::now();
    while !work.under_way.is_empty() && ended.elapsed() < PATIENCE {
        work.once().await?;
    }
    let lost = work.under_way.len();
    let problem = (lost > 0).then(|| format!("{lost} messages did not come within {PATIENCE:?}"));
    if problem.is_some() {
        work.say(problem);
        return Ok(ExitCode::FAILURE);
    }
    broker.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// A body that begins with its number.
fn body(number: u64) -> Raw {
    let mut body = vec![0x5a; 100];
    body[..8].copy_from_slice(&number.to_le_bytes());
    Raw(Bytes::from(body))
}

struct Work {
    subscription: Subscription<Raw>,
    /// Numbers that were published and not settled for good.
    under_way: HashSet<u64>,
    /// Numbers that were given back once.
    released: HashSet<u64>,
    settled: u64,
}

impl Work {
    /// Takes what is there, waiting a moment for the first.
    async fn once(&mut self) -> pontoon::Result<()> {
        let mut batch = Vec::new();
        let taking = self.subscription.next_batch(BATCH as usize, &mut batch);
        match tokio::time::timeout(Duration::from_millis(20), taking).await {
            Ok(taken) => drop(taken?),
            // What comes late comes with the next call.
            Err(_) => return Ok(()),
        }
        for delivery in batch {
            self.settle(delivery);
        }
        Ok(())
    }

    fn settle(&mut self, delivery: Delivery<Raw>) {
        let number = number(delivery.payload());
        let first = delivery.attempt().at_least == 1;
        let (settled, comes_again) = match number % 100 {
            // The first time only, or the dead would be many.
            1 | 2 if first => (delivery.retry(Some(Duration::from_millis(1)), "soak"), true),
            // A release is not counted, so the attempt does not tell that it happened.
            3 if self.released.insert(number) => (delivery.release(), true),
            4 => (delivery.reject("soak"), false),
            _ => (delivery.ack(), false),
        };
        if settled == Settled::Recorded && !comes_again && self.under_way.remove(&number) {
            self.released.remove(&number);
            self.settled += 1;
        }
    }

    fn say(&self, problem: Option<String>) {
        let line = Line { settled: self.settled, rss_kib: rss_kib(), problem };
        println!("{}", serde_json::to_string(&line).unwrap_or_default());
    }
}

/// Resident memory of this process.
fn rss_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
