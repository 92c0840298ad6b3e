//! Publishing many messages: issued together, one outcome each, one wake.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::machine::{Machine, Place};
use super::outcome::{Outcome, PublishError, Published};
use super::shared::{Claim, Shared, WORTH_SUBMITTING};
use super::slots::Owner;
use crate::{Bytes, Error, Message, Receipt};

/// The most messages taken from the iterator at once: they are beyond the publisher's bounds until there is room.
const CHUNK_MESSAGES: usize = 256;
/// The same in bytes, to within a message.
const CHUNK_BYTES: usize = 1 << 20;

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

/// Publishes what `write` makes of each item; an item of which it makes nothing is left out.
pub(super) async fn publish_all<I: Iterator>(
    shared: &Shared,
    mut items: I,
    mut write: impl FnMut(I::Item, &mut Message) -> bool,
) -> Published {
    let mut claims = Claims { outcomes: Vec::with_capacity(items.size_hint().0), group: None };
    let mut group = Group { shared, id: None };
    loop {
        // The iterator is the application's code: it runs outside the lane.
        let mut chunk = shared.buffer();
        let mut refused = Vec::new();
        let more = fill(&mut items, &mut write, &mut chunk, &mut refused);
        let done = issue(shared, &mut claims, &mut chunk, &mut refused, !more);
        group.id = claims.group;
        shared.return_buffer(chunk);
        if let Some(outcomes) = done {
            group.id = None;
            return outcomes;
        }
        if !more {
            break;
        }
        if let Some(id) = group.id {
            entered(shared, id).await;
        }
    }
    let Some(id) = group.id else { return Published::new(claims.outcomes) };
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

/// The outcomes so far: in a vector, until the first message that has to wait makes a group of them.
struct Claims {
    outcomes: Vec<Outcome>,
    group: Option<u32>,
}

impl Claims {
    fn group(&mut self, machine: &mut Machine<Waker>) -> u32 {
        *self.group.get_or_insert_with(|| {
            let group = machine.groups.begin(self.outcomes.capacity());
            self.outcomes.drain(..).for_each(|outcome| machine.groups.add_outcome(group, outcome));
            group
        })
    }

    fn next_owner(&mut self, machine: &mut Machine<Waker>) -> Owner<Waker> {
        let group = self.group(machine);
        Owner::Group { group, index: machine.groups.open_place(group) }
    }

    fn outcome(&mut self, machine: &mut Machine<Waker>, outcome: Outcome) {
        match self.group {
            Some(group) => machine.groups.add_outcome(group, outcome),
            None => self.outcomes.push(outcome),
        }
    }

    /// All outcomes, when they are there.
    fn finish(&mut self, machine: &mut Machine<Waker>) -> Option<Published> {
        match self.group {
            Some(group) => machine.groups.finish(group).map(published),
            None => Some(Published::new(std::mem::take(&mut self.outcomes))),
        }
    }
}

impl Claim for Claims {
    #[inline]
    fn confirmed(&mut self, machine: &mut Machine<Waker>, receipt: Receipt) {
        self.outcome(machine, Ok(receipt));
    }

    fn owner(&mut self, machine: &mut Machine<Waker>, _: Place) -> Owner<Waker> {
        self.next_owner(machine)
    }
}

fn published(outcomes: Vec<Option<Outcome>>) -> Published {
    // A group is finished when each place has its outcome. `flatten` would not reuse the vector in place.
    #[allow(clippy::filter_map_identity)]
    Published::new(outcomes.into_iter().filter_map(|outcome| outcome).collect())
}

/// Takes the next chunk from the iterator. Whether there may be more.
#[inline]
fn fill<I: Iterator>(
    items: &mut I,
    write: &mut impl FnMut(I::Item, &mut Message) -> bool,
    chunk: &mut Vec<Option<Message>>,
    refused: &mut Vec<(usize, Error)>,
) -> bool {
    let mut bytes = 0;
    while chunk.len() < CHUNK_MESSAGES && bytes < CHUNK_BYTES {
        let Some(item) = items.next() else { return false };
        // Written in place: moving a message through variables costs as much as issuing it.
        let place = chunk.len();
        chunk.push(Some(Message::new(Bytes::new())));
        let Some(message) = chunk.last_mut().and_then(Option::as_mut) else { continue };
        if !write(item, message) {
            chunk.pop();
            continue;
        }
        if let Err(error) = message.validate() {
            refused.push((place, error));
        }
        bytes += message.weight();
    }
    // An iterator that knows that it is at its end saves a round.
    items.size_hint().1 != Some(0)
}

/// Issues a chunk. All outcomes, when it was the last chunk and they are there.
fn issue(
    shared: &Shared,
    claims: &mut Claims,
    chunk: &mut Vec<Option<Message>>,
    refused: &mut Vec<(usize, Error)>,
    last: bool,
) -> Option<Published> {
    let now = shared.clock.now();
    let wall_ms = shared.clock.wall_ms(now);
    shared.with(|lane| {
        let idle = lane.machine.unresolved() == 0;
        let queue_was_empty = lane.machine.sendable() == 0;
        let submits = queue_was_empty && (idle || chunk.len() >= WORTH_SUBMITTING);
        let deadline = now + lane.machine.deliver_within();
        for (place, message) in chunk.iter_mut().enumerate() {
            if let Some(message) = message {
                match lane.check(message, wall_ms) {
                    Ok(()) => lane.stamp(message, wall_ms),
                    Err(error) => refused.push((place, error)),
                }
            }
        }
        let mut direct = 0;
        if submits && refused.is_empty() {
            direct = shared.submit_direct(lane, deadline, now, chunk, claims);
        }
        // What is invalid was found first, so the first of two reasons counts.
        refused.sort_by_key(|(place, _)| *place);
        refused.dedup_by_key(|(place, _)| *place);
        let mut refused = refused.drain(..).peekable();
        for (place, message) in chunk.iter_mut().enumerate().skip(direct) {
            match refused.next_if(|(at, _)| *at == place) {
                Some((_, error)) => {
                    if let Some(message) = message.take() {
                        claims.outcome(&mut lane.machine, Err(PublishError::rejected(error, message)));
                    }
                }
                None => {
                    let owner = claims.next_owner(&mut lane.machine);
                    lane.machine.issue(message, deadline, owner);
                }
            }
        }
        chunk.clear();
        if submits {
            while shared.submit(lane, now) {}
            shared.empty_inbox(lane);
        }
        if last { claims.finish(&mut lane.machine) } else { None }
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
