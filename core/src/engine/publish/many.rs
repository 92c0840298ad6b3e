//! Publishing many messages: issued together, one outcome each, one wake.

use std::future::poll_fn;
use std::task::Poll;

use super::outcome::{Outcome, PublishError, Published};
use super::shared::{Shared, WORTH_SUBMITTING};
use super::slots::Owner;
use crate::{Error, Message};

/// The most messages taken from the iterator at once: they are beyond the publisher's bounds until there is room.
const CHUNK_MESSAGES: usize = 256;
/// The same in bytes, to within a step.
const CHUNK_BYTES: usize = 1 << 20;
/// Messages taken at once.
const STEP: usize = 16;

/// A group, given up when the future is dropped.
struct Group<'a> {
    shared: &'a Shared,
    id: Option<u32>,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let _old_waker = self.shared.with(|lane| lane.machine.abandon_group(id));
        }
    }
}

pub(super) async fn publish_all<I>(shared: &Shared, messages: I) -> Published
where
    I: IntoIterator<Item = Message>,
{
    let mut messages = messages.into_iter();
    let expected = messages.size_hint().0;
    let mut group = Group { shared, id: None };
    loop {
        // The iterator is the application's code: it runs outside the lane.
        let mut chunk = shared.buffer();
        let mut refused = Vec::new();
        let more = fill(&mut messages, &mut chunk, &mut refused);
        let (id, done) = issue(shared, group.id, expected, &mut chunk, &mut refused, !more);
        group.id = Some(id);
        shared.return_buffer(chunk);
        if let Some(outcomes) = done {
            group.id = None;
            return published(outcomes);
        }
        if !more {
            break;
        }
        entered(shared, id).await;
    }
    let Some(id) = group.id else { return Published::default() };
    let outcomes = poll_fn(|cx| {
        let (outcomes, _old_waker) = shared.with(|lane| match lane.machine.groups.finish(id) {
            Some(outcomes) => (Some(outcomes), None),
            None => (None, lane.machine.groups.rewake(id, cx.waker().clone())),
        });
        outcomes.map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    group.id = None;
    published(outcomes)
}

fn published(outcomes: Vec<Option<Outcome>>) -> Published {
    // A group is finished when each place has its outcome. `flatten` would not reuse the vector in place.
    #[allow(clippy::filter_map_identity)]
    Published::new(outcomes.into_iter().filter_map(|outcome| outcome).collect())
}

/// Takes the next chunk from the iterator. Whether there may be more.
fn fill(
    messages: &mut impl Iterator<Item = Message>,
    chunk: &mut Vec<Option<Message>>,
    refused: &mut Vec<(usize, Error)>,
) -> bool {
    let mut bytes = 0;
    while chunk.len() < CHUNK_MESSAGES && bytes < CHUNK_BYTES {
        let from = chunk.len();
        // `extend` lets the iterator write in place: moving a message through a variable costs as much as issuing it.
        chunk.extend(messages.by_ref().take(STEP).map(Some));
        for (place, message) in chunk.iter().enumerate().skip(from) {
            let Some(message) = message else { continue };
            if let Err(error) = message.validate() {
                refused.push((place, error));
            }
            bytes += message.weight();
        }
        if chunk.len() < from + STEP {
            return false;
        }
    }
    // An iterator that knows that it is at its end saves a round.
    messages.size_hint().1 != Some(0)
}

/// Issues a chunk. The group, and the outcomes when it was the last chunk and they are all there.
fn issue(
    shared: &Shared,
    group: Option<u32>,
    expected: usize,
    chunk: &mut Vec<Option<Message>>,
    refused: &mut Vec<(usize, Error)>,
    last: bool,
) -> (u32, Option<Vec<Option<Outcome>>>) {
    let now = shared.clock.now();
    let wall_ms = shared.clock.wall_ms(now);
    shared.with(|lane| {
        let group = group.unwrap_or_else(|| lane.machine.groups.begin(expected.max(chunk.len())));
        let idle = lane.machine.unresolved() == 0;
        let queue_was_empty = lane.machine.sendable() == 0;
        let deadline = now + lane.machine.deliver_within();
        let count = chunk.len();
        let mut refused = refused.drain(..).peekable();
        for (place, message) in chunk.iter_mut().enumerate() {
            let Some(fresh) = message else { continue };
            let invalid = refused.next_if(|(at, _)| *at == place).map(|(_, error)| error);
            if let Some(error) = invalid.or_else(|| lane.check(fresh, wall_ms).err()) {
                if let Some(message) = message.take() {
                    lane.machine.groups.add_outcome(group, Err(PublishError::rejected(error, message)));
                }
                continue;
            }
            lane.stamp(fresh, wall_ms);
            let index = lane.machine.groups.open_place(group);
            lane.machine.issue(message, deadline, Owner::Group { group, index });
        }
        chunk.clear();
        if queue_was_empty && (idle || count >= WORTH_SUBMITTING) {
            while shared.submit(lane, now) {}
            shared.empty_inbox(lane);
        }
        let outcomes = if last { lane.machine.groups.finish(group) } else { None };
        (group, outcomes)
    })
}

/// Waits until the chunk is within the publisher's bounds.
async fn entered(shared: &Shared, group: u32) {
    poll_fn(|cx| {
        let (waits, _old_waker) = shared.with(|lane| {
            if lane.machine.groups.queued(group) {
                (true, lane.machine.groups.rewake(group, cx.waker().clone()))
            } else {
                (false, None)
            }
        });
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}
