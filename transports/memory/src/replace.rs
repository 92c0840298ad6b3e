//! Settling a message and storing its successor in one step, under the locks of both queues.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use pontoon_core::driver::{Disposition, Late, Settled, Token};
use pontoon_core::{Error, ErrorKind, Message};

use crate::clock::{Now, lock};
use crate::consumer::failed;
use crate::error;
use crate::faults::Fault;
use crate::queue::{ConsumerId, Entry, Queue, State};
use crate::server::Shared;
use crate::topology::{Route, Topic, TopicState};
use crate::wakes::Wakes;

/// Records a slice that holds replacements: every queue that takes part is locked for the whole of it, so that the
/// slice is one step. Topics first, then queues, each by ascending id: no two callers can wait for each other.
pub(crate) fn record(
    server: &Shared,
    source: &Arc<Queue>,
    id: ConsumerId,
    what: &[(Token, Disposition<'_>)],
    answers: &mut Vec<Settled>,
    late: &mut Vec<Late>,
) {
    let mut topics: Vec<Arc<Topic>> = Vec::new();
    let mut queues: Vec<Arc<Queue>> = vec![source.clone()];
    for (_, disposition) in what {
        if let Disposition::Replace { to, .. } = disposition {
            match server.route(to.name.as_str()) {
                Some(Route::Queue(queue)) => queues.push(queue),
                Some(Route::Topic(topic)) => topics.push(topic),
                None => {}
            }
        }
    }
    topics.sort_by_key(|topic| topic.id);
    topics.dedup_by_key(|topic| topic.id);
    let mut open_topics: Vec<(u64, MutexGuard<'_, TopicState>)> =
        topics.iter().map(|topic| (topic.id, lock(&topic.inner))).collect();
    for (_, topic) in &open_topics {
        queues.extend(topic.subscriptions.iter().map(|(_, queue)| queue.clone()));
    }
    queues.sort_by_key(|queue| queue.id);
    queues.dedup_by_key(|queue| queue.id);
    let mut open: Vec<(u64, MutexGuard<'_, State>)> = queues.iter().map(|queue| (queue.id, queue.lock())).collect();

    let mut wakes = Wakes::default();
    let mut now = Now::of(source.clock);
    for (token, disposition) in what {
        let mine = queue_of(&mut open, source.id);
        let Disposition::Replace { to, message } = disposition else {
            answers.push(mine.settle(id, *token, disposition, &mut now, &mut wakes));
            continue;
        };
        let Some(slot) = mine.leased(id, *token, &mut now, &mut wakes) else {
            answers.push(Settled::Stale);
            continue;
        };
        answers.push(Settled::Recorded);
        let name = to.name.as_str();
        let route = server.route(name);
        match store(server, name, route.as_ref(), source.id, message, &mut open_topics, &mut open, &mut now, &mut wakes)
        {
            Ok(()) => queue_of(&mut open, source.id).replaced(slot, &mut wakes),
            Err(error) => late.push(failed(*token, error)),
        }
    }
    for (_, state) in &mut open {
        state.wake_ready(&mut wakes);
    }
    drop(open);
    drop(open_topics);
    wakes.wake();
}

fn queue_of<'a>(open: &'a mut [(u64, MutexGuard<'_, State>)], id: u64) -> &'a mut State {
    let at = open.binary_search_by_key(&id, |(known, _)| *known).expect("the source is among the locked queues");
    &mut open[at].1
}

#[allow(clippy::too_many_arguments)] // one step, and everything it holds locked
fn store(
    server: &Shared,
    name: &str,
    route: Option<&Route>,
    source: u64,
    message: &Message,
    topics: &mut [(u64, MutexGuard<'_, TopicState>)],
    open: &mut [(u64, MutexGuard<'_, State>)],
    now: &mut Now,
    wakes: &mut Wakes,
) -> Result<(), Error> {
    if message.body.len() as u64 > server.config.max_body {
        return Err(error::too_large(name, message.body.len(), server.config.max_body));
    }
    let missing = || error::no_such_channel("replace", name);
    let (uid, targets): (Option<u64>, Vec<u64>) = match route {
        None => return Err(missing()),
        Some(Route::Queue(queue)) => (None, vec![queue.id]),
        Some(Route::Topic(topic)) => {
            let topic = topics.iter_mut().find(|(id, _)| *id == topic.id).ok_or_else(missing)?;
            let only = message.history().only_for.as_deref();
            let wanted = topic.1.subscriptions.iter().filter(|(name, _)| only.is_none_or(|only| only == name.as_str()));
            let wanted = wanted.map(|(_, queue)| queue.id).collect();
            (Some(topic.1.take_uid()), wanted)
        }
    };
    let refuses = match route {
        Some(Route::Queue(queue)) => queue.takes_dead_letters.load(Ordering::Relaxed),
        _ => false,
    };
    if refuses && server.faults.strike(Fault::RefuseDeadLetter) {
        return Err(error::dead_letters_refused(name));
    }
    let mut places = Vec::with_capacity(targets.len());
    for target in targets {
        let at = open.binary_search_by_key(&target, |(known, _)| *known).map_err(|_| missing())?;
        let state = &open[at].1;
        if state.is_gone() {
            return Err(missing());
        }
        // Into its own queue it takes the room of what it replaces.
        if target != source && !state.has_room(message.weight()) {
            return Err(Error::new(ErrorKind::Full, "replace", "the target channel is full").with("channel", name));
        }
        places.push(at);
    }
    for at in places {
        let state = &mut open[at].1;
        let uid = uid.unwrap_or_else(|| state.take_uid());
        state.store_copy(message, uid, Entry::Plain, now, wakes);
    }
    Ok(())
}
