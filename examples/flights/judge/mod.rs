//! Compares what the journal says with the input. Shares no counting with the board.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use super::input::Record;
use super::journal::{Entry, Event};

#[cfg(test)]
mod tests;

/// Later than this, in minutes, a flight is to be rejected.
pub(crate) const TOO_LATE: i64 = 120;

/// A dead letter as the dead-letter channel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadSeq {
    /// The flight.
    pub(crate) seq: usize,
    /// Whether a handler must have caused it: rejected, or out of attempts.
    pub(crate) by_handler: bool,
}

/// Totals of one airport as the board printed them: flights, sum of delays, worst delay.
pub(crate) type Printed = BTreeMap<String, (u64, i64, i64)>;

/// Everything the judge is shown.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    /// What was to be published.
    pub(crate) input: &'a [Record],
    /// What the handlers wrote.
    pub(crate) journal: &'a [Entry],
    /// The most attempts of one flight.
    pub(crate) max_attempts: u32,
    /// Per flight: whether its publish was confirmed.
    pub(crate) confirmed: &'a [bool],
    /// What lies in the dead-letter channel; `None` when it could not be read in time.
    pub(crate) dead_letters: Option<&'a [DeadSeq]>,
    /// Flights whose handlers were given up at the deadline.
    pub(crate) abandoned: &'a [usize],
    /// Whether the run was interrupted.
    pub(crate) interrupted: bool,
    /// What the queue holds of this run, when the broker tells exactly.
    pub(crate) depth: Option<u64>,
    /// How many deliveries reconnects explain: what can have been in flight at each of them.
    pub(crate) explained: u64,
    /// What the board printed.
    pub(crate) printed: &'a Printed,
}

/// What an interrupted run left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Flights not confirmed, and not seen by a handler either.
    pub(crate) unpublished: usize,
    /// Flights confirmed, and neither handled nor dead-lettered nor abandoned.
    pub(crate) left: usize,
    /// Flights whose handlers were given up at the deadline.
    pub(crate) abandoned: usize,
}

/// What the judge found. Its `Display` is the last line of the example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Flights confirmed by the broker.
    pub(crate) published: usize,
    /// Flights handled, each counted once.
    pub(crate) handled: usize,
    /// Flights dead-lettered and not handled.
    pub(crate) dead_lettered: usize,
    /// Failures that were followed by another attempt.
    pub(crate) retried: usize,
    /// Successful handlings beyond the first.
    pub(crate) duplicates: usize,
    /// Flights first handled after a later flight of their airport.
    pub(crate) out_of_order: usize,
    /// Flights neither handled nor dead-lettered; after an interruption, those of them that the broker does not hold.
    pub(crate) lost: usize,
    /// What an interrupted run left.
    pub(crate) rest: Option<Rest>,
    /// Everything else that does not fit, in words.
    pub(crate) problems: Vec<String>,
    /// Whether reconnects explain all duplicates.
    pub(crate) duplicates_explained: bool,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0 && self.duplicates_explained && self.problems.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { published, handled, dead_lettered, retried, duplicates, out_of_order, lost, rest, .. } = self;
        write!(
            f,
            "published={published} handled={handled} dead_lettered={dead_lettered} retried={retried} \
             duplicates={duplicates} out_of_order={out_of_order} lost={lost}"
        )?;
        if let Some(Rest { unpublished, left, abandoned }) = rest {
            write!(f, " unpublished={unpublished} left={left} abandoned={abandoned}")?;
        }
        Ok(())
    }
}

/// Compares.
#[must_use]
pub(crate) fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut problems = Vec::new();
    let journal = believable(evidence, &mut problems);

    let mut handlings: HashMap<usize, usize> = HashMap::new();
    let mut given_up: HashSet<usize> = HashSet::new();
    let mut retried = 0;
    for entry in &journal {
        match entry.event {
            Event::Handled => *handlings.entry(entry.seq).or_default() += 1,
            Event::Rejected => drop(given_up.insert(entry.seq)),
            Event::Failed if entry.attempt >= evidence.max_attempts => drop(given_up.insert(entry.seq)),
            Event::Failed => retried += 1,
        }
    }
    let handled: HashSet<usize> = handlings.keys().copied().collect();
    let duplicates = handlings.values().map(|times| times - 1).sum();
    let dead = dead_lettered(evidence, &given_up, &handled, &mut problems);

    // Each flight falls into the first of these that fits, so that they sum to the input whatever happened.
    let mut rest = Rest { unpublished: 0, left: 0, abandoned: 0 };
    let abandoned: HashSet<usize> = evidence.abandoned.iter().copied().collect();
    for seq in 0..evidence.input.len() {
        if handled.contains(&seq) || dead.contains(&seq) {
        } else if abandoned.contains(&seq) {
            rest.abandoned += 1;
        } else if evidence.confirmed[seq] {
            rest.left += 1;
        } else {
            rest.unpublished += 1;
        }
    }
    compare_board(evidence, &handled, &mut problems);
    Verdict {
        published: evidence.confirmed.iter().filter(|confirmed| **confirmed).count(),
        handled: handled.len(),
        dead_lettered: dead.len(),
        retried,
        duplicates,
        out_of_order: out_of_order(evidence.input, &journal),
        lost: lost(evidence, rest, &mut problems),
        rest: evidence.interrupted.then_some(rest),
        problems,
        duplicates_explained: duplicates as u64 <= evidence.explained,
    }
}

