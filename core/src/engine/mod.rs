//! The portable machinery over any transport: what makes every broker keep the same promises.
//!
//! At its heart are state machines without I/O, tasks or clock: they are told the time and given randomness. Thin
//! shells around them poll the driver, hold the timers and wake the users.

mod backoff;
mod clock;
mod environment;
mod publish;

pub use backoff::{Backoff, Reconnect};
pub use clock::Clock;
pub use environment::Environment;
pub use publish::{
    Pending, Publish, PublishAllError, PublishError, PublishResult, Published, Publisher, PublisherOptions,
    PublisherReport, PublisherStats,
};
