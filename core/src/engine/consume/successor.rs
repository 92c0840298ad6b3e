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
    match purpose {
        Purpose::DeadLetter(reason) => {
            let info = DeadLetterInfo {
                reason: Some(reason),
                error: (!trouble.error.is_empty()).then(|| bounded_error_text(&trouble.error)),
                channel: Some(channel.clone()),
                subscription: subscription.cloned(),
                attempts: Some(attempt),
                first_failure_ms: Some(trouble.first_failure_ms),
                last_failure_ms: Some(trouble.last_failure_ms),
            };
            copy.with_history(History { hops: history.hops, dead_letter: Some(Arc::new(info)), ..History::default() })
        }
        Purpose::Retry { after } => {
            let copy = copy.with_history(History {
                failures: attempt.at_least,
                deliveries: attempt.at_most,
                hops: history.hops,
                ..History::default()
            });
            if after.is_zero() { copy } else { copy.with_delay(Delay::For(after)) }
        }
    }
}
