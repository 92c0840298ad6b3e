//! [`DeadLetters`]: list, look at, and put back what could not be handled.
//!
//! Works on any transport through the driver traits: a dead-letter channel is a queue like any other, so looking is
//! receiving and giving back.

mod look;

use std::fmt;
use std::time::Duration;

use pontoon_core::driver::{Incoming, Token};
use pontoon_core::engine::{Publisher, PublisherOptions};
use pontoon_core::{
    Channel, DeadLetterInfo, Error, ErrorKind, History, Message, MessageId, ReasonKind, Result, Source,
};

use crate::Broker;
use look::{Look, MOST};

/// How often one message may be put back: beyond it something is wrong that a redrive cannot cure.
pub const MAX_REDRIVES: u8 = 16;

/// How many are put back before they are removed together.
const BATCH: usize = 64;

/// The dead letters of one queue or subscription: see [`Broker::dead_letters`].
///
/// Several channels may share a dead-letter channel; this view shows and moves only those of its own, and those that
/// the broker made without saying where they came from.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    broker: Broker,
    origin: Source,
    channel: Channel,
}

/// One dead letter.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    message: Message,
}

impl DeadLetter {
    /// The message: id, type, key, headers and body as they were.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.message.id
    }

    /// Why and from where it was dead-lettered; fields that nobody knows are `None`.
    #[must_use]
    pub fn info(&self) -> &DeadLetterInfo {
        const UNKNOWN: &DeadLetterInfo = &DeadLetterInfo::unknown();
        self.message.history().dead_letter.as_deref().unwrap_or(UNKNOWN)
    }

    /// Why it was dead-lettered.
    #[must_use]
    pub fn reason(&self) -> Option<ReasonKind> {
        self.info().reason
    }

    /// How often it was put back before.
    #[must_use]
    pub fn redrives(&self) -> u8 {
        self.message.history().hops
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id())?;
        match self.reason() {
            Some(reason) => write!(f, " {reason}")?,
            None => f.write_str(" (unknown reason)")?,
        }
        match &self.info().error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

/// What a redrive did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "some dead letters may have stayed"]
pub struct RedriveReport {
    /// Put back, confirmed, and removed here.
    pub redriven: u64,
    /// Left, because they were put back [`MAX_REDRIVES`] times before.
    pub exhausted: u64,
    /// Left, because their copy was not confirmed.
    pub failed: Vec<Error>,
    /// Put back and confirmed, but perhaps not removed here: they may be seen again.
    pub maybe_twice: u64,
}

impl fmt::Display for RedriveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedriveReport { redriven, exhausted, failed, maybe_twice } = self;
        write!(f, "redriven={redriven} exhausted={exhausted} failed={} maybe_twice={maybe_twice}", failed.len())
    }
}

