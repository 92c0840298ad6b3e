//! Makes the successor of a message: its retry copy, or its dead letter.

use std::sync::Arc;

use super::slots::{Purpose, Trouble};
use crate::{Attempt, DeadLetterInfo, Delay, History, Message, Text, bounded_error_text};

/// The successor. Id, type, key, headers, content type and body stay as they are.
pub(super) fn make(
    message: &Message,
    purpose: Purpose,
    trouble: &Trouble,
    attempt: Attempt,
    channel: &Text,
    subscription: Option<&Text>,
) -> Message {
    let history = message.history();
    let copy = message.clone().without_delay().without_ttl();
    // Only what was really seen: a broker that counted earlier failures does not tell when they were.
    let first = match (history.first_failure_ms, history.failures) {
        (0, 0) if attempt.at_least <= 1 + trouble.failures => Some(trouble.first_failure_ms),
        (0, _) => None,
        (known, _) => Some(known),
    };
    let maybe_duplicate = history.maybe_duplicate;
    match purpose {
        Purpose::DeadLetter(reason) => {
            let info = DeadLetterInfo {
                reason: Some(reason),
                error: (!trouble.error.is_empty()).then(|| bounded_error_text(&trouble.error)),
                channel: Some(channel.clone()),
                subscription: subscription.cloned(),
                attempts: Some(attempt),
                first_failure_ms: first,
                last_failure_ms: Some(trouble.last_failure_ms),
            };
            let dead_letter = Some(Arc::new(info));
            copy.with_history(History { hops: history.hops, maybe_duplicate, dead_letter, ..History::default() })
        }
        Purpose::Retry { after } => {
            let copy = copy.with_history(History {
                failures: attempt.at_least,
                deliveries: attempt.at_most,
                first_failure_ms: first.unwrap_or(0),
                only_for: subscription.cloned(),
                maybe_duplicate,
                hops: history.hops,
                dead_letter: None,
            });
            if after.is_zero() { copy } else { copy.with_delay(Delay::For(after)) }
        }
    }
}
