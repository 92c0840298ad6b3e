//! What the state machine tells the event hook, owned until the shell may call it.

use std::time::Duration;

use crate::engine::Environment;
use crate::{Attempt, Error, Event, EventHook, EventKind, MessageId, ReasonKind, Source, Text};

/// Which notes anybody wants: asked once, so that nobody pays for events that no one hears.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    pub(crate) delivered: bool,
    pub(crate) settled: bool,
    pub(crate) retried: bool,
    /// Everything that does not happen for every message.
    pub(crate) rare: bool,
}

impl Wants {
    pub(crate) fn of(env: &Environment) -> Self {
        let wants = |kind| env.hook_for(kind).is_some();
        let common = [EventKind::Delivered, EventKind::Settled, EventKind::Retried];
        Wants {
            delivered: wants(EventKind::Delivered),
            settled: wants(EventKind::Settled),
            retried: wants(EventKind::Retried),
            rare: EventKind::ALL.iter().any(|kind| !common.contains(kind) && wants(*kind)),
        }
    }
}

/// An event about one message, without the source that the shell adds.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    Delivered { id: MessageId, attempt: Attempt },
    Settled { id: MessageId, released: bool },
    Retried { id: MessageId, attempt: Attempt, after: Duration, error: Text },
    DeadLettered { id: MessageId, reason: ReasonKind, attempt: Attempt },
    SuccessorFailed { id: MessageId, error: Error },
    LeaseLost { id: MessageId },
    Stale { id: MessageId },
    Dropped { id: MessageId, reason: Option<ReasonKind> },
    OrderSpilled { id: MessageId },
    Abandoned { id: MessageId },
}

impl Note {
    /// Tells the hook.
    pub(crate) fn tell(&self, hook: &dyn EventHook, source: &Source) {
        let event = match self {
            Note::Delivered { id, attempt } => Event::Delivered { source, id, attempt: *attempt },
            Note::Settled { id, released } => Event::Settled { source, id, released: *released },
            Note::Retried { id, attempt, after, error } => {
                Event::Retried { source, id, attempt: *attempt, after: *after, error }
            }
            Note::DeadLettered { id, reason, attempt } => {
                Event::DeadLettered { source, id, reason: *reason, attempt: *attempt }
            }
            Note::SuccessorFailed { id, error } => Event::SuccessorFailed { source, id, error },
            Note::LeaseLost { id } => Event::LeaseLost { source, id },
            Note::Stale { id } => Event::Stale { source, id },
            Note::Dropped { id, reason } => Event::Dropped { source, id, reason: *reason },
            Note::OrderSpilled { id } => Event::OrderSpilled { source, id },
            Note::Abandoned { id } => Event::Abandoned { source, id },
        };
        if hook.wants(event.kind()) {
            hook.on_event(&event);
        }
    }
}
