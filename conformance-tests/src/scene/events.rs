//! What the event hook heard.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pontoon_core::{Event, EventHook, EventKind, MessageId, ReasonKind};
use tokio::time::Instant;

use crate::mutants::Defect;

/// One event, as far as checks look at it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What kind.
    pub kind: EventKind,
    /// Of which message.
    pub id: Option<MessageId>,
    /// Why, where it says.
    pub reason: Option<ReasonKind>,
    /// The error's or the event's own words.
    pub words: String,
    /// How long a retry waits, where it says.
    pub after: Option<Duration>,
    /// When.
    pub at: Instant,
}

/// An event hook that keeps everything. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Events {
    heard: Arc<Mutex<Vec<Heard>>>,
    defect: Arc<dyn Defect>,
}

impl Events {
    pub(super) fn new(defect: Arc<dyn Defect>) -> Self {
        Events { heard: Arc::default(), defect }
    }

    /// All of this kind, in order.
    #[must_use]
    pub fn of(&self, kind: EventKind) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|one| one.kind == kind).cloned().collect()
    }
}

impl EventHook for Events {
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn on_event(&self, event: &Event<'_>) {
        self.hear(event);
    }
}

impl Events {
    /// Keeps an event; says whether a mutant let it pass.
    pub(super) fn hear(&self, event: &Event<'_>) -> bool {
        if !self.defect.tells(event) {
            return false;
        }
        let mut heard =
            Heard { kind: event.kind(), id: None, reason: None, words: String::new(), after: None, at: Instant::now() };
        match event {
            Event::Published { id, .. }
            | Event::Delivered { id, .. }
            | Event::Settled { id, .. }
            | Event::LeaseLost { id, .. }
            | Event::Stale { id, .. }
            | Event::Abandoned { id, .. }
            | Event::OrderSpilled { id, .. } => heard.id = Some((*id).clone()),
            Event::PublishFailed { id, error, .. } | Event::SuccessorFailed { id, error, .. } => {
                heard.id = Some((*id).clone());
                heard.words = error.to_string();
            }
            Event::Retried { id, after, error, .. } => {
                heard.id = Some((*id).clone());
                heard.after = Some(*after);
                heard.words = (*error).to_owned();
            }
            Event::DeadLettered { id, reason, .. } => {
                heard.id = Some((*id).clone());
                heard.reason = Some(*reason);
            }
            Event::Dropped { id, reason, .. } => {
                heard.id = Some((*id).clone());
                heard.reason = *reason;
            }
            Event::Disconnected { error, .. } | Event::Degraded { error, .. } => heard.words = error.to_string(),
            _ => {}
        }
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
        true
    }
}
