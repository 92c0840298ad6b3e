//! What a worker does with a flight.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pontoon::{Attempt, Outcome, State, done, reject, release};

use super::board::Board;
use super::flight::Flight;
use super::journal::{Event, Journal};
use super::judge::TOO_LATE;
use super::plan::{MAX_ATTEMPTS, Plan};
use super::tally::Tally;

/// One worker's desk: what its handlers share with each other and with those of other workers.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) worker: usize,
    pub(crate) office: Arc<Office>,
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) run: u64,
    pub(crate) plan: Plan,
    pub(crate) work: Duration,
    pub(crate) journal: Arc<Journal>,
    pub(crate) board: Board,
    pub(crate) tally: Tally,
    /// Whether handlers may still end: not any more when the accounts are drawn up.
    pub(crate) open: RwLock<bool>,
}

impl Office {
    /// From now on no handler ends: board and journal stay as they are.
    pub(crate) fn close(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// The failure that the plan asks for.
#[derive(Debug)]
struct Planned {
    attempt: u32,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tower did not answer (attempt {})", self.attempt)
    }
}

impl std::error::Error for Planned {}

/// Handles one flight.
pub(crate) async fn on_flight(flight: Flight, attempt: Attempt, State(desk): State<Desk>) -> Outcome {
    let Flight { run, seq, record } = flight;
    let Office { plan, tally, .. } = &*desk.office;
    if run != desk.office.run {
        // Left by an earlier run on a broker that keeps messages: not ours to count.
        tally.foreign();
        return done();
    }
    let attempt = attempt.at_least;
    let note = |event| desk.office.journal.record(seq, &record.origin, event, attempt, desk.worker);
    tally.begun(seq);
    tokio::time::sleep(desk.office.work).await;

    // From here to the end nothing waits: what the journal says and what the library hears are one step, which a
    // shutdown cannot cut in two.
    let open = desk.office.open.read().unwrap_or_else(PoisonError::into_inner);
    if !*open {
        // The deadline passed, and this flight is counted as abandoned.
        return release();
    }
    if plan.fails(seq, attempt) {
        note(Event::Failed)?;
        if attempt >= MAX_ATTEMPTS {
            tally.spent(seq);
        } else {
            tally.failed(seq);
        }
        return Err(Planned { attempt }.into());
    }
    if record.delay > TOO_LATE {
        note(Event::Rejected)?;
        tally.ended(seq, true);
        return reject(format!("{} minutes late, more than two hours", record.delay));
    }
    desk.office.board.record(seq, &record);
    note(Event::Handled)?;
    tally.ended(seq, false);
    done()
}
