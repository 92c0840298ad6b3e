//! Step 3, what arrived: the bytes, the key and the headers that were published, from where they were published to.

use pontoon_core::ReasonKind;

use super::AnomalyKind::{Corrupt, CrossSubscription, HeaderLoss};
use super::case::Case;
use super::findings::Findings;
use super::index::{Index, Sent, Story};
use crate::history::{DeadLetter, Delivery, End, Name, What};

/// What a delivery and a dead letter say alike.
struct Arrived<'a> {
    message: &'a Name,
    key: Option<&'a Name>,
    hash: u64,
    headers: u64,
}

impl<'a> From<&'a Delivery> for Arrived<'a> {
    fn from(of: &'a Delivery) -> Self {
        Arrived { message: &of.message, key: of.key.as_ref(), hash: of.hash, headers: of.headers }
    }
}

impl<'a> From<&'a DeadLetter> for Arrived<'a> {
    fn from(of: &'a DeadLetter) -> Self {
        Arrived { message: &of.message, key: of.key.as_ref(), hash: of.hash, headers: of.headers }
    }
}

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    let index = &case.index;
    for lease in &index.leases {
        let Some(sent) = lease.sent else { continue };
        compare(&index.sent[sent], &lease.delivery.into(), lease.events[0], found);
        let (source, publish) = (index.sources[lease.source].name, index.sent[sent].publish);
        let is_dead_letter = case.promises.dead_letters.as_ref() == Some(&source.channel);
        if source.channel != publish.channel && !is_dead_letter {
            found.add(CrossSubscription, case.excerpt(sent, [lease]), || {
                format!("{} was published to {} and delivered from {source}", publish.id, publish.channel)
            });
        }
    }
    for at in &index.dead {
        let What::DeadLetter(letter) = &index.events[*at].what else { continue };
        let Some(sent) = letter.id.and_then(|id| index.by_id.get(&id)) else { continue };
        compare(&index.sent[*sent], &letter.as_ref().into(), *at, found);
    }
    for story in index.stories.iter().filter(|story| was_given_up(index, story)) {
        if let Some(other) = rejected_elsewhere(index, story) {
            let name = |story: &Story| index.sources[story.source].name;
            found.add(CrossSubscription, [case.tale(story), case.tale(other)].concat(), || {
                let id = index.sent[story.sent].publish.id;
                format!(
                    "{id} has a dead letter of {}, where it was not given up; it was at {}",
                    name(story),
                    name(other)
                )
            });
        }
    }
}

fn compare(sent: &Sent<'_>, arrived: &Arrived<'_>, event: usize, found: &mut Findings) {
    let events = || [sent.events.as_slice(), &[event]].concat();
    let publish = sent.publish;
    let parts = [
        ("another body", arrived.hash != publish.hash),
        ("another key", arrived.key != publish.key.as_ref()),
        ("another message id", arrived.message != &publish.message),
    ];
    for (what, _) in parts.iter().filter(|(_, differs)| *differs) {
        found.add(Corrupt, events(), || format!("{} arrived with {what} than it was published with", publish.id));
    }
    if arrived.headers != publish.headers {
        found.add(HeaderLoss, events(), || {
            format!("{} arrived with other headers than it was published with", publish.id)
        });
    }
}

/// Whether a dead letter says that a handler's end made it.
pub(super) fn was_given_up(index: &Index<'_>, story: &Story) -> bool {
    story.dead.iter().any(|at| match &index.events[*at].what {
        What::DeadLetter(letter) => matches!(letter.reason, Some(ReasonKind::Rejected | ReasonKind::MaxAttempts)),
        _ => false,
    })
}

/// A story of the same message at another subscription, where it was given up, while it was not here.
fn rejected_elsewhere<'i>(index: &'i Index<'_>, story: &Story) -> Option<&'i Story> {
    let given_up = |story: &Story| {
        index.leases_of(story).any(|lease| {
            lease.settled.is_some_and(|settled| matches!(settled.end, End::DeadLetter(_) | End::Retry { .. }))
        })
    };
    // Nothing was handed over here at all: it may have expired, or be a message that nobody can read.
    if story.leases.is_empty() || given_up(story) || index.leases_of(story).any(|lease| lease.settled.is_none()) {
        return None;
    }
    let channel = &index.sources[story.source].name.channel;
    let others = (0..index.sources.len()).filter(|at| *at != story.source);
    let others = others.filter(|at| index.sources[*at].name.channel == *channel);
    others.filter_map(|at| index.story(at, story.sent)).find(|other| given_up(other))
}
