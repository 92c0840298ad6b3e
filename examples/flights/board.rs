//! The departure board: what the application wants to know, kept by its handlers.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::input::Record;

/// The totals of one airport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Flights handled.
    pub(crate) flights: u64,
    /// The sum of their delays, in minutes.
    pub(crate) delay_sum: i64,
    /// The longest delay, in minutes.
    pub(crate) worst: i64,
}

/// Totals by airport, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    airports: BTreeMap<String, Totals>,
    seen: HashSet<usize>,
}

impl Board {
    /// Counts a flight. Counting it again changes nothing: delivery is at least once.
    pub(crate) fn record(&self, seq: usize, flight: &Record) {
        let mut inner = self.lock();
        if !inner.seen.insert(seq) {
            return;
        }
        match inner.airports.get_mut(&flight.origin) {
            Some(totals) => totals.add(flight.delay),
            None => {
                let totals = Totals { flights: 1, delay_sum: flight.delay, worst: flight.delay };
                inner.airports.insert(flight.origin.clone(), totals);
            }
        }
    }

    /// The totals, by airport.
    #[must_use]
    pub(crate) fn totals(&self) -> BTreeMap<String, Totals> {
        self.lock().airports.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn add(&mut self, delay: i64) {
        self.flights += 1;
        self.delay_sum += delay;
        self.worst = self.worst.max(delay);
    }

    /// The mean delay, in minutes.
    #[must_use]
    pub(crate) fn mean(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // minutes of some thousand flights
        let mean = self.delay_sum as f64 / self.flights as f64;
        mean
    }
}

/// The board as a table, busiest airport first.
#[must_use]
pub(crate) fn table(airports: &BTreeMap<String, Totals>) -> String {
    let mut rows: Vec<(&String, &Totals)> = airports.iter().collect();
    rows.sort_by_key(|(airport, totals)| (std::cmp::Reverse(totals.flights), *airport));
    let mut text = format!("{:<8}{:>8}{:>12}{:>13}\n", "airport", "flights", "mean delay", "worst delay");
    for (airport, totals) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{airport:<8}{:>8}{:>12.1}{:>13}", totals.flights, totals.mean(), totals.worst);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_counts_once_and_negative_delays_count() {
        let flight = |delay| Record {
            date: "2001/01/01 06:55".into(),
            delay,
            distance: 1,
            origin: "LAX".into(),
            destination: "BNA".into(),
        };
        let board = Board::default();
        board.record(0, &flight(-19));
        assert_eq!(board.totals()["LAX"].worst, -19);
        board.record(1, &flight(40));
        board.record(1, &flight(40));
        assert_eq!(board.totals()["LAX"], Totals { flights: 2, delay_sum: 21, worst: 40 });
        assert_eq!(table(&board.totals()).lines().nth(1), Some("LAX            2        10.5           40"));
    }
}
