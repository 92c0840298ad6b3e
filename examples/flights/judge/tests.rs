//! Each figure: a case where it counts, and the nearest one where it does not.

use super::super::input::Record;
use super::super::journal::{Entry, Event};
use super::*;

const LIMIT: u32 = 5;

fn flight(origin: &str, delay: i64) -> Record {
    Record { date: "2001/01/01 06:55".into(), delay, distance: 1, origin: origin.into(), destination: "BNA".into() }
}

fn did(input: &[Record], seq: usize, event: Event, attempt: u32) -> Entry {
    Entry { seq, origin: input[seq].origin.clone(), event, attempt, worker: 0, at: 0 }
}

/// A case that is good unless a test changes it: everything handled in the input's order.
struct Case {
    input: Vec<Record>,
    journal: Vec<Entry>,
    confirmed: Vec<bool>,
    dead: Option<Vec<DeadSeq>>,
    abandoned: Vec<usize>,
    interrupted: bool,
    depth: Option<u64>,
    explained: u64,
    printed: Option<Printed>,
}

impl Case {
    fn of(airports: &[&str]) -> Self {
        let input: Vec<Record> = airports.iter().map(|airport| flight(airport, 10)).collect();
        let journal = (0..input.len()).map(|seq| did(&input, seq, Event::Handled, 1)).collect();
        let confirmed = vec![true; input.len()];
        Case {
            input,
            journal,
            confirmed,
            dead: Some(Vec::new()),
            abandoned: Vec::new(),
            interrupted: false,
            depth: Some(0),
            explained: 0,
            printed: None,
        }
    }

    fn handled_in(mut self, order: &[usize]) -> Self {
        self.journal = order.iter().map(|&seq| did(&self.input, seq, Event::Handled, 1)).collect();
        self
    }

    fn then(mut self, seq: usize, event: Event, attempt: u32) -> Self {
        self.journal.push(did(&self.input, seq, event, attempt));
        self
    }

    fn late(mut self, seq: usize) -> Self {
        self.input[seq].delay = TOO_LATE + 1;
        self
    }

    fn dead(mut self, seq: usize, by_handler: bool) -> Self {
        self.dead.get_or_insert_default().push(DeadSeq { seq, by_handler });
        self
    }

    fn interrupted(mut self, depth: Option<u64>) -> Self {
        self.interrupted = true;
        self.depth = depth;
        self
    }

    /// What a board would print that counts each flight once.
    fn board(&self) -> Printed {
        let mut seen = std::collections::HashSet::new();
        let mut printed = Printed::new();
        for entry in self.journal.iter().filter(|e| e.event == Event::Handled && seen.insert(e.seq)) {
            let delay = self.input.get(entry.seq).map_or(0, |flight| flight.delay);
            let totals = printed.entry(entry.origin.clone()).or_insert((0, 0, delay));
            *totals = (totals.0 + 1, totals.1 + delay, totals.2.max(delay));
        }
        printed
    }

    fn judge(&self) -> Verdict {
        let printed = self.printed.clone().unwrap_or_else(|| self.board());
        judge(&Evidence {
            input: &self.input,
            journal: &self.journal,
            max_attempts: LIMIT,
            confirmed: &self.confirmed,
            dead_letters: self.dead.as_deref(),
            abandoned: &self.abandoned,
            interrupted: self.interrupted,
            depth: self.depth,
            explained: self.explained,
            printed: &printed,
        })
    }
}

#[test]
fn a_good_run_is_good_and_prints_its_line() {
    let verdict = Case::of(&["LAX", "ORD", "LAX"]).judge();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!(
        verdict.to_string(),
        "published=3 handled=3 dead_lettered=0 retried=0 duplicates=0 out_of_order=0 lost=0"
    );
}

#[test]
fn lost_is_neither_handled_nor_dead_lettered() {
    let lost = Case::of(&["LAX", "ORD", "LAX"]).handled_in(&[0, 1]).judge();
    assert_eq!((lost.lost, lost.handled, lost.is_good()), (1, 2, false));
    // Failing is not yet an end.
    let failed = Case::of(&["LAX"]).handled_in(&[]).then(0, Event::Failed, LIMIT - 1).judge();
    assert_eq!((failed.lost, failed.retried), (1, 1));
    // Near misses: rejected and found in the dead-letter channel; out of attempts and found there.
    let rejected = Case::of(&["LAX"]).late(0).handled_in(&[]).then(0, Event::Rejected, 1).dead(0, true).judge();
    assert_eq!((rejected.lost, rejected.dead_lettered, rejected.is_good()), (0, 1, true), "{rejected:?}");
    let spent = Case::of(&["LAX"]).handled_in(&[]).then(0, Event::Failed, LIMIT).dead(0, true).judge();
    assert_eq!((spent.lost, spent.dead_lettered, spent.retried, spent.is_good()), (0, 1, 0, true), "{spent:?}");
    // By the engine, without a handler's word.
    let spilled = Case::of(&["LAX"]).handled_in(&[]).dead(0, false).judge();
    assert_eq!((spilled.lost, spilled.dead_lettered, spilled.is_good()), (0, 1, true), "{spilled:?}");
}

