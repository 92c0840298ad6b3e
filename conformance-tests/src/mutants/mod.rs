//! Mutants: correct transports that break one promise each, so that every check is seen to notice.

/// Declares the mutants of a family.
macro_rules! mutants {
    ($($check:literal $defect:ty: $breaks:literal by [$($anomaly:literal),+];)*) => {
        pub(super) const MUTANTS: &[$crate::mutants::Mutant] = &[$($crate::mutants::Mutant {
            check: $check,
            breaks: $breaks,
            anomalies: &[$($anomaly),+],
            make: || std::sync::Arc::new(<$defect>::default()),
        }),*];
    };
}

mod consumer;
mod defect;
mod producer;
mod transport;

mod ack;
mod competing;
mod dead_letters;
mod delay;
mod fidelity;
mod limits;
mod order;
mod publish;
mod reconnect;
mod redelivery;

use std::fmt;
use std::sync::Arc;

use crate::report::{Entry, Verdict};

pub use consumer::{MutantReceiver, MutantSettler};
pub use defect::{Deed, Defect, Faithful, Fate, Seat, wrap};
pub use producer::MutantProducer;
pub use transport::MutantTransport;

/// The mutant of one check.
#[derive(Clone, Copy)]
pub struct Mutant {
    /// The check that must notice.
    pub check: &'static str,
    /// What it breaks, in words.
    pub breaks: &'static str,
    /// By which of these anomalies it is noticed.
    pub anomalies: &'static [&'static str],
    /// Makes one: each run has its own.
    pub make: fn() -> Arc<dyn Defect>,
}

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutant").field("check", &self.check).field("breaks", &self.breaks).finish_non_exhaustive()
    }
}

impl Mutant {
    /// Whether a check failed by one of the anomalies that this mutant is to be noticed by.
    #[must_use]
    pub fn killed(&self, entry: &Entry) -> bool {
        let found = entry.reason.split(':').next().unwrap_or_default();
        entry.verdict == Verdict::Failed && found.split('+').any(|name| self.anomalies.contains(&name))
    }
}

/// All mutants.
#[must_use]
pub fn all() -> Vec<Mutant> {
    [
        publish::MUTANTS,
        fidelity::MUTANTS,
        order::MUTANTS,
        ack::MUTANTS,
        redelivery::MUTANTS,
        dead_letters::MUTANTS,
        delay::MUTANTS,
        competing::MUTANTS,
        limits::MUTANTS,
        reconnect::MUTANTS,
    ]
    .concat()
}

/// The mutant of this check.
#[must_use]
pub fn of(check: &str) -> Option<Mutant> {
    all().into_iter().find(|mutant| mutant.check == check)
}

/// Whether a message has this key. A mutant that strikes everywhere would be noticed by every check and prove none: where
/// nothing else tells the messages of one check from all others, its mutant chooses them by a key.
fn has_key(message: &pontoon_core::Message, key: &str) -> bool {
    message.key.as_ref().is_some_and(|own| own.as_bytes() == key.as_bytes())
}

fn locked<T>(what: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
