//! The publisher: one outcome per message, natural batches, bounds, resending in order.
//!
//! [`machine`] decides everything and does nothing; [`shared`] runs it under one lock, on whichever thread has something
//! to say: a user's, the pump's, or a client's own. The [`pump`] is one task per publisher, which drives the producer,
//! holds the timer and reconnects.

mod flushes;
mod gates;
mod groups;
mod machine;
mod many;
mod one;
mod open;
mod options;
mod outbox;
mod outcome;
mod policy;
mod publisher;
mod pump;
mod room;
mod shared;
mod signal;
mod slots;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use one::{Pending, Publish};
pub use options::PublisherOptions;
pub use outcome::{
    Outcome as PublishResult, PublishAllError, PublishError, Published, PublisherReport, PublisherStats,
};
pub use publisher::Publisher;

/// Locks, also after a panic of somebody else: what is behind our locks is kept consistent step by step.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