#[test]
fn a_rejection_that_never_reached_the_dead_letter_channel_is_lost() {
    let case = Case::of(&["LAX"]).late(0).handled_in(&[]).then(0, Event::Rejected, 1);
    let verdict = case.judge();
    assert_eq!((verdict.lost, verdict.dead_lettered, verdict.problems.len()), (1, 0, 1), "{verdict:?}");
    // Where the channel could not be read, the handler's word counts.
    let unread = Case { dead: None, ..case }.judge();
    assert_eq!((unread.lost, unread.dead_lettered, unread.is_good()), (0, 1, true));
}

#[test]
fn an_unconfirmed_flight_of_a_whole_run_is_lost_unless_handled() {
    let mut case = Case::of(&["LAX", "LAX"]).handled_in(&[0]);
    case.confirmed = vec![false, false];
    let verdict = case.judge();
    assert_eq!((verdict.published, verdict.handled, verdict.lost), (0, 1, 1));
}

#[test]
fn out_of_order_is_first_handled_after_a_later_flight_of_the_same_airport() {
    let swapped = Case::of(&["LAX", "LAX", "LAX"]).handled_in(&[1, 0, 2]).judge();
    assert_eq!((swapped.out_of_order, swapped.is_good()), (1, false));
    // Both that came after the latest one count.
    assert_eq!(Case::of(&["LAX", "LAX", "LAX"]).handled_in(&[2, 0, 1]).judge().out_of_order, 2);
    // Near misses: another airport overtakes; a repeated handling comes late; a dead letter does.
    let others = Case::of(&["LAX", "ORD", "LAX"]).handled_in(&[1, 0, 2]).judge();
    assert_eq!((others.out_of_order, others.is_good()), (0, true));
    let again = Case::of(&["LAX", "LAX"]).then(0, Event::Handled, 1).judge();
    assert_eq!((again.out_of_order, again.duplicates), (0, 1));
    let dead = Case::of(&["LAX", "LAX"]).late(0).handled_in(&[1]).then(0, Event::Rejected, 1).dead(0, true).judge();
    assert_eq!((dead.out_of_order, dead.is_good()), (0, true), "{dead:?}");
}

#[test]
fn duplicates_are_successful_handlings_beyond_the_first() {
    let twice = Case::of(&["LAX", "ORD"]).then(1, Event::Handled, 1).then(1, Event::Handled, 1).judge();
    assert_eq!((twice.duplicates, twice.handled, twice.is_good()), (2, 2, false));
    // Near misses: a failure before the success; a handling of another flight.
    let retried = Case::of(&["LAX"]).handled_in(&[]).then(0, Event::Failed, 1).then(0, Event::Handled, 2).judge();
    assert_eq!((retried.duplicates, retried.retried, retried.is_good()), (0, 1, true));
    // A reconnect explains as many as were in flight, and no more.
    let mut explained = Case::of(&["LAX", "ORD"]).then(1, Event::Handled, 1).then(1, Event::Handled, 1);
    explained.explained = 2;
    assert!(explained.judge().is_good());
    explained.explained = 1;
    assert!(!explained.judge().is_good());
}

#[test]
fn an_interrupted_run_accounts_for_every_flight_once() {
    let mut case = Case::of(&["A", "B", "C", "D", "E", "F"]).late(1).handled_in(&[0]).then(1, Event::Rejected, 1);
    case = case.dead(1, true).interrupted(Some(3));
    case.confirmed = vec![true, true, true, true, false, true];
    case.abandoned = vec![2];
    let verdict = case.judge();
    assert_eq!(verdict.rest, Some(Rest { unpublished: 1, left: 2, abandoned: 1 }));
    assert_eq!((verdict.handled, verdict.dead_lettered, verdict.lost), (1, 1, 0));
    assert!(verdict.is_good() && verdict.to_string().ends_with("lost=0 unpublished=1 left=2 abandoned=1"));
    // An abandoned handler that had ended is handled; an unconfirmed flight that was handled is not unpublished.
    case.abandoned.push(0);
    case.confirmed[0] = false;
    assert_eq!(case.judge().rest, verdict.rest);
}