impl DeadLetters {
    pub(crate) fn new(broker: Broker, origin: Source) -> Result<Self> {
        let Some(channel) = origin.channel.dead_letter_channel() else {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "open dead letters",
                "the channel declares no dead-letter channel",
            )
            .with("channel", &origin)
            .with_help("add `.dead_letter(\"…\")` to the channel"));
        };
        Ok(DeadLetters { broker, origin, channel })
    }

    /// The dead-letter channel.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Up to `limit` dead letters, at most 10,000, oldest first where the broker keeps order. They stay where they are;
    /// meanwhile other readers of the channel do not see them. Ends when nothing more comes for half a second and the
    /// broker, where it tells, has nothing more ready; ten seconds of silence are the end in any case.
    ///
    /// # Errors
    /// Of the transport.
    pub async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let limit = limit.min(MOST);
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let mut look = Look::open(&self.broker, &self.channel).await?;
        while found.len() < limit {
            let Some(incoming) = look.next().await? else { break };
            if self.is_ours(&incoming.message) {
                found.push(DeadLetter { message: incoming.message.clone() });
            }
            look.keep(incoming.token);
        }
        look.close().await?;
        Ok(found)
    }

    /// One dead letter by its id, among the first 10,000 of the channel. It stays where it is.
    ///
    /// # Errors
    /// Of the transport.
    pub async fn peek(&self, id: &MessageId) -> Result<Option<DeadLetter>> {
        let mut look = Look::open(&self.broker, &self.channel).await?;
        let mut found = None;
        while found.is_none() {
            let Some(incoming) = look.next().await? else { break };
            look.keep(incoming.token);
            if incoming.message.id == *id && self.is_ours(&incoming.message) {
                found = Some(DeadLetter { message: incoming.message });
            }
        }
        look.close().await?;
        Ok(found)
    }

    /// Puts one dead letter back into the channel it came from, with attempts at 1, the same id, key and headers; on a
    /// topic only for the subscription that could not handle it. It is removed here only after its copy is confirmed
    /// there. `redriven` is 0 when it is not among the first 10,000.
    ///
    /// # Errors
    /// As [`redrive_all`](Self::redrive_all).
    pub async fn redrive(&self, id: &MessageId) -> Result<RedriveReport> {
        self.move_back(|message| message.id == *id, true).await
    }

    /// Puts every dead letter of this view back, as [`redrive`](Self::redrive) does with one. What arrives while it
    /// runs may be put back too; a message is put back at most [`MAX_REDRIVES`] times in its life.
    ///
    /// # Errors
    /// Of the transport; what was not confirmed stays where it was.
    pub async fn redrive_all(&self) -> Result<RedriveReport> {
        self.move_back(|_| true, false).await
    }

    fn is_ours(&self, message: &Message) -> bool {
        let info = message.history().dead_letter.as_deref();
        let channel = info.and_then(|info| info.channel.as_deref());
        let subscription = info.and_then(|info| info.subscription.as_deref());
        let own = self.origin.subscription.as_ref().map(|subscription| subscription.name.as_str());
        channel.is_none_or(|name| name == self.origin.channel.name.as_str())
            && (subscription.is_none() || subscription == own)
    }

    /// The copy that is put back: a new life of the same message.
    fn again(&self, message: Message) -> Message {
        let history = History {
            hops: message.history().hops + 1,
            // The other subscriptions of a topic had theirs.
            only_for: self.origin.subscription.as_ref().map(|subscription| subscription.name.text().clone()),
            ..History::default()
        };
        message.without_delay().with_history(history)
    }

    async fn move_back(&self, chosen: impl Fn(&Message) -> bool, one: bool) -> Result<RedriveReport> {
        let transport = self.broker.transport();
        let options = PublisherOptions::default();
        let publisher =
            Publisher::open(transport, self.origin.channel.clone(), options, self.broker.environment()).await?;
        let mut look = Look::open(&self.broker, &self.channel).await?;
        let mut report = RedriveReport::default();
        let mut batch: Vec<(Token, Message)> = Vec::new();
        loop {
            let incoming = look.next().await?;
            let last = incoming.is_none();
            if let Some(Incoming { token, message, .. }) = incoming {
                if !self.is_ours(&message) || !chosen(&message) {
                    look.keep(token);
                } else if message.history().hops >= MAX_REDRIVES {
                    report.exhausted += 1;
                    look.keep(token);
                } else {
                    batch.push((token, self.again(message)));
                }
            }
            let found = one && (!batch.is_empty() || report.exhausted > 0);
            if last || found || batch.len() >= BATCH {
                put_back(&publisher, &mut look, std::mem::take(&mut batch), &mut report).await?;
            }
            if last || found {
                break;
            }
        }
        look.close().await?;
        let _ = publisher.close(Duration::ZERO).await;
        Ok(report)
    }
}

async fn put_back(
    publisher: &Publisher,
    look: &mut Look,
    batch: Vec<(Token, Message)>,
    report: &mut RedriveReport,
) -> Result<()> {
    let (tokens, copies): (Vec<Token>, Vec<Message>) = batch.into_iter().unzip();
    let outcomes = publisher.publish_all(copies).await.into_outcomes();
    let mut confirmed = 0;
    for (token, outcome) in tokens.into_iter().zip(outcomes) {
        match outcome {
            Ok(_) if look.remove(token) => confirmed += 1,
            Ok(_) => report.maybe_twice += 1,
            Err(error) => {
                report.failed.push(error.error().clone());
                look.keep(token);
            }
        }
    }
    let late = look.flush().await?;
    report.redriven += confirmed - late.min(confirmed);
    report.maybe_twice += late.min(confirmed);
    Ok(())
}
