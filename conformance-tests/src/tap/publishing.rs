//! What one publisher does, written down.

use std::time::{Duration, SystemTime};

use pontoon_core::engine::{PublishError, PublishResult};
use pontoon_core::{Channel, Delay, Message};

use super::{Run, broker_name, key_name};
use crate::history::{Handle, Name, Nanos, Outcome, Payload, Publish, PublishId, Seen, What, hash_of, headers_hash};

/// The record of one publisher.
#[derive(Clone, Debug)]
pub(crate) struct PublisherRecord {
    run: Run,
    channel: Name,
}

impl PublisherRecord {
    /// Writes down that it is connected.
    pub(crate) fn opened(run: &Run, number: u32, channel: &Channel) -> Self {
        run.recorder().record(What::Connected { handle: Handle::Publisher(number) });
        PublisherRecord { run: run.clone(), channel: channel.name.as_str().into() }
    }

    /// A message is about to be published. `None` when it is none of the run: then nothing is written down.
    pub(crate) fn begin(&self, message: &Message) -> Option<PublishId> {
        let Seen::Ours(id) = Payload::read(self.run.number(), message) else { return None };
        let recorder = self.run.recorder();
        let due = message.delay().map(|delay| {
            let delay = match delay {
                Delay::For(delay) => delay,
                Delay::Until(then) => then.duration_since(SystemTime::now()).unwrap_or_default(),
            };
            recorder.now().saturating_add(nanos(delay))
        });
        recorder.record(What::Publish(Box::new(Publish {
            id,
            channel: self.channel.clone(),
            message: message.id.to_string().into(),
            key: key_name(message.key.as_ref()),
            hash: hash_of(&message.body),
            headers: headers_hash(&message.headers),
            due,
            ttl: message.ttl().map(nanos),
            priority: message.priority(),
        })));
        Some(id)
    }

    /// How that ended.
    pub(crate) fn end(&self, id: Option<PublishId>, outcome: &PublishResult) {
        let Some(id) = id else { return };
        let outcome = match outcome {
            Ok(receipt) => {
                Outcome::Ok { broker_id: broker_name(&receipt.broker_id), position: None, routed: receipt.routed }
            }
            Err(PublishError::Rejected { .. }) => Outcome::Fail,
            Err(PublishError::Unknown { .. }) => Outcome::Unknown,
        };
        self.run.recorder().record(What::Published { id, outcome });
    }
}

/// So many nanoseconds, as a history has them.
pub(super) fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}
