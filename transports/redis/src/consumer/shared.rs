//! What the two halves of a consumer share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pontoon_core::Error;

use super::leases::Leases;
use super::members::Membership;
use crate::error;
use crate::link::Link;

static GENERATIONS: AtomicU32 = AtomicU32::new(1);

/// One that no tokens of this process had.
fn generation() -> u32 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}

pub(super) struct Shared {
    pub(super) member: Membership,
    pub(super) link: Arc<Link>,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) leases: Leases,
    /// Why this generation is over: no lease of it is valid any more.
    pub(super) dead: Option<Error>,
}

impl Shared {
    pub(super) fn new(member: Membership, link: Arc<Link>) -> Arc<Self> {
        let leases = Leases::new(member.reading.shards.len(), generation);
        Arc::new(Shared { member, link, state: Mutex::new(State { leases, dead: None }) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages of this shard are not ours any more: tokens of it are of another generation from now on. The one before.
    pub(super) fn renew(&self, shard: usize) -> u32 {
        self.lock().leases.renew(shard, generation())
    }

    /// Ends the generation.
    pub(super) fn die(&self, why: &Error) {
        self.lock().dead.get_or_insert_with(|| why.clone());
    }

    /// Why the generation is over, if it is.
    pub(super) fn dead(&self, operation: &'static str) -> Option<Error> {
        if self.link.is_ended() {
            self.die(&error::closed(operation));
        }
        self.lock().dead.clone()
    }
}
