//! The flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Publishes 2,000 real flights, handles them with several workers, and proves that nothing was lost or reordered.
#[derive(Clone, Debug, Parser)]
#[command(name = "flights")]
pub(crate) struct Args {
    /// Where the messages go: memory://, amqp://, kafka://, redis://, sqs://
    #[arg(long, default_value = "memory://")]
    pub(crate) url: String,
    /// Keeps what the handlers did, one JSON object a line [default: in memory]
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// The flights
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2k.json"))]
    pub(crate) input: PathBuf,
    /// The share of flights, 0 to 1, whose handler fails at first
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    pub(crate) fail_rate: f64,
    /// How many flights always fail
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) poison: usize,
    /// Chooses which flights fail
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many workers share the queue
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = workers)]
    pub(crate) workers: usize,
    /// Breaks a promise on purpose, beneath the library, to show that the judge notices (exit status 1)
    #[arg(long, value_name = "HOW")]
    pub(crate) sabotage: Option<Sabotage>,
    /// How long a shutdown may take
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) deadline: Duration,
    /// How long one handling takes
    #[arg(long, value_name = "MILLISECONDS", default_value = "1", value_parser = milliseconds)]
    pub(crate) work: Duration,
    /// Flights published per second [default: as fast as the broker takes them]
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
}

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// Some messages are confirmed and dropped
    Lose,
    /// Some messages change places with the next one of their airport
    Swap,
    /// Some messages are delivered again after their ack
    Dup,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1".into()),
    }
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(workers) if (1..=64).contains(&workers) => Ok(workers),
        _ => Err("use 1 to 64 workers".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    duration(text, 1.0, 3600.0).ok_or_else(|| "a deadline is a number of seconds from 0 to 3600".into())
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    duration(text, 1e-3, 60_000.0).ok_or_else(|| "the work takes 0 to 60000 milliseconds".into())
}

fn duration(text: &str, unit: f64, most: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    (0.0..=most).contains(&number).then(|| Duration::from_secs_f64(number * unit))
}
