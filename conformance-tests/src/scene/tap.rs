//! Between the engine's events and what is written down.

use std::sync::Arc;

use pontoon_core::{Event, EventHook, EventKind};

use super::Events;

/// The event hook of one handle: first the check hears, then the record.
pub(super) struct Tap {
    pub(super) events: Events,
    pub(super) record: Arc<dyn EventHook>,
}

impl EventHook for Tap {
    fn wants(&self, kind: EventKind) -> bool {
        self.events.wants(kind)
    }

    fn on_event(&self, event: &Event<'_>) {
        // What a mutant keeps from the application, the history must not know either.
        if self.events.hear(event) && self.record.wants(event.kind()) {
            self.record.on_event(event);
        }
    }
}
