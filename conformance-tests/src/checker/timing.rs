//! Step 8: not before the delay is over, not too long after it, not after the TTL, and not nothing.

use super::AnomalyKind::{Early, ExpiredDelivered, Late, Stall};
use super::case::{Case, nanos};
use super::findings::Findings;
use super::index::{Causes, Fate, Lease, Story};
use crate::history::{End, Nanos, What};

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    for story in &case.index.stories {
        let leases: Vec<&Lease<'_>> = case.index.leases_of(story).collect();
        if let Some(first) = leases.first() {
            due(case, story, first, found);
            expired(case, story, first, found);
        }
        for pair in leases.windows(2) {
            returned(case, story, pair[0], pair[1], found);
        }
    }
}

fn due(case: &Case<'_>, story: &Story, first: &Lease<'_>, found: &mut Findings) {
    let sent = &case.index.sent[story.sent];
    let Some(due) = sent.publish.due else { return };
    if first.at.saturating_add(nanos(case.promises.early_by)) < due {
        found.add(Early, case.excerpt(story.sent, [first]), || {
            format!("{} was delivered {:.3} s before its delay was over", sent.publish.id, seconds(due - first.at))
        });
    }
    let Some(late_by) = case.promises.late_by else { return };
    let ready = due.max(sent.done.unwrap_or(due));
    if first.at > ready.saturating_add(nanos(late_by)) && !case.fault(Causes::Silence, ready, first.at) {
        found.add(Late, case.excerpt(story.sent, [first]), || {
            format!("{} was delivered {:.3} s after its delay was over", sent.publish.id, seconds(first.at - ready))
        });
    }
}

fn expired(case: &Case<'_>, story: &Story, first: &Lease<'_>, found: &mut Findings) {
    let sent = &case.index.sent[story.sent];
    // Its TTL begins when it is stored, which is before the publish ends.
    let (Some(ttl), Some(done)) = (sent.publish.ttl, sent.done) else { return };
    let over = done.max(sent.publish.due.unwrap_or(0)).saturating_add(ttl);
    if first.at > over.saturating_add(nanos(case.promises.expired_by)) && !story.redriven_between(0, first.at) {
        found.add(ExpiredDelivered, case.excerpt(story.sent, [first]), || {
            format!("{} was first delivered {:.3} s after its TTL was over", sent.publish.id, seconds(first.at - over))
        });
    }
}

/// A retry with a time of its own does not come back before.
fn returned(case: &Case<'_>, story: &Story, before: &Lease<'_>, next: &Lease<'_>, found: &mut Findings) {
    let Some(settled) = before.settled_by(next.at).filter(|settled| settled.stands()) else { return };
    let End::Retry { after: Some(after) } = settled.end else { return };
    let same_copy = before.delivery.broker_id.is_some() && before.delivery.broker_id == next.delivery.broker_id;
    let same_copy = same_copy || !case.copies(&case.index.sent[story.sent]);
    let back = settled.at.saturating_add(after);
    // The last try of a key that was blocked for too long comes when the wait is over, and a connection that is lost
    // takes the wait with it where it is the client's.
    let excused = story.spilled.iter().any(|at| *at <= next.at) || story.redriven_between(before.at, next.at);
    let excused = excused || case.taken(before, before.at, next.at);
    if same_copy && !excused && next.at.saturating_add(nanos(case.promises.early_by)) < back {
        found.add(Early, case.excerpt(story.sent, [before, next]), || {
            let id = case.index.sent[story.sent].publish.id;
            format!("{id} returned {:.3} s before its wait was over", seconds(back - next.at))
        });
    }
}

/// Nothing is delivered or settled for too long although a message is due, somebody reads and nothing is wrong.
pub(super) fn check_progress(case: &Case<'_>, found: &mut Findings) {
    let Some(bound) = case.promises.stall_after.map(nanos) else { return };
    for source in 0..case.index.sources.len() {
        let mut activity = activity(case, source);
        let end = drained_at(case, source);
        activity.push((end, None));
        let mut waiting = waiting(case, source);
        // From the latest: what becomes ready only after a gap has ended does not wait in it.
        waiting.sort_unstable_by_key(|(ready, ..)| *ready);
        for pair in activity.windows(2) {
            let ((from, before), (to, _)) = (pair[0], pair[1]);
            if to <= from.saturating_add(bound) {
                continue;
            }
            let until = waiting.partition_point(|(ready, ..)| ready.saturating_add(bound) < to);
            let stuck = waiting[..until].iter().find(|(ready, first, sent)| {
                let there = read_since(case, source, (*ready).max(from));
                let calm = case.index.faults.calm(there, to, bound, case.notice);
                *first >= to && calm && case.index.sent[*sent].is_plain()
            });
            if let Some((_, _, sent)) = stuck {
                let mut events = case.index.sent[*sent].events.clone();
                events.extend(before);
                found.add(Stall, events, || {
                    let (name, id) = (case.index.sources[source].name, case.index.sent[*sent].publish.id);
                    format!("{name} stood still for {:.3} s while {id} waited", seconds(to - from))
                });
            }
        }
    }
}

/// When something happened at a source: deliveries and settlements, with their events.
fn activity(case: &Case<'_>, source: usize) -> Vec<(Nanos, Option<usize>)> {
    let leases = case.index.leases.iter().filter(|lease| lease.source == source);
    let mut moments: Vec<_> =
        leases.flat_map(|lease| lease.events.iter().map(|at| (case.index.events[*at].at, Some(*at)))).collect();
    moments.push((0, None));
    moments.sort_unstable();
    moments
}

/// When reading a source ended, or the last event of all.
fn drained_at(case: &Case<'_>, source: usize) -> Nanos {
    let name = case.index.sources[source].name;
    let drained = case.index.events.iter().rev().find(|event| match &event.what {
        What::Drained { source, .. } => source == name,
        _ => false,
    });
    drained.or(case.index.events.last()).map_or(0, |event| event.at)
}

/// Confirmed messages of a source: since when each may be delivered, when it first was, and which it is.
fn waiting(case: &Case<'_>, source: usize) -> Vec<(Nanos, Nanos, usize)> {
    let sent = case.index.sent.iter().enumerate();
    let here = sent.filter(|(_, sent)| {
        sent.fate == Fate::Confirmed && super::conserve::expected(case, sent, source) && sent.publish.ttl.is_none()
    });
    here.filter_map(|(number, sent)| {
        let ready = sent.done?.max(sent.publish.due.unwrap_or(0));
        let first = case.index.story(source, number).and_then(|story| case.index.leases_of(story).next());
        Some((ready, first.map_or(Nanos::MAX, |lease| lease.at), number))
    })
    .collect()
}

/// Since when somebody reads, at the earliest from this moment.
fn read_since(case: &Case<'_>, source: usize, from: Nanos) -> Nanos {
    let readers = case.index.consumers.values().filter(|consumer| consumer.source == Some(source));
    let there = readers.filter(|consumer| consumer.until.is_none_or(|until| until > from));
    there.map(|consumer| consumer.from.max(from)).min().unwrap_or(Nanos::MAX)
}

fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}
