//! Dead letters, written down.

use pontoon_core::{DeadLetterInfo, Message};

use super::{Run, key_name};
use crate::history::{DeadLetter, Name, Payload, Seen, SourceName, What, hash_of, headers_hash};

/// Writes down a dead letter that was read.
pub(crate) fn found_dead(run: &Run, channel: &Name, message: &Message) {
    run.recorder().record(What::DeadLetter(Box::new(dead_letter(run, channel, message))));
}

fn dead_letter(run: &Run, channel: &Name, message: &Message) -> DeadLetter {
    let history = message.history();
    let unknown = DeadLetterInfo::unknown();
    let info = history.dead_letter.as_deref().unwrap_or(&unknown);
    let subscription = info.subscription.as_deref().map(Name::from);
    let source = info.channel.as_deref().map(|channel| SourceName { channel: channel.into(), subscription });
    let id = match Payload::read(run.number(), message) {
        Seen::Ours(id) | Seen::Corrupt(id) => Some(id),
        Seen::Foreign => None,
    };
    DeadLetter {
        channel: channel.clone(),
        source,
        id,
        message: message.id.to_string().into(),
        key: key_name(message.key.as_ref()),
        hash: hash_of(&message.body),
        headers: headers_hash(&message.headers),
        reason: info.reason,
        error_len: info.error.as_ref().map(|error| error.len() as u64),
        at_least: info.attempts.map(|attempts| attempts.at_least),
        at_most: info.attempts.and_then(|attempts| attempts.at_most),
        first_failure_ms: run.since_start(info.first_failure_ms),
        last_failure_ms: run.since_start(info.last_failure_ms),
        hops: history.hops,
    }
}