#[test]
fn what_is_left_must_be_at_the_broker() {
    let case = |depth| Case::of(&["A", "B", "C"]).handled_in(&[0]).interrupted(depth);
    assert_eq!(case(Some(2)).judge().lost, 0);
    assert_eq!(case(Some(1)).judge().lost, 1);
    // What was abandoned comes again: it must be there as well.
    let abandoned = |depth| Case { abandoned: vec![1, 2], ..case(depth) }.judge();
    assert_eq!((abandoned(Some(2)).lost, abandoned(Some(1)).lost), (0, 1));
    // A settlement that the deadline cut off leaves one more there; a broker that cannot tell proves nothing.
    assert!(case(Some(3)).judge().is_good() && case(None).judge().is_good());
    // A whole run leaves nothing.
    let mut whole = Case::of(&["A"]);
    whole.depth = Some(1);
    assert!(whole.judge().problems[0].contains("still holds 1"));
}

#[test]
fn a_rejection_cut_off_by_the_deadline_is_left_and_no_problem() {
    let case = Case::of(&["A"]).late(0).handled_in(&[]).then(0, Event::Rejected, 1).interrupted(Some(1));
    let verdict = case.judge();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!(verdict.rest, Some(Rest { unpublished: 0, left: 1, abandoned: 0 }));
}

#[test]
fn board_and_journal_must_agree() {
    let mut case = Case::of(&["LAX", "ORD"]);
    let mut printed = case.board();
    printed.insert("LAX".into(), (1, 11, 11));
    case.printed = Some(printed.clone());
    assert!(case.judge().problems[0].starts_with("LAX"));
    printed.remove("LAX");
    case.printed = Some(printed);
    assert!(!case.judge().is_good(), "an airport is missing");
    let mut printed = case.board();
    printed.insert("SFO".into(), (1, 10, 10));
    case.printed = Some(printed);
    assert!(case.judge().problems[0].starts_with("SFO"), "an airport that nobody left");
}

#[test]
fn the_worst_delay_is_the_longest_wherever_it_stands() {
    for delays in [[30, 20, 10], [10, 30, 20], [10, 20, 30], [-3, -2, -1]] {
        let mut case = Case::of(&["LAX", "LAX", "LAX"]);
        for (flight, delay) in case.input.iter_mut().zip(delays) {
            flight.delay = delay;
        }
        assert!(case.judge().is_good(), "{delays:?}");
    }
}

#[test]
fn a_journal_that_does_not_fit_the_input_is_a_problem() {
    let mut case = Case::of(&["LAX", "LAX"]);
    case.journal[1].origin = "ORD".into();
    assert!(case.judge().problems[0].contains("left LAX, the journal says ORD"));
    case.journal[1].seq = 99;
    assert!(case.judge().problems[0].contains("not in the input"));
    assert!(!Case::of(&["LAX"]).late(0).judge().is_good(), "handled though too late");
    let early = Case::of(&["LAX"]).handled_in(&[]).then(0, Event::Rejected, 1).dead(0, true);
    assert!(early.judge().problems[0].contains("and rejected"));
    let mut at_the_limit = Case::of(&["LAX"]);
    at_the_limit.input[0].delay = TOO_LATE;
    assert!(at_the_limit.judge().is_good());
    let mut rejected = Case::of(&["LAX"]).handled_in(&[]).then(0, Event::Rejected, 1).dead(0, true);
    rejected.input[0].delay = TOO_LATE;
    assert!(!rejected.judge().is_good(), "rejected though not too late");
}

#[test]
fn dead_letters_must_fit_the_journal() {
    assert!(Case::of(&["LAX"]).dead(0, false).judge().problems[0].contains("handled and dead-lettered"));
    let unsaid = Case::of(&["LAX"]).handled_in(&[]).dead(0, true).judge();
    assert!(unsaid.problems[0].contains("did not give it up"));
    let twice = Case::of(&["LAX"]).handled_in(&[]).dead(0, false).dead(0, false).judge();
    assert!(twice.problems[0].contains("twice"));
    // A reconnect may leave both; the flight still counts once.
    let mut both = Case::of(&["LAX", "ORD"]).dead(0, false);
    both.explained = 1;
    let both = both.judge();
    assert_eq!((both.handled, both.dead_lettered, both.is_good()), (2, 0, true), "{both:?}");
    assert!(Case::of(&["LAX"]).dead(7, false).judge().problems[0].contains("not in the input"));
}
