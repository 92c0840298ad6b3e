//! What was handed over and is not settled: how an adapted transport knows a second settlement when it sees one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashSet;

use crate::driver::{Disposition, Token};

/// The tokens that receiver and settler of one generation share. At most what the engine has outstanding.
#[derive(Clone, Default)]
pub(super) struct Outstanding(Arc<Mutex<HashSet<Token>>>);

impl Outstanding {
    fn tokens(&self) -> MutexGuard<'_, HashSet<Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A delivery was handed over, or its settlement failed while its lease holds.
    pub(super) fn hold(&self, token: Token) {
        self.tokens().insert(token);
    }

    /// Whether this token may be settled so. Whatever ends the delivery lets it go.
    pub(super) fn admits(&self, token: Token, disposition: &Disposition<'_>) -> bool {
        match disposition {
            Disposition::Extend { .. } => self.tokens().contains(&token),
            _ => self.tokens().remove(&token),
        }
    }
}
