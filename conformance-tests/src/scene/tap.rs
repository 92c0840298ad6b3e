//! Between the engine's events and what is written down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pontoon_core::{Event, EventHook, EventKind, MessageId};

use super::Events;
use crate::history::{Answer, Handle, LeaseId, Recorder, SourceName, What};

/// Which lease a consumer last had of each message.
pub(super) type Leases = Arc<Mutex<HashMap<MessageId, LeaseId>>>;

/// The event hook of one handle.
pub(super) struct Tap {
    pub(super) events: Events,
    pub(super) recorder: Recorder,
    pub(super) handle: Handle,
    pub(super) leases: Leases,
}

impl Tap {
    fn lease(&self, id: &MessageId) -> Option<LeaseId> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    fn translate(&self, event: &Event<'_>) -> Option<What> {
        Some(match event {
            Event::Disconnected { .. } => What::Disconnected { handle: self.handle },
            Event::Reconnected { .. } => What::Connected { handle: self.handle },
            Event::LeaseLost { id, .. } => What::LeaseLost { lease: self.lease(id)? },
            Event::Stale { id, .. } => What::Late { lease: self.lease(id)?, answer: Answer::Stale },
            Event::DeadLettered { source, id, reason, .. } => What::DeadLettered {
                source: SourceName::from(*source),
                message: id.to_string().into(),
                reason: Some(*reason),
            },
            Event::Dropped { source, id, reason } => {
                What::Dropped { source: SourceName::from(*source), message: id.to_string().into(), reason: *reason }
            }
            Event::OrderSpilled { source, id } => {
                What::Spilled { source: SourceName::from(*source), message: id.to_string().into() }
            }
            _ => return None,
        })
    }
}

impl EventHook for Tap {
    fn wants(&self, kind: EventKind) -> bool {
        self.events.wants(kind)
    }

    fn on_event(&self, event: &Event<'_>) {
        // What a mutant keeps from the application, the history must not know either.
        if self.events.hear(event)
            && let Some(what) = self.translate(event)
        {
            self.recorder.record(what);
        }
    }
}
