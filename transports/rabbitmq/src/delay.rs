//! The scheduler: queues in which messages wait, one for each step of a scale of delays, and then go to their target.
//!
//! A message takes one hop: to the shortest bucket that is at least as long as its delay. Each step of the scale is less
//! than 10 % above the one before, and so is what a delay is rounded up by. A bucket is never shared between delays, so
//! that none waits behind a longer one.

use std::time::Duration;

use lapin::options::ExchangeBindOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel as Client, ExchangeKind};
use pontoon_core::{ErrorKind, Result};

use crate::connection::{Connections, Use};
use crate::names::{DELAY, DUE, UNDELIVERABLE};
use crate::topology::{at_least_once, bind, declare, durable, exchange, failed, long, quorum, table};

/// The longest delay: 30 days. The broker's clock of a queue ends at 49.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(30 * 24 * 3600);
const OPERATION: &str = "prepare delay";
/// Steps in each tenfold: 10^(1/25) is 1.096.
const STEPS: i32 = 25;
/// Below this all delays share one bucket, in milliseconds.
const SHORTEST: u64 = 10;

/// Where a message goes after its wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// A queue, or one subscription.
    Queue(String),
    /// The exchange of a topic, with the key that leads on from there.
    Topic { exchange: String, key: String },
}

impl Target {
    /// The routing key, here and there.
    pub(crate) fn key(&self) -> &str {
        match self {
            Target::Queue(queue) => queue,
            Target::Topic { key, .. } => key,
        }
    }
}

/// The bucket for a delay, by its length in milliseconds.
pub(crate) fn bucket(delay: Duration) -> u64 {
    let needed = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    if needed <= SHORTEST {
        return SHORTEST;
    }
    let step = |number: i32| 10f64.powf(f64::from(number) / f64::from(STEPS)).ceil() as u64;
    // The logarithm may be off by a hair on either side.
    let near = ((needed as f64).log10() * f64::from(STEPS)).ceil() as i32;
    (near - 1..=near + 1).map(step).find(|length| *length >= needed).unwrap_or(needed)
}

/// The exchange and the queue of a bucket have this name.
pub(crate) fn name(bucket: u64) -> String {
    format!("{DELAY}{bucket}")
}

/// Declares a bucket and what it needs, and that what is due for this target reaches it.
pub(crate) async fn prepare(connections: &Connections, bucket: u64, target: &Target) -> Result<()> {
    let live = connections.get(Use::Consuming).await?;
    live.guarded(OPERATION, declare_all(connections, bucket, target)).await
}

async fn declare_all(connections: &Connections, bucket: u64, target: &Target) -> Result<()> {
    let line = connections.channel(Use::Consuming, OPERATION).await?;
    // A target that is gone must not hold up a bucket that all share: what finds none goes aside.
    exchange(&line.channel, UNDELIVERABLE, ExchangeKind::Fanout, durable(), FieldTable::default())
        .await
        .map_err(failed)?;
    declare(&line.channel, UNDELIVERABLE, quorum()).await?;
    bind(&line.channel, UNDELIVERABLE, UNDELIVERABLE, "").await.map_err(failed)?;
    let aside = table([("alternate-exchange", long(UNDELIVERABLE))]);
    exchange(&line.channel, DUE, ExchangeKind::Direct, durable(), aside).await.map_err(failed)?;
    let name = name(bucket);
    let mut arguments = quorum();
    at_least_once(&mut arguments);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(i64::try_from(bucket).unwrap_or(i64::MAX)));
    arguments.insert("x-dead-letter-exchange".into(), long(DUE));
    declare(&line.channel, &name, arguments).await?;
    exchange(&line.channel, &name, ExchangeKind::Fanout, durable(), FieldTable::default()).await.map_err(failed)?;
    bind(&line.channel, &name, &name, "").await.map_err(failed)?;
    lead_to(&line.channel, target).await.map_err(failed)
}

/// What is due for this target reaches it.
async fn lead_to(client: &Client, target: &Target) -> lapin::Result<()> {
    match target {
        Target::Queue(queue) => bind(client, queue, DUE, queue).await,
        Target::Topic { exchange, key } => {
            let (topic, due, key) = (exchange.as_str().into(), DUE.into(), key.as_str().into());
            client.exchange_bind(topic, due, key, ExchangeBindOptions::default(), FieldTable::default()).await
        }
    }
}

/// Has what is due reach targets that were deleted and declared again, of which publishers need not know. Where no delay
/// was used yet, or this user must not lead anything there, nothing is to be done.
pub(crate) async fn bind_again(client: &Client, targets: &[Target]) -> Result<()> {
    for target in targets {
        match lead_to(client, target).await.map_err(failed) {
            Err(refused) if matches!(refused.kind(), ErrorKind::NotFound | ErrorKind::Permission) => return Ok(()),
            bound => bound?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_never_shorter_and_at_most_a_tenth_longer() {
        let mut last = 0;
        let mut millis = 1u64;
        while Duration::from_millis(millis) <= LONGEST_DELAY {
            let found = bucket(Duration::from_millis(millis));
            assert!(found >= millis && found >= last, "{millis} ms in {found}");
            let allowed = (millis + millis / 10 + 1).max(SHORTEST);
            assert!(found <= allowed, "{millis} ms in {found}, {allowed} allowed");
            last = found;
            millis += 1 + millis / 97;
        }
        assert!(bucket(LONGEST_DELAY) < u64::from(u32::MAX));
        assert_eq!(bucket(Duration::from_nanos(10_000_001)), 11);
        assert_eq!(bucket(Duration::ZERO), SHORTEST);
    }
}
