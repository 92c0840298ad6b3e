//! Step 1: the history in order: messages as they were sent, leases with their ends, what happened to each message at
//! each source, and what went wrong when.

mod build;
mod consumers;
mod faults;
mod finality;
mod lease;
mod sent;
mod story;

use hashbrown::{HashMap, HashSet};

use crate::history::{DrainEnd, Event, LeaseId, Nanos, PublishId, SourceName};

pub(super) use consumers::Consumer;
pub(super) use faults::{Causes, Faults};
pub(super) use lease::{Lease, Settlement};
pub(super) use sent::{Fate, Sent};
pub(super) use story::Story;

/// Everything the steps look at. Numbers are places in its lists.
#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    pub(super) events: &'a [Event],
    pub(super) sent: Vec<Sent<'a>>,
    pub(super) by_id: HashMap<PublishId, usize>,
    pub(super) by_message: HashMap<&'a str, usize>,
    pub(super) sources: Vec<Source<'a>>,
    pub(super) by_source: HashMap<&'a SourceName, usize>,
    pub(super) leases: Vec<Lease<'a>>,
    pub(super) by_lease: HashMap<LeaseId, usize>,
    pub(super) consumers: HashMap<u32, Consumer>,
    pub(super) stories: Vec<Story>,
    pub(super) by_place: HashMap<(usize, usize), usize>,
    pub(super) faults: Faults,
    /// Dead letters that were read: their events.
    pub(super) dead: Vec<usize>,
    /// Messages with a dead letter that does not say which source it came from.
    pub(super) unassigned: HashSet<usize>,
    /// Events that name a message nobody published.
    pub(super) strangers: Vec<usize>,
}

/// A queue, or a subscription.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a SourceName,
    /// Since when it exists; what is published later belongs to it.
    pub(super) since: Option<Nanos>,
    /// How reading it to its end came to an end itself.
    pub(super) drained: Option<DrainEnd>,
    /// How many messages the application had removed, and when last.
    pub(super) purged: u64,
    pub(super) purged_at: Nanos,
    /// Its stories, in the order of their messages.
    pub(super) stories: Vec<usize>,
}

impl Index<'_> {
    /// The story of this message at this source.
    pub(super) fn story(&self, source: usize, sent: usize) -> Option<&Story> {
        self.by_place.get(&(source, sent)).map(|at| &self.stories[*at])
    }

    /// The leases of a story, in the order of their times.
    pub(super) fn leases_of<'i>(&'i self, story: &'i Story) -> impl DoubleEndedIterator<Item = &'i Lease<'i>> {
        story.leases.iter().map(|at| &self.leases[*at])
    }
}
