//! Declaring: what a channel is at the broker. Each call has a channel of its own, for a refusal closes it.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel as Client, ExchangeKind};
use pontoon_core::driver::Ensure;
use pontoon_core::{Channel, ChannelKind, DeadLetterPolicy, Error, ErrorKind, Result, Retention, Subscription};

use crate::connection::{Connections, Use};
use crate::delay::{self, Target};
use crate::{error, facts, names};

const OPERATION: &str = "ensure channel";
/// More deliveries than any queue sees: a broker that knows none would take its default of 20 and drop.
const NO_LIMIT: i64 = i32::MAX as i64;
/// An argument that no exchange has, to hear what it has instead.
const UNKNOWN: &str = "?";

/// Declares what is asked for, or looks for it where another program declared it.
pub(crate) async fn ensure(connections: &Connections, what: &Ensure) -> Result<()> {
    what.channel.validate()?;
    let live = connections.get(Use::Consuming).await?;
    live.guarded(OPERATION, declare_all(connections, what)).await
}

async fn declare_all(connections: &Connections, what: &Ensure) -> Result<()> {
    let channel = &what.channel;
    let line = connections.channel(Use::Consuming, OPERATION).await?;
    if channel.existing {
        return look(&line.channel, channel, &what.subscriptions).await;
    }
    record(connections, &line.channel, channel).await?;
    if let DeadLetterPolicy::To(_) = &channel.dead_letter {
        dead_letters(connections, channel).await?;
    }
    let shards = names::shards(channel);
    match channel.kind {
        ChannelKind::Queue => {
            for shard in 0..shards {
                queue(&line.channel, channel, &names::queue(channel, None, shard)).await?;
            }
        }
        ChannelKind::Topic => {
            let topic = channel.name.as_str();
            exchange(&line.channel, topic, topic_kind(channel), durable(), FieldTable::default())
                .await
                .map_err(failed)?;
            for subscription in &what.subscriptions {
                for shard in 0..shards {
                    let name = names::queue(channel, Some(subscription.name.as_str()), shard);
                    queue(&line.channel, channel, &name).await?;
                    bind(&line.channel, &name, topic, &names::topic_key(channel, shard)).await.map_err(failed)?;
                }
            }
        }
    }
    // The last thing asked for on this channel, which a refusal closes.
    delay::bind_again(&line.channel, &targets(what)).await
}

/// Where what was delayed may be going.
fn targets(what: &Ensure) -> Vec<Target> {
    let (channel, mut targets) = (&what.channel, Vec::new());
    for shard in 0..names::shards(channel) {
        if channel.kind == ChannelKind::Queue {
            targets.push(Target::Queue(names::queue(channel, None, shard)));
            continue;
        }
        let exchange = channel.name.as_str().to_owned();
        targets.push(Target::Topic { exchange, key: names::topic_key(channel, shard) });
        let queue = |of: &Subscription| Target::Queue(names::queue(channel, Some(of.name.as_str()), shard));
        targets.extend(what.subscriptions.iter().map(queue));
    }
    targets
}

/// Every subscription gets every message; of shards, each gets its own.
fn topic_kind(topic: &Channel) -> ExchangeKind {
    if names::shards(topic) > 1 { ExchangeKind::Direct } else { ExchangeKind::Fanout }
}

/// Records the facts, or finds that others are recorded.
async fn record(connections: &Connections, client: &Client, channel: &Channel) -> Result<()> {
    let name = names::facts(channel);
    let argument = |text: String| table([("alternate-exchange", long(&text))]);
    let internal = ExchangeDeclareOptions { internal: true, ..durable() };
    let recorded = exchange(client, &name, ExchangeKind::Fanout, internal, argument(facts::text(channel))).await;
    let Err(cause) = recorded else { return Ok(()) };
    let refused = failed(cause);
    if refused.kind() != ErrorKind::Conflict {
        return Err(refused);
    }
    // The broker cuts its words: asked with a shorter argument it has room for what it holds.
    let line = connections.channel(Use::Consuming, OPERATION).await?;
    let asked = exchange(&line.channel, &name, ExchangeKind::Fanout, internal, argument(UNKNOWN.to_owned())).await;
    let difference = asked.err().and_then(|cause| facts::difference(channel, &cause.to_string()));
    Err(difference.unwrap_or(refused))
}

