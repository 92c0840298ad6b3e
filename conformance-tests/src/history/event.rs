//! The events of a history.

use pontoon_core::ReasonKind;
use serde::{Deserialize, Serialize};

use super::{Handle, LeaseId, Name, Nanos, Position, PublishId, SourceName};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, in nanoseconds since the run's start.
    pub at: Nanos,
    /// The process that wrote it down.
    pub process: u32,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum What {
    /// A durable subscription, or a queue, exists from now on: what is published later belongs to it.
    Subscription(Subscription),
    /// A message is about to be published.
    Publish(Box<Publish>),
    /// A publish ended.
    Published {
        /// Which.
        id: PublishId,
        /// How.
        outcome: Outcome,
    },
    /// The library sends a message again by itself.
    Resent {
        /// The message's id.
        message: Name,
        /// Whether it may be stored already.
        unknown: bool,
    },
    /// A consumer was opened.
    Subscribe(Subscribe),
    /// A consumer was closed or dropped: it holds nothing any more.
    Unsubscribe {
        /// Which.
        consumer: u32,
    },
    /// A partition was given to a consumer.
    Assign {
        /// To whom.
        consumer: u32,
        /// Which.
        partition: u32,
    },
    /// A partition was taken from a consumer: settling what it has of it is stale from now on.
    Revoke {
        /// From whom.
        consumer: u32,
        /// Which.
        partition: u32,
    },
    /// A message was handed to a handler.
    Deliver(Box<Delivery>),
    /// A delivery is about to be settled.
    Settle {
        /// Which.
        lease: LeaseId,
        /// How.
        end: End,
    },
    /// The settlement was answered.
    Settled {
        /// Which.
        lease: LeaseId,
        /// How.
        answer: Answer,
    },
    /// A settlement that was recorded turned out not to be final.
    Late {
        /// Which.
        lease: LeaseId,
        /// [`Answer::Stale`] or [`Answer::Unknown`].
        answer: Answer,
    },
    /// The handler was told that its lease is lost.
    LeaseLost {
        /// Which.
        lease: LeaseId,
    },
    /// A lease was prolonged, to this long from now.
    Extended {
        /// Which.
        lease: LeaseId,
        /// In nanoseconds.
        by: Nanos,
    },
    /// A consumer is about to flush its settlements.
    Flush {
        /// Which.
        consumer: u32,
    },
    /// The flush ended: what was recorded before it began is final, except for so many.
    Flushed {
        /// Which.
        consumer: u32,
        /// Were late.
        stale: u64,
        /// Are unknown.
        unknown: u64,
    },
    /// The library told that it stored a dead letter.
    DeadLettered {
        /// Read from there.
        source: SourceName,
        /// The message's id.
        message: Name,
        /// Why.
        #[serde(with = "reason")]
        reason: Option<ReasonKind>,
    },
    /// A dead letter was read from a dead-letter channel.
    DeadLetter(Box<DeadLetter>),
    /// The library, or the broker, told that it dropped a message by declared policy.
    Dropped {
        /// Read from there.
        source: SourceName,
        /// The message's id.
        message: Name,
        /// Why; `None` where at-most-once delivery could not establish the settlement.
        #[serde(with = "reason")]
        reason: Option<ReasonKind>,
    },
    /// The library told that a message went over the bounds of a blocked key.
    Spilled {
        /// Read from there.
        source: SourceName,
        /// The message's id.
        message: Name,
    },
    /// A dead letter was put back into its channel.
    Redriven {
        /// To be read from there.
        source: SourceName,
        /// The message's id.
        message: Name,
    },
    /// What was ready was removed because the application asked for it.
    Purged {
        /// From there.
        source: SourceName,
        /// How many went.
        count: u64,
    },
    /// A message was still held by the broker when the run ended.
    Left {
        /// By this source.
        source: SourceName,
        /// The message's id.
        message: Name,
    },
    /// Reading a source to its end came to an end itself.
    Drained {
        /// Which.
        source: SourceName,
        /// How.
        end: DrainEnd,
    },
    /// A connection stands.
    Connected {
        /// Whose.
        handle: Handle,
    },
    /// A connection was lost: what was in flight on it may come again.
    Disconnected {
        /// Whose.
        handle: Handle,
    },
    /// Something begins to go wrong on purpose.
    Fault {
        /// What.
        kind: FaultKind,
    },
    /// It does not go wrong any more.
    Heal {
        /// What.
        kind: FaultKind,
    },
    /// A process of the run was started.
    ProcessStarted {
        /// Which.
        process: u32,
    },
    /// A process of the run was killed: what it had begun has no end.
    ProcessKilled {
        /// Which.
        process: u32,
    },
    /// For people who read the history.
    Note {
        /// In words.
        text: String,
    },
}

/// A durable subscription, or a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Its name.
    pub source: SourceName,
    /// Whether it begins with the oldest message the topic still holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub earliest: bool,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Which message.
    pub id: PublishId,
    /// Where to.
    pub channel: Name,
    /// Its message id.
    pub message: Name,
    /// Its key, printable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// The [hash](super::hash_of) of its body.
    pub hash: u64,
    /// The [hash](super::headers_hash) of its headers.
    pub headers: u64,
    /// Not to be delivered before, in nanoseconds since the run's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Nanos>,
    /// Its TTL, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Nanos>,
    /// Its priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

