//! One subject of `cargo xtask bench`: a process that is told by lines of JSON what to do, and answers with what it
//! took. Every subject moves the same bodies; each body begins with its number, and what comes out is checked.

mod bodies;
mod memory;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;
mod through_pontoon;

use std::io::{BufRead, Write};
use std::time::Instant;

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use bodies::Check;

/// The command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// What carries the messages.
    #[arg(long)]
    transport: Transport,
    /// Who moves them.
    #[arg(long)]
    subject: Subject,
    /// Where the broker is; the memory transport has none.
    #[arg(long, default_value = "")]
    url: String,
}

/// A transport with subjects here.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Transport {
    Memory,
    #[cfg(feature = "rabbitmq")]
    Rabbitmq,
    #[cfg(feature = "redis")]
    Redis,
}

/// The queue that all subjects use in turn.
const QUEUE: &str = "bench";

/// A program to compare.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Subject {
    /// One message at a time, as in an example.
    RawNaive,
    /// The best safe program by hand.
    RawExpert,
    /// The same, and what was acknowledged is deleted as well, where that is another step.
    RawExpertDeleting,
    /// The library, through its facade.
    Pontoon,
}

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Until every message is confirmed.
    Publish,
    /// A backlog, until every message is acknowledged.
    Drain,
}

/// A line to this process.
#[derive(Debug, Deserialize)]
struct Request {
    mode: Mode,
    size: usize,
    count: usize,
    /// How often, each time on a fresh queue; times add up.
    repeat: usize,
}

/// A line from this process.
#[derive(Debug, Serialize)]
struct Answer {
    seconds: f64,
    cpu_seconds: f64,
    /// What was wrong with the messages that came out; nothing when all came once.
    problem: Option<String>,
    /// What one message of this subject's looks like at the broker; empty where nothing was published.
    wire: String,
}

/// What ends a subject.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A failure in words.
#[cfg(any(feature = "rabbitmq", feature = "redis"))]
fn failure(words: &str) -> Failure {
    words.into()
}

/// Seconds by the clock, and of this process's threads.
type Took = (f64, f64);

/// What one run took; zero where it was not asked for.
#[derive(Debug, Default)]
struct Times {
    publish: Took,
    drain: Took,
    /// As in [`Answer`].
    wire: String,
}

/// Time of the clock and of this process's threads.
struct Watch {
    clock: Instant,
    cpu: f64,
}

impl Watch {
    fn start() -> Self {
        Self { clock: Instant::now(), cpu: cpu_seconds() }
    }

    fn stop(&self) -> Took {
        (self.clock.elapsed().as_secs_f64(), cpu_seconds() - self.cpu)
    }
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    // One thread for all: what is compared is the work for a message, not the scheduler.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let answer = runtime.block_on(measure(&arguments, &request))?;
        println!("{}", serde_json::to_string(&answer)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, request: &Request) -> Result<Answer, Failure> {
    let bodies = bodies::make(request.size, request.count);
    let mut answer = Answer { seconds: 0.0, cpu_seconds: 0.0, problem: None, wire: String::new() };
    for _ in 0..request.repeat {
        let mut check = Check::new(request.count);
        let times = run(arguments, request.mode, &bodies, &mut check).await?;
        let (seconds, cpu_seconds) = if request.mode == Mode::Publish { times.publish } else { times.drain };
        answer.seconds += seconds;
        answer.cpu_seconds += cpu_seconds;
        answer.problem = answer.problem.or(check.problem());
        answer.wire = times.wire;
    }
    Ok(answer)
}

#[cfg_attr(not(any(feature = "rabbitmq", feature = "redis")), expect(unused_variables, reason = "of brokers"))]
async fn run(of: &Arguments, mode: Mode, bodies: &[Bytes], check: &mut Check) -> Result<Times, Failure> {
    match of.transport {
        Transport::Memory => memory::run(of.subject, bodies, check).await,
        #[cfg(feature = "rabbitmq")]
        Transport::Rabbitmq => rabbitmq::run(of.subject, mode, &of.url, bodies, check).await,
        #[cfg(feature = "redis")]
        Transport::Redis => redis::run(of.subject, mode, &of.url, bodies, check).await,
    }
}