/// The dead-letter queue, unless a channel of its own stands there already.
async fn dead_letters(connections: &Connections, channel: &Channel) -> Result<()> {
    let Some(dead) = channel.dead_letter_channel() else { return Ok(()) };
    let line = connections.channel(Use::Consuming, OPERATION).await?;
    let found = passive(&line.channel, dead.name.as_str()).await;
    match found {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let line = connections.channel(Use::Consuming, OPERATION).await?;
            queue(&line.channel, &dead, dead.name.as_str()).await
        }
        Err(error) => Err(error),
    }
}

/// Looks for what another program declared.
async fn look(client: &Client, channel: &Channel, subscriptions: &[Subscription]) -> Result<()> {
    let name = channel.name.as_str();
    match channel.kind {
        ChannelKind::Queue => passive(client, name).await,
        ChannelKind::Topic => {
            let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
            exchange(client, name, ExchangeKind::Fanout, options, FieldTable::default()).await.map_err(failed)?;
            for subscription in subscriptions {
                passive(client, &names::queue(channel, Some(subscription.name.as_str()), 0)).await?;
            }
            Ok(())
        }
    }
}

async fn passive(client: &Client, name: &str) -> Result<()> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    client.queue_declare(short(name)?, options, FieldTable::default()).await.map(drop).map_err(failed)
}

/// A quorum queue with the net against crash loops: the channel's ceiling, dead-lettered without loss.
async fn queue(client: &Client, channel: &Channel, name: &str) -> Result<()> {
    let mut arguments = quorum();
    match &channel.dead_letter {
        DeadLetterPolicy::To(dead) => {
            // A limit of N gives N + 1 deliveries: the one beyond the ceiling is ours to dead-letter with a reason.
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(channel.delivery_ceiling.into()));
            arguments.insert("x-dead-letter-exchange".into(), long(""));
            arguments.insert("x-dead-letter-routing-key".into(), long(dead.as_str()));
            at_least_once(&mut arguments);
        }
        // Nothing may vanish without an event: the engine alone decides.
        DeadLetterPolicy::Discard | DeadLetterPolicy::Undeclared => {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(NO_LIMIT));
        }
    }
    if channel.order.is_ordered() {
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    if let Retention::For(time) = channel.retention {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
    }
    declare(client, name, arguments).await
}

/// Declares a durable queue.
pub(crate) async fn declare(client: &Client, name: &str, arguments: FieldTable) -> Result<()> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    client.queue_declare(short(name)?, options, arguments).await.map(drop).map_err(failed)
}

pub(crate) fn quorum() -> FieldTable {
    table([("x-queue-type", long("quorum"))])
}

/// Dead letters are confirmed by their target before they leave. All of this is needed for it: without one part the
/// broker falls back to losing them, and says nothing.
pub(crate) fn at_least_once(arguments: &mut FieldTable) {
    arguments.insert("x-dead-letter-strategy".into(), long("at-least-once"));
    arguments.insert("x-overflow".into(), long("reject-publish"));
}

pub(crate) async fn exchange(
    client: &Client,
    name: &str,
    kind: ExchangeKind,
    options: ExchangeDeclareOptions,
    arguments: FieldTable,
) -> lapin::Result<()> {
    client.exchange_declare(name.into(), kind, options, arguments).await
}

pub(crate) async fn bind(client: &Client, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    client.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
}

pub(crate) fn durable() -> ExchangeDeclareOptions {
    ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() }
}

pub(crate) fn table<const N: usize>(pairs: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), value);
    }
    table
}

pub(crate) fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// A name as AMQP carries it: at most 255 bytes.
pub(crate) fn short(name: &str) -> Result<ShortString> {
    ShortString::try_new(name).map_err(|cause| {
        Error::new(ErrorKind::InvalidName, OPERATION, "RabbitMQ takes names of up to 255 bytes")
            .with("name", name)
            .with_source(cause)
    })
}

pub(crate) fn failed(cause: lapin::Error) -> Error {
    error::not_reached(OPERATION, error::of(OPERATION, cause))
}