/// How a publish ended. Without an end it is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// Confirmed.
    Ok {
        /// What the broker calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broker_id: Option<Name>,
        /// Where it is in a log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
        /// `false` when the broker told that no subscription took it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        routed: Option<bool>,
    },
    /// Rejected: certainly not stored.
    Fail,
    /// It may or may not be stored.
    Unknown,
}

/// A consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Its number, unique in the run.
    pub consumer: u32,
    /// What it reads from.
    pub source: SourceName,
    /// The most deliveries it may have unsettled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<u64>,
}

/// One hand-over of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Its lease.
    pub lease: LeaseId,
    /// From where.
    pub source: SourceName,
    /// To whom.
    pub consumer: u32,
    /// Which message it says it is; `None` when it is not of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PublishId>,
    /// Its message id.
    pub message: Name,
    /// Its key, printable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// The [hash](super::hash_of) of its body.
    pub hash: u64,
    /// The [hash](super::headers_hash) of its headers.
    pub headers: u64,
    /// Its attempt, at least.
    pub at_least: u32,
    /// Its attempt, at most, where something counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// What the broker calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_id: Option<Name>,
    /// Where it is in a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Whether it is marked as perhaps sent twice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maybe_duplicate: bool,
}

/// How a delivery is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum End {
    /// Done.
    Ack,
    /// Failed: an error, a panic, a timeout, or a retry asked for. Counted.
    Retry {
        /// Not to return before this long from now, where the handler said so, in nanoseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Nanos>,
    },
    /// Given back without fault.
    Release,
    /// Dropped unsettled, which is a release.
    Drop,
    /// Dead-lettered now.
    DeadLetter(#[serde(with = "reason_known")] ReasonKind),
}

/// How a settlement was answered. Without an answer it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Valid as far as this client knows.
    Recorded,
    /// Final for certain.
    Done,
    /// The lease was over; nothing was done.
    Stale,
    /// It may or may not have happened.
    Unknown,
    /// The profile cannot; nothing was done.
    Refused,
}

/// A dead letter as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// From which dead-letter channel.
    pub channel: Name,
    /// Where the message had been read from, as the dead letter tells; `None` where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
    /// Which message it says it is; `None` when it is not of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PublishId>,
    /// Its message id.
    pub message: Name,
    /// Its key, printable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// The [hash](super::hash_of) of its body.
    pub hash: u64,
    /// The [hash](super::headers_hash) of its headers.
    pub headers: u64,
    /// Why.
    #[serde(default, with = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonKind>,
    /// How long its error text is, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_len: Option<u64>,
    /// Attempts made, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u32>,
    /// Attempts made, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// Its first failure, in milliseconds since the run's start by the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure_ms: Option<i64>,
    /// Its last failure, in milliseconds since the run's start by the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_ms: Option<i64>,
    /// How often it was put back before.
    #[serde(default)]
    pub hops: u8,
}

/// How reading a source to its end came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainEnd {
    /// The broker says that it holds nothing more, not even held back or in flight.
    Empty,
    /// Nothing came any more for as long as was agreed.
    Quiet,
    /// The deadline came first: nothing can be said of what was not seen.
    Deadline,
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// Messages are stored and their outcome is lost on the way.
    LostConfirm,
    /// Messages are stored twice.
    Duplicate,
    /// Messages cannot be received for a while.
    DelayedDelivery,
    /// Connections are cut.
    Cut,
    /// Connections stay open and carry nothing.
    HalfOpen,
    /// Connections are slow, or carry tiny pieces.
    Slow,
    /// Leases end early.
    ExpiredLease,
    /// The dead-letter channel takes nothing.
    DeadLetterRefused,
    /// Settlements fail although their lease holds.
    FailedSettle,
    /// The broker is killed, and started again.
    BrokerKilled,
    /// The broker is paused.
    BrokerPaused,
    /// A consumer's process is killed or paused.
    ConsumerStopped,
    /// A publisher's process is killed or paused.
    PublisherStopped,
    /// The broker has no room: disk or memory.
    Full,
    /// A node or replica is lost.
    ReplicaLost,
    /// Consumers join and leave all the time.
    Rebalance,
    /// A clock is wrong.
    Clock,
}

/// Reasons by the names that the contract gives them.
mod reason {
    use super::ReasonKind;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(reason: &Option<ReasonKind>, to: S) -> Result<S::Ok, S::Error> {
        reason.map(ReasonKind::as_str).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ReasonKind>, D::Error> {
        Option::<String>::deserialize(from)?.map(|name| parse(&name).map_err(serde::de::Error::custom)).transpose()
    }

    pub(super) fn parse(name: &str) -> Result<ReasonKind, String> {
        ReasonKind::parse(name).ok_or_else(|| format!("`{name}` is no reason kind"))
    }
}

mod reason_known {
    use super::{ReasonKind, reason};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(kind: &ReasonKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ReasonKind, D::Error> {
        reason::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}
