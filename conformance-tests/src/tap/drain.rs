//! The end of a run: sources read to their end, dead letters read.

use std::time::Duration;

use pontoon_core::driver::{AnyTransport, DepthReport, Transport};
use pontoon_core::engine::{Consumer, ConsumerOptions};
use pontoon_core::{Channel, DeadLetterPolicy, Result, Source};
use tokio::time::{Instant, sleep, timeout};

use super::Run;
use super::letters::found_dead;
use crate::history::{DrainEnd, Name, SourceName, What};

/// How long the end of a run is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often the broker is asked what it holds.
    pub step: Duration,
    /// Nothing came for so long: there is nothing more, where the broker cannot tell.
    pub quiet: Duration,
    /// Longer than this nothing is waited for.
    pub deadline: Duration,
}

/// Waits until a source that consumers read is empty, and records how that ended. Where the broker cannot tell, the
/// source counts as read when nothing was recorded for a while.
///
/// # Errors
/// Of the transport, when it is asked what it holds.
pub async fn drain_source(
    run: &Run,
    transport: &AnyTransport,
    source: &Source,
    patience: Patience,
) -> Result<DrainEnd> {
    let start = Instant::now();
    let mut seen = (run.recorder().len(), start);
    let end = loop {
        let held = match transport.extensions().depth {
            Some(depth) => Some(depth.depth(source).await?).filter(|held| held.exact),
            None => None,
        };
        if held.is_some_and(is_empty) {
            break DrainEnd::Empty;
        }
        let now = (run.recorder().len(), Instant::now());
        if now.0 != seen.0 {
            seen = now;
        }
        if held.is_none() && seen.1.elapsed() >= patience.quiet {
            break DrainEnd::Quiet;
        }
        if start.elapsed() >= patience.deadline {
            break DrainEnd::Deadline;
        }
        sleep(patience.step).await;
    };
    run.recorder().record(What::Drained { source: SourceName::from(source), end });
    Ok(end)
}

fn is_empty(held: DepthReport) -> bool {
    held.ready == 0 && held.delayed == Some(0) && held.in_flight == Some(0)
}

/// Reads and removes every dead letter of a dead-letter channel, and records each and how reading ended.
///
/// # Errors
/// Of the transport.
pub async fn read_dead_letters(
    run: &Run,
    transport: &AnyTransport,
    channel: &Channel,
    patience: Patience,
) -> Result<DrainEnd> {
    let mut channel = channel.clone();
    channel.dead_letter = DeadLetterPolicy::Discard;
    let name: Name = channel.name.as_str().into();
    let source = Source::new(channel, None)?;
    let consumer = Consumer::open(transport, source, ConsumerOptions::default(), run.environment()).await?;
    let start = Instant::now();
    let end = loop {
        match timeout(patience.quiet, consumer.next()).await {
            Err(_) => break DrainEnd::Quiet,
            Ok(None) => break DrainEnd::Deadline,
            Ok(Some(delivery)) => {
                let delivery = delivery?;
                found_dead(run, &name, delivery.message());
                let _ = delivery.ack();
            }
        }
        if start.elapsed() >= patience.deadline {
            break DrainEnd::Deadline;
        }
    };
    let _ = consumer.drain(patience.deadline).await;
    run.recorder().record(What::Drained { source: SourceName { channel: name, subscription: None }, end });
    Ok(end)
}
