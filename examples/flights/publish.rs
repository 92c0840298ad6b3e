//! Publishes the flights in their order, and keeps what became of each.

use std::time::Duration;

use pontoon::Publisher;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::desk::Office;
use super::flight::Flight;
use super::input::Record;
use super::stop::Stop;

/// The share of the time allowed for stopping in which outcomes are still waited for.
pub(crate) const OUTCOMES_BY: f64 = 0.6;

/// Outcomes waiting to be collected.
const IN_FLIGHT: usize = 1_024;

/// What became of the flights.
#[derive(Debug)]
pub(crate) struct Published {
    /// Per flight: whether the broker has it for certain.
    pub(crate) confirmed: Vec<bool>,
    /// What went wrong, in words.
    pub(crate) problems: Vec<String>,
}

/// Publishes all flights unless it is time to stop.
pub(crate) async fn publish(
    publisher: &Publisher<Flight>,
    input: &[Record],
    office: &Office,
    rate: Option<u32>,
    stop: &Stop,
) -> Published {
    let mut published = Published { confirmed: vec![false; input.len()], problems: Vec::new() };
    // Outcomes are collected while later flights are still being sent: publishing is a pipeline.
    let (sent, mut outcomes) = mpsc::channel(IN_FLIGHT);
    let sending = async {
        let begun = Instant::now();
        for (seq, record) in (0..).zip(input) {
            let flight = Flight { run: office.run, seq, record: record.clone() };
            let enqueued = async {
                if let Some(rate) = rate {
                    sleep_until(begun + Duration::from_secs_f64(seq as f64 / f64::from(rate))).await;
                }
                publisher.enqueue(&flight).await
            };
            match stop.unless(enqueued).await {
                // The collector goes when it is overdue: so does this.
                Some(pending) => drop(sent.send((seq, pending)).await),
                None => break,
            }
        }
        drop(sent);
    };
    let collecting = async {
        while let Some((seq, pending)) = outcomes.recv().await {
            let outcome = match pending {
                Ok(pending) => pending.await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(_) => {
                    published.confirmed[seq] = true;
                    office.tally.confirmed();
                }
                Err(error) => published.problems.push(format!("flight {seq} was not confirmed: {error}")),
            }
        }
    };
    let overdue = async {
        stop.wait().await;
        stop.until(OUTCOMES_BY).await;
    };
    tokio::select! {
        _ = async { tokio::join!(sending, collecting) } => {}
        () = overdue => {}
    }
    published
}
