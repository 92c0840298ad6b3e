//! Reading dead letters.

use std::time::Duration;

use pontoon_core::engine::{Consumer, ConsumerOptions};
use pontoon_core::{DeadLetterInfo, Message, Retry, Source};

use super::{Broken, Held, Place, Scene};
use crate::tap::found_dead;

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
        let graveyard = Consumer::open(self.transport(), source.clone(), options, self.run().environment()).await?;
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
        found_dead(self.run(), &source.channel.name.as_str().into(), message);
    }
}
