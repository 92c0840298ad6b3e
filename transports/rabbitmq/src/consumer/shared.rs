//! What the two halves of a consumer share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pontoon_core::Error;

use super::crew::Crew;
use super::reading::Reading;
use crate::connection::Connections;
use crate::error;
use crate::live::Live;

/// What happened to what was open on the connection.
pub(super) const LOST: &str = "the connection to RabbitMQ was lost";

pub(super) struct Shared {
    pub(super) live: Arc<Live>,
    pub(super) connections: Arc<Connections>,
    pub(super) generation: u32,
    /// What each queue's consumer was opened with.
    pub(super) prefetch: u16,
    /// Whether the broker counts deliveries of what it hands out here.
    pub(super) counts: bool,
    /// Whether each queue has one active consumer.
    pub(super) ordered: bool,
    pub(super) readings: Readings,
    /// Who shares the shards with other members, where there are shards.
    pub(super) crew: Option<Crew>,
}

impl Shared {
    pub(super) fn ended(&self, operation: &'static str, words: &str) -> Error {
        if self.connections.is_closed() { error::closed(operation) } else { error::lost(operation, words) }
    }

    pub(super) fn failed(&self, operation: &'static str, cause: lapin::Error) -> Error {
        if self.connections.is_closed() { error::closed(operation) } else { error::ended(operation, cause) }
    }
}

/// The queues that a consumer reads now.
#[derive(Clone, Default)]
pub(super) struct Readings(Arc<Mutex<Vec<Arc<Reading>>>>);

impl Readings {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Arc<Reading>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
