//! Step 3, the other side: nothing comes from nowhere, nothing rejected is seen, nothing is unknown without need.

use super::AnomalyKind::{NeedlessUnknown, Phantom, RejectedVisible};
use super::case::Case;
use super::findings::Findings;
use super::index::{Causes, Fate, Story};
use crate::history::What;

pub(super) fn check(case: &Case<'_>, found: &mut Findings) {
    let index = &case.index;
    for at in &index.strangers {
        let what = match &index.events[*at].what {
            What::Published { .. } => "an outcome",
            What::DeadLetter(_) => "a dead letter",
            What::Left { .. } => "a message that is held",
            What::Deliver(_) => "a delivery",
            _ => "an event",
        };
        found.add(Phantom, vec![*at], || format!("{what} of a message that nobody published in this run"));
    }
    for story in &index.stories {
        let sent = &index.sent[story.sent];
        let id = sent.publish.id;
        if sent.fate == Fate::Failed && is_seen(story) {
            found.add(RejectedVisible, case.tale(story), || {
                format!("{id} was rejected, and {} has it", index.sources[story.source].name)
            });
        }
        if let Some(first) = index.leases_of(story).next().filter(|first| first.at < sent.at) {
            found.add(Phantom, case.excerpt(story.sent, [first]), || {
                format!("{id} was delivered before it was published")
            });
        }
    }
    for sent in &index.sent {
        // An outcome that is merely missing says nothing: its process may be gone, its future dropped.
        let told = sent.fate == Fate::Unknown && sent.ended == sent.submitted;
        if told && !case.doubtful(sent, Causes::Unknown) {
            found.add(NeedlessUnknown, sent.events.clone(), || {
                format!("the outcome of {} is unknown, and nothing had gone wrong", sent.publish.id)
            });
        }
    }
}

fn is_seen(story: &Story) -> bool {
    !story.leases.is_empty() || !story.dead.is_empty() || story.left
}
