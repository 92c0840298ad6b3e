//! Step 6, dead letters: not too early, not too late, once, and with the true reason.

use pontoon_core::{MAX_ERROR_TEXT, ReasonKind};

use super::AnomalyKind::{DlqDuplicate, DlqMetadata, MissedDlq, PrematureDlq};
use super::case::Case;
use super::findings::Findings;
use super::index::{Causes, Lease, Story};
use crate::history::{DeadLetter, End, Nanos, What};

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    for story in &case.index.stories {
        for letter in letters(case, story) {
            premature(case, story, letter, found);
            metadata(case, story, letter, found);
        }
        missed(case, story, found);
        twice(case, story, found);
    }
    for at in &case.index.dead {
        if let What::DeadLetter(letter) = &case.index.events[*at].what
            && letter.source.is_none()
        {
            found.add(DlqMetadata, vec![*at], || format!("the dead letter {} does not say its source", letter.message));
        }
    }
}

fn letters<'c>(case: &'c Case<'_>, story: &'c Story) -> impl Iterator<Item = &'c DeadLetter> {
    story.dead.iter().filter_map(|at| match &case.index.events[*at].what {
        What::DeadLetter(letter) => Some(letter.as_ref()),
        _ => None,
    })
}

fn id(case: &Case<'_>, story: &Story) -> crate::history::PublishId {
    case.index.sent[story.sent].publish.id
}

fn failures(case: &Case<'_>, story: &Story, which: impl Fn(&Lease<'_>) -> bool) -> usize {
    let of_kind = |lease: &&Lease<'_>| lease.settled.is_some_and(|s| matches!(s.end, End::Retry { .. }));
    case.index.leases_of(story).filter(of_kind).filter(|lease| which(lease)).count()
}

fn premature(case: &Case<'_>, story: &Story, letter: &DeadLetter, found: &mut Findings) {
    let may = |lease: &Lease<'_>| lease.settled.is_some_and(|settled| settled.may_stand());
    let (had, needs) = match letter.reason {
        Some(ReasonKind::MaxAttempts) => (failures(case, story, may), case.promises.max_attempts),
        // What was never handed over may be counted too, where leases or connections were lost.
        Some(ReasonKind::DeliveryCeiling) if !was_hurt(case, story) => {
            (story.leases.len(), case.promises.delivery_ceiling)
        }
        _ => return,
    };
    if let Some(needs) = needs.filter(|needs| had < *needs as usize) {
        found.add(PrematureDlq, case.tale(story), || {
            let reason = letter.reason.map_or("", ReasonKind::as_str);
            format!("{} was dead-lettered as {reason} after {had} of {needs}", id(case, story))
        });
    }
}

/// Whether anything was wrong with a consumer of its source, or with the world, while it was there.
fn was_hurt(case: &Case<'_>, story: &Story) -> bool {
    let from = case.index.sent[story.sent].at;
    let mut readers = case.index.consumers.values().filter(|consumer| consumer.source == Some(story.source));
    readers.any(|consumer| consumer.gone_between(from, Nanos::MAX)) || case.fault(Causes::Redelivery, from, Nanos::MAX)
}

/// Delivered again after the failure that should have been its last.
fn missed(case: &Case<'_>, story: &Story, found: &mut Findings) {
    let Some(most) = case.promises.max_attempts else { return };
    let (mut failed, mut since) = (0, 0);
    for at in &story.leases {
        let lease = &case.index.leases[*at];
        if story.redriven_between(since, lease.at) {
            failed = 0;
        }
        let calm = !case.copies(&case.index.sent[story.sent]) && !was_hurt(case, story);
        if failed >= most && calm {
            found.add(MissedDlq, case.tale(story), || {
                format!("{} was delivered again after {failed} failures, {most} are allowed", id(case, story))
            });
            return;
        }
        let counts = lease.settled.is_some_and(|settled| matches!(settled.end, End::Retry { .. }) && settled.stands());
        failed += u32::from(counts);
        since = lease.at;
    }
}

fn twice(case: &Case<'_>, story: &Story, found: &mut Findings) {
    let sent = &case.index.sent[story.sent];
    if case.copies(sent) || case.fault(Causes::SecondDeadLetter, sent.at, Nanos::MAX) || was_hurt(case, story) {
        return;
    }
    if story.dead.len() > 1 + story.redriven.len() {
        found.add(DlqDuplicate, case.tale(story), || {
            format!("{} has {} dead letters", id(case, story), story.dead.len())
        });
    }
    let last = case.index.leases_of(story).next_back();
    if let (Some((buried, _)), Some(last)) = (story.buried.first(), last)
        && last.at > *buried
        && !story.redriven_between(*buried, last.at)
    {
        found.add(DlqDuplicate, case.tale(story), || {
            format!("{} was delivered after it was dead-lettered", id(case, story))
        });
    }
}

fn metadata(case: &Case<'_>, story: &Story, letter: &DeadLetter, found: &mut Findings) {
    let mut wrong = |what: &str| {
        found.add(DlqMetadata, case.tale(story), || format!("the dead letter of {} {what}", id(case, story)));
    };
    match letter.reason {
        None => wrong("gives no reason"),
        Some(reason) if !is_true(case, story, reason) => wrong(&format!("says {reason}, and nothing of that happened")),
        Some(_) => {}
    }
    if letter.error_len.is_some_and(|len| len > MAX_ERROR_TEXT as u64) {
        wrong("has an error text over the bound");
    }
    match (letter.at_least, letter.at_most) {
        (None, _) if !story.leases.is_empty() && story.redriven.is_empty() => {
            wrong("does not say how many attempts were made")
        }
        (Some(least), Some(most)) if least > most => wrong("has attempts whose bounds contradict each other"),
        (Some(least), _) if least as usize > attempts_made(case, story) => wrong("counts more attempts than were made"),
        _ => {}
    }
    if let (Some(first), Some(last)) = (letter.first_failure_ms, letter.last_failure_ms)
        && first > last
    {
        wrong("failed last before it failed first");
    }
    // When it first failed nobody may have kept; who gives it up knows the last time.
    if letter.reason == Some(ReasonKind::MaxAttempts) && letter.last_failure_ms.is_none() {
        wrong("does not say when it last failed");
    }
}

/// The handlers' attempts, as far as a dead letter may count them: every delivery that was not given back.
fn attempts_made(case: &Case<'_>, story: &Story) -> usize {
    let given_back = |lease: &&Lease<'_>| lease.settled.is_some_and(|s| matches!(s.end, End::Release | End::Drop));
    let made = story.leases.len() - case.index.leases_of(story).filter(given_back).count();
    // One that was never handed over says 1, or 0; both are true enough.
    made.max(1)
}

/// Whether something happened that makes this reason the true one.
fn is_true(case: &Case<'_>, story: &Story, reason: ReasonKind) -> bool {
    let ended = |reason| {
        case.index.leases_of(story).any(|lease| lease.settled.is_some_and(|s| s.end == End::DeadLetter(reason)))
    };
    match reason {
        ReasonKind::Expired => case.index.sent[story.sent].publish.ttl.is_some(),
        // Counted above, where they can be; here it only must have been tried at all.
        ReasonKind::MaxAttempts | ReasonKind::OrderSpill => failures(case, story, |_| true) > 0,
        ReasonKind::DeliveryCeiling => case.promises.delivery_ceiling.is_some(),
        // What the library cannot read or route never reaches a handler.
        ReasonKind::Undecodable | ReasonKind::NoHandler => story.leases.is_empty() || ended(reason),
        reason => ended(reason),
    }
}
