//! The end of a run: sources read to their end, dead letters read.

use std::time::Duration;

use pontoon_core::driver::{AnyTransport, DepthReport, Transport};
use pontoon_core::engine::{Consumer, ConsumerOptions};
use pontoon_core::{Channel, DeadLetterInfo, DeadLetterPolicy, Message, Result, Source};
use tokio::time::{Instant, sleep, timeout};

use super::{Run, key_name};
use crate::history::{DeadLetter, DrainEnd, Name, Payload, Seen, SourceName, What, hash_of, headers_hash};

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
                let letter = dead_letter(run, &name, delivery.message());
                run.recorder().record(What::DeadLetter(Box::new(letter)));
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

fn dead_letter(run: &Run, channel: &Name, message: &Message) -> DeadLetter {
    let history = message.history();
    let unknown = DeadLetterInfo::unknown();
    let info = history.dead_letter.as_deref().unwrap_or(&unknown);
    let subscription = info.subscription.as_deref().map(Name::from);
    let source = info.channel.as_deref().map(|channel| SourceName { channel: channel.into(), subscription });
    let id = match Payload::read(run.number(), message) {
        Seen::Ours(id) | Seen::Corrupt(id) => Some(id),
        Seen::Foreign => None,
    };
    DeadLetter {
        channel: channel.clone(),
        source,
        id,
        message: message.id.to_string().into(),
        key: key_name(message.key.as_ref()),
        hash: hash_of(&message.body),
        headers: headers_hash(&message.headers),
        reason: info.reason,
        error_len: info.error.as_ref().map(|error| error.len() as u64),
        at_least: info.attempts.map(|attempts| attempts.at_least),
        at_most: info.attempts.and_then(|attempts| attempts.at_most),
        first_failure_ms: run.since_start(info.first_failure_ms),
        last_failure_ms: run.since_start(info.last_failure_ms),
        hops: history.hops,
    }
}