/// The lines that fit the input; the others are problems.
fn believable<'a>(evidence: &Evidence<'a>, problems: &mut Vec<String>) -> Vec<&'a Entry> {
    let fits = |entry: &&Entry| {
        let Some(flight) = evidence.input.get(entry.seq) else {
            problems.push(format!("the journal tells of flight {}, which is not in the input", entry.seq));
            return false;
        };
        if flight.origin != entry.origin {
            problems.push(format!("flight {} left {}, the journal says {}", entry.seq, flight.origin, entry.origin));
            return false;
        }
        match entry.event {
            Event::Handled if flight.delay > TOO_LATE => {
                problems.push(format!("flight {} was {} minutes late and handled", entry.seq, flight.delay));
            }
            Event::Rejected if flight.delay <= TOO_LATE => {
                problems.push(format!("flight {} was {} minutes late and rejected", entry.seq, flight.delay));
            }
            _ => {}
        }
        true
    };
    evidence.journal.iter().filter(fits).collect()
}

/// Flights dead-lettered and not handled: what the channel holds decides where it could be read, and journal and
/// channel must tell the same.
fn dead_lettered(
    evidence: &Evidence<'_>,
    given_up: &HashSet<usize>,
    handled: &HashSet<usize>,
    problems: &mut Vec<String>,
) -> BTreeSet<usize> {
    let Some(channel) = evidence.dead_letters else {
        return given_up.difference(handled).copied().collect();
    };
    let mut dead = BTreeSet::new();
    for &DeadSeq { seq, by_handler } in channel {
        if seq >= evidence.input.len() {
            problems.push(format!("a dead letter tells of flight {seq}, which is not in the input"));
            continue;
        }
        if !dead.insert(seq) && evidence.explained == 0 {
            problems.push(format!("flight {seq} was dead-lettered twice"));
        }
        if by_handler && !given_up.contains(&seq) {
            problems.push(format!("flight {seq} was dead-lettered for its handler, which did not give it up"));
        }
        if handled.contains(&seq) && evidence.explained == 0 {
            problems.push(format!("flight {seq} was handled and dead-lettered"));
        }
    }
    // A handler's last word may stand in the journal when the deadline cuts the copy off: the message is left then.
    if !evidence.interrupted {
        for seq in given_up.iter().filter(|seq| !dead.contains(seq)) {
            problems.push(format!("flight {seq} was given up by its handler and is not in the dead-letter channel"));
        }
    }
    dead.retain(|seq| !handled.contains(seq));
    dead
}

/// Flights first handled after a later flight of their airport.
fn out_of_order(input: &[Record], journal: &[&Entry]) -> usize {
    let mut latest: HashMap<&str, usize> = HashMap::new();
    let mut seen = HashSet::new();
    let mut late = 0;
    for entry in journal.iter().filter(|entry| entry.event == Event::Handled) {
        if !seen.insert(entry.seq) {
            continue;
        }
        let latest = latest.entry(&input[entry.seq].origin).or_insert(entry.seq);
        if entry.seq < *latest {
            late += 1;
        }
        *latest = entry.seq.max(*latest);
    }
    late
}

/// Flights lost. After an interruption what is left must be at the broker.
fn lost(evidence: &Evidence<'_>, rest: Rest, problems: &mut Vec<String>) -> usize {
    if !evidence.interrupted {
        if evidence.depth.is_some_and(|depth| depth > 0) && evidence.explained == 0 {
            problems.push(format!("the queue still holds {} messages", evidence.depth.unwrap_or_default()));
        }
        return rest.unpublished + rest.left + rest.abandoned;
    }
    // More at the broker than accounted for is no loss: a settlement that the deadline cut off.
    match evidence.depth {
        Some(depth) => (rest.left + rest.abandoned).saturating_sub(usize::try_from(depth).unwrap_or(usize::MAX)),
        None => 0,
    }
}

/// Airport totals cover handled flights: computed once more from the input, they must be what the board printed.
fn compare_board(evidence: &Evidence<'_>, handled: &HashSet<usize>, problems: &mut Vec<String>) {
    let mut expected = Printed::new();
    for (_, flight) in evidence.input.iter().enumerate().filter(|(seq, _)| handled.contains(seq)) {
        let (flights, sum, worst) = expected.entry(flight.origin.clone()).or_insert((0, 0, i64::MIN));
        *flights += 1;
        *sum += flight.delay;
        *worst = flight.delay.max(*worst);
    }
    let airports: BTreeSet<&String> = expected.keys().chain(evidence.printed.keys()).collect();
    for airport in airports {
        let (journal, board) = (expected.get(airport), evidence.printed.get(airport));
        if journal != board {
            problems.push(format!("{airport}: flights, delays and worst by the journal {journal:?}, board {board:?}"));
        }
    }
}
