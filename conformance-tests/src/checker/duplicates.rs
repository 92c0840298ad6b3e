//! Step 4: every delivery after the first has a cause since the one before.

use std::collections::BTreeMap;

use pontoon_core::Order;

use super::AnomalyKind::{AckedRedelivered, DuplicatePublish, UnexplainedDuplicate};
use super::case::Case;
use super::findings::Findings;
use super::index::{Causes, Lease, Story};
use crate::history::{End, FaultKind, Name, Nanos};

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    for story in &case.index.stories {
        chains(case, story, found);
    }
}

/// The deliveries of one copy of a message form a chain: each has its cause in how the one before ended. The broker's
/// id tells copies apart; without one all deliveries are of one copy, unless there may be several.
fn chains(case: &Case<'_>, story: &Story, found: &mut Findings) {
    let mut chains: BTreeMap<Option<&Name>, &Lease<'_>> = BTreeMap::new();
    let mut last: Option<&Lease<'_>> = None;
    let copies = case.copies(&case.index.sent[story.sent]);
    for lease in case.index.leases_of(story) {
        let copy = lease.delivery.broker_id.as_ref();
        let before = chains.insert(copy, lease);
        match (before, last) {
            (Some(before), _) if copy.is_some() || !copies => again(case, story, before, lease, found),
            (None, Some(last)) if !copies => another_copy(case, story, last, lease, found),
            _ => {}
        }
        last = Some(lease);
    }
}

/// The same copy was delivered again.
fn again(case: &Case<'_>, story: &Story, before: &Lease<'_>, lease: &Lease<'_>, found: &mut Findings) {
    if story.redriven_between(before.at, lease.at) || forgotten(case) || is_older(case, story, before, lease) {
        return;
    }
    let id = case.index.sent[story.sent].publish.id;
    let acked = before.settled_by(lease.at).filter(|settled| settled.end == End::Ack);
    let events = || case.excerpt(story.sent, [before, lease]);
    // Where nothing tells a stale acknowledgement, a lease that ended by itself makes a final one doubtful.
    let doubtful = !case.promises.stale_detection && case.taken(before, before.at, lease.at);
    let done = acked.and_then(|acked| acked.final_at).filter(|done| *done < lease.at);
    // Where the broker confirms none, the end of a connection may overtake an acknowledgement.
    let overtaken = |done: Nanos| !case.promises.acks_confirmed && case.parted(before, before.at, done);
    if done.is_some_and(|done| !overtaken(done)) && !doubtful {
        found.add(AckedRedelivered, events(), || format!("{id} was delivered after its acknowledgement was final"));
    } else if !doubtful && !case.freed(before, lease.at) {
        found.add(UnexplainedDuplicate, events(), || {
            format!(
                "{id} was delivered again without a cause: the delivery before had neither been given back nor lost"
            )
        });
    }
}

/// Whether the lease may be older than the one handed out before it: it was fetched first, ended without a word while it
/// waited in its client, and was handed on all the same.
fn is_older(case: &Case<'_>, story: &Story, before: &Lease<'_>, lease: &Lease<'_>) -> bool {
    let since = case.index.sent[story.sent].at;
    if lease.counted_before(before) == Some(true) {
        return case.vanished(lease, since, lease.at);
    }
    // A message that is tried again while its key waits is handed on by its client, which adds its own failures to what
    // the broker counted.
    let held = matches!(case.promises.order, Order::Block { .. });
    let newer = before.counted_before(lease) == Some(true) && !held;
    !newer && case.fault(Causes::Expiry, since, lease.at)
}

/// A copy that the broker calls otherwise was delivered.
fn another_copy(case: &Case<'_>, story: &Story, last: &Lease<'_>, lease: &Lease<'_>, found: &mut Findings) {
    // A retry, a release and a spill may travel as copies; so does what is put back.
    let given_back = |earlier: &Lease<'_>| {
        earlier.settled_by(lease.at).is_some_and(|s| matches!(s.end, End::Retry { .. } | End::Release | End::Drop))
    };
    if story.redriven_between(0, lease.at) || case.index.leases_of(story).any(given_back) {
        return;
    }
    found.add(DuplicatePublish, case.excerpt(story.sent, [last, lease]), || {
        let id = case.index.sent[story.sent].publish.id;
        format!("{id} is there twice, although it was published once and its outcome was never in doubt")
    });
}

/// Whether the broker may have forgotten settlements in a crash.
fn forgotten(case: &Case<'_>) -> bool {
    !case.promises.durable && case.index.faults.happened(FaultKind::BrokerKilled)
}
