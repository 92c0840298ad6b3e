//! What is printed at the end.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::board::{Totals, table};
use super::input::Record;
use super::judge::{DeadSeq, Printed, Verdict};

/// More problems than this are not told one by one.
const MOST_PROBLEMS: usize = 20;

/// A dead letter of this run, in words.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// The flight.
    pub(crate) seq: usize,
    /// Why it was dead-lettered, as the library calls it.
    pub(crate) reason: String,
    /// Whether its handler caused that: rejected, or out of attempts.
    pub(crate) by_handler: bool,
    /// What the handler, or the library, said.
    pub(crate) words: String,
}

impl Letter {
    /// What the judge needs of it.
    #[must_use]
    pub(crate) fn for_judge(&self) -> DeadSeq {
        DeadSeq { seq: self.seq, by_handler: self.by_handler }
    }
}

/// The board's totals in the form that the judge compares.
#[must_use]
pub(crate) fn printed(airports: &BTreeMap<String, Totals>) -> Printed {
    let row = |totals: &Totals| (totals.flights, totals.delay_sum, totals.worst);
    airports.iter().map(|(airport, totals)| (airport.clone(), row(totals))).collect()
}

/// Table, dead letters, and the verdict's line.
#[must_use]
pub(crate) fn text(
    airports: &BTreeMap<String, Totals>,
    letters: Option<&[Letter]>,
    input: &[Record],
    verdict: &Verdict,
) -> String {
    let mut text = table(airports);
    // Writing to a String cannot fail.
    let _ = match letters {
        Some(letters) => writeln!(text, "\ndead letters: {}", letters.len()),
        None => writeln!(text, "\ndead letters: not read in time"),
    };
    for Letter { seq, reason, words, .. } in letters.unwrap_or_default() {
        let way = input.get(*seq).map(|flight| format!("{} {}→{}", flight.date, flight.origin, flight.destination));
        let _ = writeln!(text, "{seq:>6}  {:<24}  {reason}: {words}", way.unwrap_or_default());
    }
    let _ = write!(text, "\n{verdict}");
    text
}

/// What the verdict holds against the run, for stderr.
#[must_use]
pub(crate) fn complaints(verdict: &Verdict) -> String {
    let mut text = String::new();
    for problem in verdict.problems.iter().take(MOST_PROBLEMS) {
        let _ = writeln!(text, "problem: {problem}");
    }
    if let Some(more @ 1..) = verdict.problems.len().checked_sub(MOST_PROBLEMS) {
        let _ = writeln!(text, "problem: and {more} more");
    }
    let Verdict { lost, out_of_order, duplicates, .. } = verdict;
    if *lost > 0 {
        let _ = writeln!(text, "problem: {lost} flights were neither handled nor dead-lettered, and are nowhere");
    }
    if *out_of_order > 0 {
        let _ = writeln!(text, "problem: {out_of_order} flights were first handled after a later one of their airport");
    }
    if !verdict.duplicates_explained {
        let _ = writeln!(text, "problem: no reconnect explains {duplicates} duplicates");
    }
    text
}
