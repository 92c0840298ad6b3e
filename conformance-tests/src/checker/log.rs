//! Step 7: logs, where deliveries and receipts have positions; and what a receipt names.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::AnomalyKind::{InconsistentOffsets, NonmonotonicPoll, NonmonotonicSend, PollSkip, PositionMismatch};
use super::case::Case;
use super::findings::Findings;
use super::index::{Consumer, Lease};
use crate::history::{Name, Position};

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    receipts(case, found);
    sends(case, found);
    let held = positions(case, found);
    let mut consumers: Vec<_> = case.index.consumers.iter().collect();
    consumers.sort_unstable_by_key(|(number, _)| **number);
    for (number, consumer) in consumers {
        polls(case, *number, consumer, &held, found);
    }
}

/// A receipt names what is delivered. Only the first delivery of the one copy: later ones may be copies.
fn receipts(case: &Case<'_>, found: &mut Findings) {
    let mut named: HashMap<(&Name, &Name), usize> = HashMap::new();
    for (number, sent) in case.index.sent.iter().enumerate() {
        let Some(receipt) = sent.broker_id else { continue };
        if let Some(other) = named.insert((&sent.publish.channel, receipt), number) {
            let other = &case.index.sent[other];
            found.add(PositionMismatch, [other.events.clone(), sent.events.clone()].concat(), || {
                format!("{} and {} have the same receipt {receipt}", other.publish.id, sent.publish.id)
            });
        }
    }
    for story in &case.index.stories {
        let sent = &case.index.sent[story.sent];
        let Some(lease) = case.index.leases_of(story).next().filter(|_| !case.copies(sent)) else { continue };
        let delivery = lease.delivery;
        let name = sent.broker_id.zip(delivery.broker_id.as_ref()).is_some_and(|(a, b)| a != b);
        let place = sent.position.zip(delivery.position).is_some_and(|(a, b)| a != b);
        if (name || place) && delivery.at_least == 1 && !story.redriven_between(0, lease.at) {
            found.add(PositionMismatch, case.excerpt(story.sent, [lease]), || {
                format!("the receipt of {} names another message than the one delivered", sent.publish.id)
            });
        }
    }
}

/// Within a partition, receipts of one publisher ascend in issue order.
fn sends(case: &Case<'_>, found: &mut Findings) {
    let mut sent: Vec<usize> =
        (0..case.index.sent.len()).filter(|at| case.index.sent[*at].position.is_some()).collect();
    sent.sort_by_key(|at| case.index.sent[*at].publish.id);
    let mut last: HashMap<(u32, &Name, u32), (u64, usize)> = HashMap::new();
    for at in sent {
        let one = &case.index.sent[at];
        let Some(Position { partition, offset }) = one.position else { continue };
        let lane = (one.publish.id.publisher, &one.publish.channel, partition);
        if let Some((before, other)) = last.insert(lane, (offset, at)).filter(|(before, _)| *before >= offset) {
            let other = &case.index.sent[other];
            found.add(NonmonotonicSend, [other.events.clone(), one.events.clone()].concat(), || {
                format!("{} was sent after {} and lies at {offset}, before {before}", one.publish.id, other.publish.id)
            });
        }
    }
}

/// What positions of each channel and partition hold a message that was delivered to somebody.
type Held<'c> = HashMap<(&'c Name, u32), BTreeMap<u64, usize>>;

fn positions<'c>(case: &'c Case<'_>, found: &mut Findings) -> Held<'c> {
    let mut held: Held<'c> = HashMap::new();
    let sent = case.index.sent.iter().enumerate();
    let receipts = sent.filter_map(|(at, sent)| Some((&sent.publish.channel, sent.position?, at, &sent.events[..])));
    let leases = case.index.leases.iter().filter_map(|lease| {
        let channel = &case.index.sources[lease.source].name.channel;
        Some((channel, lease.delivery.position?, lease.sent?, &lease.events[..1]))
    });
    for (channel, Position { partition, offset }, message, events) in receipts.chain(leases) {
        let other = *held.entry((channel, partition)).or_default().entry(offset).or_insert(message);
        if other != message {
            found.add(InconsistentOffsets, [&case.index.sent[other].events, events].concat(), || {
                let id = |at: usize| case.index.sent[at].publish.id;
                format!("position {offset}@{partition} holds {} and {}", id(other), id(message))
            });
        }
    }
    held
}

/// Within one assignment a reader goes on to the next position that holds a message.
fn polls(case: &Case<'_>, number: u32, consumer: &Consumer, held: &Held<'_>, found: &mut Findings) {
    let Some(source) = consumer.source else { return };
    let channel = &case.index.sources[source].name.channel;
    let mut last: HashMap<u32, &Lease<'_>> = HashMap::new();
    for at in &consumer.leases {
        let lease = &case.index.leases[*at];
        let Some(Position { partition, offset }) = lease.delivery.position else { continue };
        let Some(before) = last.insert(partition, lease) else { continue };
        let given = |at: u64| {
            consumer.assigned.iter().any(|(given, of, _)| *of == partition && (before.at..=at).contains(given))
        };
        let Some(from) = before.delivery.position.map(|position| position.offset) else { continue };
        // Across assignments and lost connections a reader may go back, or on.
        if given(lease.at) || consumer.gone_between(before.at, lease.at) {
            continue;
        }
        let events = || [before.events[0], lease.events[0]].to_vec();
        if offset <= from && !case.freed(before, lease.at) {
            found.add(NonmonotonicPoll, events(), || {
                format!("consumer {number} read {offset}@{partition} after {from}, within one assignment")
            });
        }
        let skipped =
            held.get(&(channel, partition)).and_then(|held| held.range(from + 1..offset.max(from + 1)).next());
        if let Some((skipped, message)) = skipped
            && !case.index.story(source, *message).is_some_and(|story| already(case, story, lease))
        {
            found.add(PollSkip, [events(), case.index.sent[*message].events.clone()].concat(), || {
                format!("consumer {number} went from {from} to {offset}@{partition} and left {skipped} out")
            });
        }
    }
}

/// Whether a skipped message had been delivered before: it may be settled.
fn already(case: &Case<'_>, story: &super::index::Story, lease: &Lease<'_>) -> bool {
    case.index.leases_of(story).next().is_some_and(|first| first.at < lease.at)
}
