//! One subject of `cargo xtask bench`: a process that is told by lines of JSON what to do, and answers with what it
//! took. Every subject moves the same bodies; each body begins with its number, and what comes out is checked.

mod bodies;
mod expert;
mod naive;
mod through_pontoon;

use std::io::{BufRead, Write};
use std::time::Instant;

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
}

/// A transport with subjects here.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Transport {
    Memory,
}

/// A program to compare.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Subject {
    /// One message at a time, as in an example.
    RawNaive,
    /// The best safe program by hand.
    RawExpert,
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

    fn stop(&self) -> (f64, f64) {
        (self.clock.elapsed().as_secs_f64(), cpu_seconds() - self.cpu)
    }
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { transport: Transport::Memory, subject } = Arguments::parse();
    // One thread for all: what is compared is the work for a message, not the scheduler.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let answer = runtime.block_on(measure(subject, &request))?;
        println!("{}", serde_json::to_string(&answer)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn measure(subject: Subject, request: &Request) -> Result<Answer, Box<dyn std::error::Error>> {
    let bodies = bodies::make(request.size, request.count);
    let mut answer = Answer { seconds: 0.0, cpu_seconds: 0.0, problem: None };
    for _ in 0..request.repeat {
        let mut check = Check::new(request.count);
        let (publish, drain) = match subject {
            Subject::RawNaive => naive::run(&bodies, &mut check).await,
            Subject::RawExpert => expert::run(&bodies, &mut check).await,
            Subject::Pontoon => through_pontoon::run(&bodies, &mut check).await?,
        };
        let (seconds, cpu_seconds) = if request.mode == Mode::Publish { publish } else { drain };
        answer.seconds += seconds;
        answer.cpu_seconds += cpu_seconds;
        answer.problem = answer.problem.or(check.problem());
    }
    Ok(answer)
}
