//! Judges a [`History`]: nine steps, each a file, that share nothing with the code under test.
//!
//! 1. `index`: messages with their outcomes; what ended unknown and was delivered has happened.
//! 2. `drain`: was every source read to its end? If not, nothing that is missing proves anything.
//! 3. `conserve` and `visible`: nothing confirmed is lost, nothing comes from nowhere, nothing rejected is seen.
//! 4. `duplicates`: every further delivery has a cause.
//! 5. `order`: first deliveries of a key, and what may pass a message in retry.
//! 6. `leases`: at most one valid lease of a key, no more than the prefetch, nothing settled too late; `attempts`;
//!    `dead_letters`.
//! 7. `log`: positions, where there are any.
//! 8. `timing`: too early, too late, after the TTL, nothing at all.
//! 9. `witness`: the few events that show what is wrong.
//!
//! Time grows as n log n with the events.

mod attempts;
mod case;
mod conserve;
mod content;
mod dead_letters;
mod drain;
mod duplicates;
mod findings;
mod index;
mod leases;
mod log;
mod order;
mod promises;
mod timing;
mod verdict;
mod visible;
mod witness;
mod words;

pub use promises::{Attempts, Promises};
pub use verdict::{Anomaly, AnomalyKind, Failure, Verdict};
pub use witness::Witness;

use crate::history::History;
use case::Case;
use findings::Findings;
use index::Index;

/// Judges what was recorded by what is promised.
pub fn judge(history: &History, promises: &Promises) -> Verdict {
    let case = Case::new(Index::of(history), promises);
    let mut found = Findings::default();
    let steps: [fn(&Case<'_>, &mut Findings); 11] = [
        visible::check,
        content::check,
        conserve::check,
        duplicates::check,
        order::check,
        leases::check,
        attempts::check,
        dead_letters::check,
        log::check,
        timing::check,
        timing::check_progress,
    ];
    for step in steps {
        step(&case, &mut found);
    }
    match (found.is_empty(), drain::missing(&case)) {
        (false, _) => Verdict::Failed(found.into_failure(&case.index)),
        (true, Some(reason)) => Verdict::Indeterminate { reason },
        (true, None) => Verdict::Passed,
    }
}
