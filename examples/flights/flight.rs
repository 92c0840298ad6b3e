//! The channel, and what travels on it.

use pontoon::{Queue, Raw};
use serde::{Deserialize, Serialize};

use super::input::Record;

/// The queue's name.
pub(crate) const NAME: &str = "flights";

/// An airport's flights are handled in their order; airports do not wait for each other.
pub(crate) const FLIGHTS: Queue<Flight> =
    Queue::new(NAME).ordered_by(|flight: &Flight| flight.record.origin.as_str()).dead_letter("flights.dead");

/// Where flights go that cannot be handled, as a queue of its own: to ask how many there are.
pub(crate) const DEAD: Queue<Raw> = Queue::new("flights.dead").discard_failed();

/// A flight on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Flight {
    /// Which run published it: a broker may still hold flights of an earlier one.
    pub(crate) run: u64,
    /// Its place in the input, from 0.
    pub(crate) seq: usize,
    /// The flight itself.
    #[serde(flatten)]
    pub(crate) record: Record,
}
