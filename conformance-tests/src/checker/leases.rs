//! Step 6: valid leases of one key do not overlap; nobody holds more than its prefetch; what is over is not settled; who
//! lost a source delivers nothing of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

use super::AnomalyKind::{LeaseOverlap, PrefetchExceeded, StaleAckAccepted, Zombie};
use super::case::Case;
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
    for story in case.index.stories.iter().filter(|story| story.leases.len() > 1) {
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

/// A settlement that stands although the message had been delivered to another by then.
fn stale(case: &Case<'_>, story: &Story, found: &mut Findings) {
    let leases: Vec<&Lease<'_>> = case.index.leases_of(story).collect();
    for pair in leases.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let Some(settled) = before.settled.filter(|settled| settled.at > after.at) else { continue };
        let told = settled.end != End::Ack || case.promises.stale_detection;
        let one_copy = before.delivery.broker_id.is_some() && before.delivery.broker_id == after.delivery.broker_id;
        let one_copy = one_copy || !case.copies(&case.index.sent[story.sent]);
        // Recorded is valid only as far as the client knows: it counts when it is final.
        if settled.final_at.is_some() && told && one_copy {
            found.add(StaleAckAccepted, case.excerpt(story.sent, [before, after]), || {
                let id = case.index.sent[story.sent].publish.id;
                format!(
                    "{id} was settled by lease {} although lease {} had followed",
                    before.delivery.lease, after.delivery.lease
                )
            });
        }
    }
}
