//! Step 5: first deliveries of one publisher's messages of a key follow the issue order; a message that waits for
//! another try is not passed by later ones of its key, where the profile says so.

use hashbrown::HashMap;
use pontoon_core::Order;

use super::AnomalyKind::KeyInversion;
use super::case::Case;
use super::findings::Findings;
use super::index::{Lease, Story};
use crate::history::{End, Name};

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    if case.promises.order.is_ordered() {
        for source in 0..case.index.sources.len() {
            for (_, stories) in lanes(case, source) {
                first_deliveries(case, &stories, found);
                passed(case, &stories, found);
            }
        }
    }
}

/// The stories of one source that have an order among each other, in issue order.
fn lanes<'c>(case: &'c Case<'_>, source: usize) -> HashMap<(u32, &'c Name), Vec<&'c Story>> {
    let mut lanes: HashMap<(u32, &Name), Vec<&Story>> = HashMap::new();
    for at in &case.index.sources[source].stories {
        let story = &case.index.stories[*at];
        let sent = &case.index.sent[story.sent];
        // Of a message that expires the first copy may be gone when the second comes.
        let expires = sent.publish.ttl.is_some() && case.copies(sent);
        let counts = sent.is_plain() && !expires && !story.leases.is_empty();
        if let Some(key) = sent.publish.key.as_ref().filter(|_| counts) {
            lanes.entry((sent.publish.id.publisher, key)).or_default().push(story);
        }
    }
    for stories in lanes.values_mut() {
        stories.sort_by_key(|story| case.index.sent[story.sent].publish.id.counter);
    }
    lanes
}

fn first<'c>(case: &'c Case<'_>, story: &'c Story) -> &'c Lease<'c> {
    &case.index.leases[story.leases[0]]
}

fn first_deliveries(case: &Case<'_>, stories: &[&Story], found: &mut Findings) {
    // The latest first delivery so far, in issue order: whatever comes after must be later.
    let mut latest: Option<&Story> = None;
    for story in stories {
        let lease = first(case, story);
        if let Some(before) = latest.filter(|before| first(case, before).at > lease.at) {
            let late = first(case, before);
            // What was put back has no place of its own any more.
            let moved = before.redriven_between(0, late.at);
            if !moved {
                report(case, before, late, story, lease, "was first delivered after", found);
            }
        } else {
            latest = Some(story);
        }
    }
}

/// Whether, while one message waited for its return, a later one of its key was delivered.
fn passed(case: &Case<'_>, stories: &[&Story], found: &mut Findings) {
    let mut waits: Vec<(usize, &Lease<'_>, u64)> = Vec::new();
    for (place, story) in stories.iter().enumerate() {
        let leases: Vec<&Lease<'_>> = case.index.leases_of(story).collect();
        for pair in leases.windows(2).filter(|pair| keeps_place(case, story, pair[0], pair[1])) {
            waits.push((place, pair[0], pair[1].at));
        }
    }
    let mut deliveries: Vec<(u64, usize, &Lease<'_>)> = Vec::new();
    for (place, story) in stories.iter().enumerate() {
        deliveries.extend(case.index.leases_of(story).map(|lease| (lease.at, place, lease)));
    }
    deliveries.sort_by_key(|(at, place, _)| (*at, *place));
    for (place, waiting, until) in waits {
        let from = waiting.known_over();
        let start = deliveries.partition_point(|(at, ..)| *at <= from);
        let between = deliveries[start..].iter().take_while(|(at, ..)| *at < until);
        if let Some((_, later, lease)) = between.into_iter().find(|(_, other, _)| *other > place) {
            report(case, stories[place], waiting, stories[*later], lease, "waits, and was passed by", found);
        }
    }
}

/// Whether a message keeps its place in its key after this lease, until it is delivered again.
fn keeps_place(case: &Case<'_>, story: &Story, lease: &Lease<'_>, next: &Lease<'_>) -> bool {
    let same_copy = lease.delivery.broker_id == next.delivery.broker_id;
    let settled = lease.settled_by(next.at).filter(|settled| settled.stands());
    let returns = match settled.map(|settled| settled.end) {
        Some(End::Retry { .. }) => matches!(case.promises.order, Order::Block { .. }),
        Some(End::Release | End::Drop) => true,
        Some(End::Ack | End::DeadLetter(_)) => false,
        None => lease.lost.is_some(),
    };
    // A lease that ends without a word lets others of the key go on with who holds them.
    let silent = case.vanished(lease, lease.at, next.at);
    let moved = story.redriven_between(lease.at, next.at) || story.spilled.iter().any(|at| *at <= next.at);
    returns && same_copy && !silent && !moved
}

fn report(
    case: &Case<'_>,
    one: &Story,
    lease: &Lease<'_>,
    other: &Story,
    its: &Lease<'_>,
    how: &str,
    found: &mut Findings,
) {
    let events = [case.excerpt(one.sent, [lease]), case.excerpt(other.sent, [its])].concat();
    found.add(KeyInversion, events, || {
        let id = |story: &Story| case.index.sent[story.sent].publish.id;
        let source = case.index.sources[one.source].name;
        format!("{} {how} {} of the same key at {source}", id(one), id(other))
    });
}
