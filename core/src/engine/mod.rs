//! The portable machinery over any transport: what makes every broker keep the same promises.
//!
//! At its heart are state machines without I/O, tasks or clock: they are told the time and given randomness. Thin
//! shells around them poll the driver, hold the timers and wake the users.

mod backoff;
mod clock;
mod consume;
mod environment;
mod prefix;
mod publish;

/// How long a broker may take to let us connect, or to answer a flush of settlements: a transport sets no time-outs of
/// its own.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

pub use backoff::{Backoff, Reconnect};
pub use clock::Clock;
pub use consume::{
    Batch, Consumer, ConsumerOptions, Delivery, DrainReport, FlushReport, Lease, Next, Position, ReleasePace,
};
pub use environment::Environment;
pub use prefix::{PrefixError, PrefixTracker};
pub use publish::{
    Pending, Publish, PublishAllError, PublishError, PublishResult, Published, Publisher, PublisherOptions,
    PublisherReport, PublisherStats,
};
