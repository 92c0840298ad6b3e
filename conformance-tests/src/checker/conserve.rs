//! Step 3: for each source, everything confirmed is acknowledged, dead-lettered, expired, dropped by policy, removed
//! on request, or still held.

use std::collections::BTreeMap;

use super::AnomalyKind::{DlqLost, LostConfirmed, Unseen};
use super::case::Case;
use super::drain;
use super::findings::Findings;
use super::index::{Fate, Sent, Story};
use crate::history::{DrainEnd, End, FaultKind};

/// Whether a message belongs to a source for certain: confirmed, of its channel, and begun after the source existed.
pub(super) fn expected(case: &Case<'_>, sent: &Sent<'_>, source: usize) -> bool {
    let source = &case.index.sources[source];
    sent.fate == Fate::Confirmed
        && sent.publish.channel == source.name.channel
        && source.since.is_some_and(|since| sent.at >= since || source.name.subscription.is_none())
}

/// Whether what was dead-lettered can be judged.
pub(super) fn dead_letters_readable(case: &Case<'_>) -> bool {
    case.promises.dead_letters.as_ref().is_none_or(|channel| drain::is_read_by_name(case, channel))
}

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    // What a broker that keeps nothing over a crash held then, nobody can ask for.
    if !case.promises.durable && case.index.faults.happened(FaultKind::BrokerKilled) {
        return;
    }
    for source in 0..case.index.sources.len() {
        if drain::is_read(case, source) {
            of_source(case, source, found);
        }
    }
}

fn of_source(case: &Case<'_>, at: usize, found: &mut Findings) {
    let source = &case.index.sources[at];
    let mut purged = source.purged;
    // By publisher: its expected messages in issue order, and whether each is accounted for.
    let mut publishers: BTreeMap<u32, Vec<(u64, usize, bool)>> = BTreeMap::new();
    for (number, sent) in case.index.sent.iter().enumerate() {
        if !expected(case, sent, at) {
            continue;
        }
        let mut there = match case.index.story(at, number) {
            Some(story) => accounted(case, story),
            None => case.index.unassigned.contains(&number),
        };
        if !there && purged > 0 && sent.at <= source.purged_at {
            (there, purged) = (true, purged - 1);
        }
        let id = sent.publish.id;
        publishers.entry(id.publisher).or_default().push((id.counter, number, there));
    }
    for messages in publishers.values_mut() {
        messages.sort_unstable();
        let first = messages.iter().position(|(.., there)| *there);
        let last = messages.iter().rposition(|(.., there)| *there);
        for (place, (_, number, there)) in messages.iter().enumerate() {
            if !there {
                lost(case, at, *number, where_in(place, first, last), found);
            }
        }
    }
}

/// Which part of a publisher's messages a lost one is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Prefix,
    Middle,
    Postfix,
    All,
}

fn where_in(place: usize, first: Option<usize>, last: Option<usize>) -> Part {
    if first.is_some_and(|first| (..first).contains(&place)) {
        Part::Prefix
    } else if last.is_some_and(|last| (..last).contains(&place)) {
        Part::Middle
    } else if first.is_some() {
        Part::Postfix
    } else {
        Part::All
    }
}

fn lost(case: &Case<'_>, source: usize, number: usize, part: Part, found: &mut Findings) {
    let (index, story) = (&case.index, case.index.story(source, number));
    let (sent, name) = (&index.sent[number], index.sources[source].name);
    if let Some(story) = story.filter(|story| had_to_be_dead_lettered(case, story)) {
        if dead_letters_readable(case) {
            found.add(DlqLost, case.tale(story), || {
                format!("{} was to be dead-lettered at {name}, and is nowhere", sent.publish.id)
            });
        }
        return;
    }
    let events = story.map_or_else(|| sent.events.clone(), |story| case.tale(story));
    // The end of a queue that merely fell quiet may still come.
    let unseen = story.is_none_or(|story| story.leases.is_empty())
        && matches!(part, Part::Postfix | Part::All)
        && index.sources[source].drained == Some(DrainEnd::Quiet);
    let part = match part {
        Part::Prefix => "among the first",
        Part::Middle => "in the middle",
        Part::Postfix => "among the last",
        Part::All => "as all",
    };
    let kind = if unseen { Unseen } else { LostConfirmed };
    found.add(kind, events, || {
        format!("{} was confirmed and {name} does not account for it ({part} of its publisher)", sent.publish.id)
    });
}

/// Whether the end of a message is known, or it is still held.
fn accounted(case: &Case<'_>, story: &Story) -> bool {
    story.left
        || !story.dead.is_empty()
        || case.index.unassigned.contains(&story.sent)
        // Dropping is a policy only where no dead-letter channel is declared.
        || (!story.dropped.is_empty() && case.promises.dead_letters.is_none())
        || case.index.leases_of(story).any(|lease| {
            // An acknowledgement that may have happened is as good: nobody can tell that the message is lost.
            lease.settled.is_some_and(|settled| settled.end == End::Ack && settled.may_stand())
        })
}

fn had_to_be_dead_lettered(case: &Case<'_>, story: &Story) -> bool {
    let failures = |lease: &super::index::Lease<'_>| {
        lease.settled.is_some_and(|settled| matches!(settled.end, End::Retry { .. }) && settled.stands())
    };
    let failed = case.index.leases_of(story).filter(|lease| failures(lease)).count();
    case.promises.max_attempts.is_some_and(|most| failed >= most as usize)
        || case.index.leases_of(story).any(|lease| {
            lease.settled.is_some_and(|settled| matches!(settled.end, End::DeadLetter(_)) && settled.stands())
        })
}
