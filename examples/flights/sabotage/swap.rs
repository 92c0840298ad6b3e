//! A message changes places with the next one of its key.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pontoon_core::driver::{CompletionSink, Completions, MessageBatch, Ticket};
use pontoon_core::{Key, Message, PublishOutcome, Receipt};
use tokio::time::{Instant, Sleep, sleep};

use super::Choice;

/// How long a message waits for the next one of its key: it may be the last.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct Swap {
    choice: Arc<Choice>,
    lies: Arc<Lies>,
    held: HashMap<Key, (Ticket, Message)>,
    patience: Pin<Box<Sleep>>,
}

/// Stands between the transport and the engine, which heard of a held message's confirm too early, and must not hear
/// the true one.
struct Lies {
    inner: Completions,
    told: Mutex<HashSet<Ticket>>,
}

impl Lies {
    fn told(&self) -> MutexGuard<'_, HashSet<Ticket>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CompletionSink for Lies {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        {
            let mut told = self.told();
            outcomes.retain(|(ticket, _)| !told.remove(ticket));
        }
        self.inner.complete(outcomes);
    }
}

impl Swap {
    pub(super) fn new(choice: Arc<Choice>, completions: &mut Completions) -> Self {
        let lies = Arc::new(Lies { inner: completions.clone(), told: Mutex::default() });
        *completions = Completions::new(lies.clone());
        Swap { choice, lies, held: HashMap::new(), patience: Box::pin(sleep(PATIENCE)) }
    }

    pub(super) fn meet(&mut self, ticket: Ticket, message: Message, onward: &mut MessageBatch) {
        let Some(key) = message.key.clone() else {
            return onward.push(ticket, message);
        };
        if let Some((earlier, held)) = self.held.remove(&key) {
            onward.push(ticket, message);
            onward.push(earlier, held);
        } else if self.choice.next() {
            // Confirmed at once: an engine that sends one message of a key at a time would never send the next.
            self.held.insert(key, (ticket, message));
            self.patience.as_mut().reset(Instant::now() + PATIENCE);
            self.lies.inner.complete(&mut vec![(ticket, PublishOutcome::Confirmed(Receipt::default()))]);
            self.lies.told().insert(ticket);
        } else {
            onward.push(ticket, message);
        }
    }

    /// Lets go of what waited in vain.
    pub(super) fn poll_patience(&mut self, cx: &mut Context<'_>, onward: &mut MessageBatch) {
        if !self.held.is_empty()
            && let Poll::Ready(()) = self.patience.as_mut().poll(cx)
        {
            self.release(onward);
        }
    }

    pub(super) fn release(&mut self, onward: &mut MessageBatch) {
        for (_, (ticket, message)) in self.held.drain() {
            onward.push(ticket, message);
        }
    }
}
