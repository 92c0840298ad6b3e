//! Where a message goes: to its queue, to the topic's exchange, or into a bucket to wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hashbrown::HashSet;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use pontoon_core::{Channel, Delay, Error, ErrorKind, Message, PublishOutcome, Receipt, Rejection, Result};

use crate::connection::Connections;
use crate::delay::Target;
use crate::error;
use crate::live::Line;
use crate::window::{Failed, Publish};
use crate::{delay, names, topology, wire};

/// What kind of place a message went to: what it means when the broker hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// A queue, or one subscription.
    Queue,
    /// The exchange of a topic.
    Topic,
    /// A bucket, of so many milliseconds.
    Bucket(u64),
}

/// Buckets and targets that were prepared since this generation began.
type Prepared = Arc<Mutex<HashSet<(u64, Target)>>>;

/// Finds the way for messages of one channel.
pub(crate) struct Router {
    channel: Channel,
    /// How many queues carry the channel.
    shards: u16,
    /// The largest body that the broker takes.
    max_body: u64,
    line: Arc<Line>,
    connections: Arc<Connections>,
    prepared: Prepared,
}

impl Router {
    pub(crate) fn new(channel: Channel, max_body: u64, line: Arc<Line>, connections: Arc<Connections>) -> Self {
        let shards = names::shards(&channel);
        Router { channel, shards, max_body, line, connections, prepared: Prepared::default() }
    }

    /// A future that publishes when it is first looked at (a message with a delay: once its bucket is there), and ends
    /// with the confirmation.
    ///
    /// # Errors
    /// What makes this message unfit for this broker.
    pub(crate) fn publish(&self, message: &Message) -> Result<(To, Publish)> {
        if message.body.len() as u64 > self.max_body {
            // The broker would close the channel for it, and with it whatever else is under way.
            return Err(error::too_large(self.channel.name.as_str(), message.body.len(), self.max_body));
        }
        let properties = wire::properties(message)?;
        let (line, body) = (self.line.clone(), message.body.clone());
        // The broker hands back what it cannot route, also where that is no failure.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let target = self.target(message);
        let key = topology::short(target.key())?;
        if let Some(wait) = wait(message) {
            let bucket = delay::bucket(wait);
            let exchange = topology::short(&delay::name(bucket))?;
            let prepare = self.prepare(bucket, target);
            let publish = async move {
                prepare.await.map_err(Failed::NotSent)?;
                let sent = line.channel.basic_publish(exchange, key, options, &body, properties).await;
                sent.map_err(lost)?.await.map_err(lost)
            };
            return Ok((To::Bucket(bucket), Box::pin(publish)));
        }
        let (exchange, to) = match target {
            Target::Queue(_) => (ShortString::default(), To::Queue),
            Target::Topic { exchange, .. } => (topology::short(&exchange)?, To::Topic),
        };
        let publish = async move {
            let sent = line.channel.basic_publish(exchange, key, options, &body, properties).await;
            sent.map_err(lost)?.await.map_err(lost)
        };
        Ok((to, Box::pin(publish)))
    }

    fn target(&self, message: &Message) -> Target {
        let (channel, shard) = (&self.channel, names::shard(message, self.shards));
        let only_for = message.history().only_for.as_deref();
        if !names::is_topic(channel) || only_for.is_some() {
            return Target::Queue(names::queue(channel, only_for, shard));
        }
        let key = if channel.existing {
            // In an exchange that another program declared the key may lead further.
            let key = message.key.as_ref().and_then(|key| std::str::from_utf8(key.as_bytes()).ok());
            key.unwrap_or_default().to_owned()
        } else {
            names::topic_key(channel, shard)
        };
        Target::Topic { exchange: channel.name.as_str().to_owned(), key }
    }

    /// Makes sure that the bucket is there, and that it leads to the target: once in this generation.
    fn prepare(&self, bucket: u64, target: Target) -> impl Future<Output = Result<()>> + Send + use<> {
        let (connections, prepared) = (self.connections.clone(), self.prepared.clone());
        async move {
            let step = (bucket, target);
            if lock(&prepared).contains(&step) {
                return Ok(());
            }
            delay::prepare(&connections, step.0, &step.1).await?;
            lock(&prepared).insert(step);
            Ok(())
        }
    }

    /// What it means that the broker handed a message back.
    pub(crate) fn returned(&self, to: To) -> PublishOutcome {
        match to {
            To::Topic => PublishOutcome::Confirmed(Receipt { routed: Some(false), ..Receipt::default() }),
            To::Queue => {
                let error = Error::new(ErrorKind::NotFound, "publish", "RabbitMQ has no queue for this message")
                    .with("channel", self.channel.name.as_str())
                    .with_help("ensure the channel, with its subscriptions; opening a publisher or a worker does");
                PublishOutcome::Rejected(Rejection::Refused(error))
            }
            To::Bucket(bucket) => {
                lock(&self.prepared).retain(|(known, _)| *known != bucket);
                let error = error::lost("publish", "the queue in which this message would wait is gone");
                PublishOutcome::Rejected(Rejection::TryAgain(error))
            }
        }
    }
}

fn lock(prepared: &Prepared) -> MutexGuard<'_, HashSet<(u64, Target)>> {
    prepared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lost(cause: lapin::Error) -> Failed {
    Failed::Lost(error::ended("publish", cause))
}

/// How long a message waits; `None` when it need not.
fn wait(message: &Message) -> Option<Duration> {
    let wait = match message.delay()? {
        Delay::For(wait) => wait,
        Delay::Until(then) => then.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    (!wait.is_zero()).then_some(wait)
}
