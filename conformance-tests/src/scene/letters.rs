//! Reading dead letters.

use std::time::Duration;

use pontoon_core::engine::{Consumer, ConsumerOptions};
use pontoon_core::{DeadLetterInfo, Message, Moment, Retry, Source};

use super::{Broken, Held, Place, Scene};
use crate::history::{DeadLetter, Payload, Seen, SourceName, What, hash_of, headers_hash};

impl Scene {
    /// Takes so many dead letters of a place, with what they say of themselves. They are part of the history.
    ///
    /// # Errors
    /// `stall` when they do not come; `dlq-metadata` when one says nothing of itself.
    pub async fn bury(&self, place: &Place, count: usize) -> Held<Vec<(Message, DeadLetterInfo)>> {
        let Some(dead) = place.dead() else { return Err(Broken::indeterminate("no dead-letter channel is declared")) };
        let source = dead.source()?;
        let mut options = ConsumerOptions::default();
        options.retry = Retry::never();
        let graveyard = Consumer::open(self.transport(), source.clone(), options, &self.0.environment).await?;
        let mut all = Vec::new();
        while all.len() < count {
            let letter = match self.in_time("a dead letter", graveyard.next()).await? {
                Some(Ok(letter)) => letter,
                ended => return Err(Broken::new("stream-ended", format!("reading dead letters: {ended:?}"))),
            };
            let message = letter.message().clone();
            self.found_dead(&source, &message);
            let _ = letter.ack();
            let info = message.history().dead_letter.as_deref().cloned();
            let info = info.ok_or_else(|| Broken::new("dlq-metadata", "a dead letter says nothing of itself"))?;
            all.push((message, info));
        }
        let _ = graveyard.drain(Duration::from_secs(5)).await;
        Ok(all)
    }

    /// Writes down a dead letter that was read.
    pub(super) fn found_dead(&self, source: &Source, message: &Message) {
        // The engine's wall clock starts with the run.
        let start = self.0.environment.clock().wall_ms(Moment::ZERO);
        let since_start = |ms: u64| i64::try_from(i128::from(ms) - i128::from(start)).unwrap_or_default();
        let history = message.history();
        let info = history.dead_letter.as_deref();
        let id = match Payload::read(self.0.run, message) {
            Seen::Ours(id) | Seen::Corrupt(id) => Some(id),
            Seen::Foreign => None,
        };
        self.recorder().record(What::DeadLetter(Box::new(DeadLetter {
            channel: source.channel.name.as_str().into(),
            source: info.and_then(|info| info.channel.as_ref()).map(|from| SourceName {
                channel: from.as_str().into(),
                subscription: info.and_then(|info| info.subscription.as_ref()).map(|s| s.as_str().into()),
            }),
            id,
            message: message.id.to_string().into(),
            key: message.key.as_ref().map(|key| key.as_bytes().into()),
            hash: hash_of(&message.body),
            headers: headers_hash(&message.headers),
            reason: info.and_then(|info| info.reason),
            error_len: info.and_then(|info| info.error.as_ref()).map(|text| text.len() as u64),
            at_least: info.and_then(|info| info.attempts).map(|attempts| attempts.at_least),
            at_most: info.and_then(|info| info.attempts).and_then(|attempts| attempts.at_most),
            first_failure_ms: info.and_then(|info| info.first_failure_ms).map(since_start),
            last_failure_ms: info.and_then(|info| info.last_failure_ms).map(since_start),
            hops: history.hops,
        })));
    }
}
