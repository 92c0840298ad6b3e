//! Step 6: valid leases of one key do not overlap; nobody holds more than its prefetch; what is over is not settled; who
//! lost a source delivers nothing of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

use super::AnomalyKind::{LeaseOverlap, PrefetchExceeded, StaleAckAccepted, Zombie};
use super::case::Case;
use super::content::was_given_up;
use super::findings::Findings;
use super::index::{Consumer, Lease, Story};
use crate::history::{End, Name, Nanos};

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    if case.promises.order.is_ordered() {
        overlaps(case, found);
    }
    let mut consumers: Vec<_> = case.index.consumers.iter().collect();
    consumers.sort_unstable_by_key(|(number, _)| **number);
    for (number, consumer) in consumers {
        prefetch(case, *number, consumer, found);
        handover(case, *number, consumer, found);
    }
    for story in &case.index.stories {
        stale(case, story, found);
    }
}

/// Of each key at each source, the lease that ends last among those begun: the next must begin after it.
fn overlaps(case: &Case<'_>, found: &mut Findings) {
    let mut open: HashMap<(usize, &Name), &Lease<'_>> = HashMap::new();
    for lease in &case.index.leases {
        let Some(sent) = lease.sent else { continue };
        let Some(key) = &case.index.sent[sent].publish.key else { continue };
        let slot = open.entry((lease.source, key)).or_insert(lease);
        let before = *slot;
        let gone = case.vanished(before, before.at, lease.at);
        if gone || before.known_over() <= lease.known_over() {
            *slot = lease;
        }
        if gone || std::ptr::eq(before, lease) || before.known_over() <= lease.at {
            continue;
        }
        let other = before.sent.unwrap_or(sent);
        let events = [case.excerpt(other, [before]), case.excerpt(sent, [lease])].concat();
        found.add(LeaseOverlap, events, || {
            let source = case.index.sources[lease.source].name;
            let id = |sent: usize| case.index.sent[sent].publish.id;
            format!("{} was delivered at {source} while the lease of {} of its key was valid", id(sent), id(other))
        });
    }
}

fn prefetch(case: &Case<'_>, number: u32, consumer: &Consumer, found: &mut Findings) {
    let Some(most) = consumer.prefetch else { return };
    let mut open: BinaryHeap<Reverse<(Nanos, usize)>> = BinaryHeap::new();
    for at in &consumer.leases {
        let lease = &case.index.leases[*at];
        while open.peek().is_some_and(|Reverse((over, _))| *over <= lease.at) {
            open.pop();
        }
        open.push(Reverse((lease.known_over(), *at)));
        if open.len() as u64 > most {
            let held = open.iter().map(|Reverse((_, held))| case.index.leases[*held].events[0]).collect();
            found.add(PrefetchExceeded, held, || {
                format!("consumer {number} holds {} unsettled deliveries, its prefetch is {most}", open.len())
            });
            return;
        }
    }
}

fn handover(case: &Case<'_>, number: u32, consumer: &Consumer, found: &mut Findings) {
    for at in &consumer.leases {
        let lease = &case.index.leases[*at];
        let Some(position) = lease.delivery.position else { continue };
        let before = consumer.assigned.iter().rev().find(|(at, of, _)| *at <= lease.at && *of == position.partition);
        if let Some((revoked, _, false)) = before {
            found.add(Zombie, lease.events.clone(), || {
                let late = lease.at - revoked;
                format!("consumer {number} delivered {position} {late} ns after its partition was taken away")
            });
        }
    }
}

/// An end that stands although the message had been delivered to another by then. Only where that is promised to be
/// noticed; nothing is known of what is recorded and not final.
fn stale(case: &Case<'_>, story: &Story, found: &mut Findings) {
    if !case.promises.stale_detection {
        return;
    }
    let leases: Vec<&Lease<'_>> = case.index.leases_of(story).collect();
    let id = case.index.sent[story.sent].publish.id;
    let acked = |lease: &Lease<'_>| lease.settled.filter(|s| s.end == End::Ack && s.final_at.is_some());
    for pair in leases.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let one_copy = before.delivery.broker_id.is_some() && before.delivery.broker_id == after.delivery.broker_id;
        let one_copy = one_copy || !case.copies(&case.index.sent[story.sent]);
        let late = acked(before).is_some_and(|acked| acked.at > after.at);
        // Either the broker counts, or both were acknowledged, and one of them cannot have been valid.
        let followed = before.counted_before(after).unwrap_or(acked(after).is_some());
        if late && followed && one_copy && !story.redriven_between(before.at, after.at) {
            found.add(StaleAckAccepted, case.excerpt(story.sent, [before, after]), || {
                let (before, after) = (before.delivery.lease, after.delivery.lease);
                format!("{id} was acknowledged by lease {before} although lease {after} had followed")
            });
        }
    }
    let given_up = story.redriven.is_empty() && was_given_up(&case.index, story);
    let any_acked = leases.iter().any(|lease| acked(lease).is_some());
    if any_acked && given_up && !case.copies(&case.index.sent[story.sent]) && gave_up_late(case, &leases) {
        found.add(StaleAckAccepted, case.tale(story), || {
            format!("{id} was acknowledged, and a lease that was over by then made a dead letter of it")
        });
    }
}

/// Whether every end that could make a dead letter came when the next lease had begun, and that could be known.
fn gave_up_late(case: &Case<'_>, leases: &[&Lease<'_>]) -> bool {
    let gives_up = |end: End| matches!(end, End::Retry { .. } | End::DeadLetter(_));
    let known_in = if case.promises.copies_first { case.notice } else { 0 };
    let next = |place: usize| leases.get(place + 1).map_or(Nanos::MAX, |next| next.at);
    let mut ends = leases.iter().enumerate().filter_map(|(place, lease)| {
        lease
            .settled
            .filter(|settled| gives_up(settled.end))
            .map(|settled| settled.at > next(place).saturating_add(known_in))
    });
    // A dead letter that no end can have made is another step's matter.
    ends.next().is_some_and(|first| first && ends.all(|late| late))
}
