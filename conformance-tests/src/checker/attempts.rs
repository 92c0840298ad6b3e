//! Step 6, attempts: a range around the truth that does not go back.

use super::AnomalyKind::AttemptRegression;
use super::case::Case;
use super::findings::Findings;
use super::index::{Lease, Story};
use super::{Attempts, Promises};
use crate::history::{End, Nanos};

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    for story in &case.index.stories {
        let mut lower = 0;
        let mut since = 0;
        for (place, at) in story.leases.iter().enumerate() {
            let lease = &case.index.leases[*at];
            // Putting it back begins a new life.
            if story.redriven_between(since, lease.at) {
                lower = 0;
            }
            let life = story.redriven.iter().copied().filter(|at| *at <= lease.at).max().unwrap_or(0);
            if let Some(wrong) = wrong(case, story, place, life, lower) {
                found.add(AttemptRegression, case.tale(story), || {
                    let id = case.index.sent[story.sent].publish.id;
                    format!("attempt {} of {id} {wrong}", lease.delivery.at_least)
                });
            }
            lower = lease.delivery.at_least;
            since = lease.at;
        }
    }
}

/// What is wrong with the attempt of the delivery at this place, `life` being when its message was last put back.
fn wrong(case: &Case<'_>, story: &Story, place: usize, life: Nanos, lower: u32) -> Option<String> {
    let lease = &case.index.leases[story.leases[place]];
    let (at_least, at_most) = (lease.delivery.at_least, lease.delivery.at_most);
    let earlier = || story.leases[..place].iter().map(|at| &case.index.leases[*at]).filter(|l| l.at >= life);
    if at_least == 0 {
        return Some("is counted from zero".to_owned());
    }
    if at_most.is_some_and(|most| most < at_least) {
        return Some(format!("is above its own upper bound {}", at_most.unwrap_or_default()));
    }
    let failures = earlier().filter(|lease| may_have_failed(lease)).count();
    if at_least as usize > failures + 1 {
        return Some(format!("counts more than the {failures} failures before it"));
    }
    let quiet = !case.copies(&case.index.sent[story.sent]) && earlier().all(|l| !case.taken(l, l.at, lease.at));
    let before = story.leases[..place].last().map(|at| &case.index.leases[*at]);
    let in_order = before.is_none_or(|before| before.counted_before(lease) != Some(false));
    let kept = case.promises.attempts != Attempts::Volatile && in_order;
    let copies = case.copies(&case.index.sent[story.sent]);
    let one_copy = !copies || before.is_some_and(|before| of_one_copy(before, lease));
    if at_least < lower && (quiet || kept) && one_copy {
        return Some(format!("comes after attempt {lower}"));
    }
    let known = earlier().filter(|lease| failed(lease)).count();
    if quiet && exact(case.promises) && (at_least as usize) < known + 1 {
        return Some(format!("does not count the {known} failures before it"));
    }
    // Each failure was a delivery, and so is this one.
    if quiet && at_most.is_some_and(|most| (most as usize) < known + 1) {
        return Some(format!("may at most be {}, after {known} failures", at_most.unwrap_or_default()));
    }
    None
}

fn exact(promises: &Promises) -> bool {
    promises.attempts == Attempts::Exact
}

/// Copies count apart.
fn of_one_copy(one: &Lease<'_>, other: &Lease<'_>) -> bool {
    let (one, other) = (&one.delivery.broker_id, &other.delivery.broker_id);
    one.is_some() && one == other
}

fn failed(lease: &Lease<'_>) -> bool {
    lease.settled.is_some_and(|settled| matches!(settled.end, End::Retry { .. }) && settled.stands())
}

fn may_have_failed(lease: &Lease<'_>) -> bool {
    lease.settled.is_some_and(|settled| matches!(settled.end, End::Retry { .. }) && settled.may_stand())
}
