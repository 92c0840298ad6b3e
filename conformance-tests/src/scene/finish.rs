//! The end of a run: everything is closed and read to its end, then the history is judged.

use std::time::Duration;

use pontoon_core::driver::{AnyTransport, DepthReport};
use pontoon_core::engine::{Consumer, ConsumerOptions};
use pontoon_core::{Channel, DeadLetterPolicy, ErrorKind, Source};
use tokio::time::{Instant, timeout};

use super::{Broken, Held, Place, Scene, Used, depth_of};
use crate::history::{DrainEnd, SourceName, What};

/// How long one handle may take to close.
const CLOSE: Duration = Duration::from_secs(10);

impl Scene {
    /// Closes what the check opened and reads what is left, through a connection that no mutant touches. Then the
    /// history is judged.
    pub(crate) async fn finish(&self) -> Held {
        self.heal().await?;
        let Used { places, readers, senders, judgement, policies, .. } = std::mem::take(&mut *self.used());
        if judgement.none {
            return Ok(());
        }
        for sender in senders {
            let _ = timeout(CLOSE * 2, sender.close(CLOSE)).await;
        }
        for reader in readers {
            let _ = timeout(CLOSE * 2, reader.consumer().drain(CLOSE)).await;
        }
        let transport = self.0.site.connect().await?;
        for place in &places {
            self.drain(&transport, place).await?;
        }
        let mut dead: Vec<Place> = places.iter().filter_map(Place::dead).collect();
        dead.sort_by_key(Place::label);
        dead.dedup_by_key(|place| place.label());
        for place in &dead {
            if !places.iter().any(|known| known.label() == place.label()) {
                self.read_dead_letters(&transport, place).await?;
            }
        }
        self.judged(&places, &policies)
    }

    /// Reads a source to its end. What is still there is *left*: held by the broker, not lost.
    async fn drain(&self, transport: &AnyTransport, place: &Place) -> Held {
        let (source, recorder) = (place.source()?, self.recorder());
        let name = SourceName::from(&source);
        let end = self
            .empty(transport, &source, |message| {
                recorder.record(What::Left { source: name.clone(), message: message.id.to_string().into() });
            })
            .await?;
        recorder.record(What::Drained { source: name, end });
        Ok(())
    }

    async fn read_dead_letters(&self, transport: &AnyTransport, place: &Place) -> Held {
        let (source, recorder) = (place.source()?, self.recorder());
        let end = self.empty(transport, &source, |message| self.found_dead(&source, message)).await?;
        recorder.record(What::Drained { source: SourceName::from(&source), end });
        Ok(())
    }

    /// Takes everything out of a source, delayed messages included.
    async fn empty(
        &self,
        transport: &AnyTransport,
        source: &Source,
        mut each: impl FnMut(&pontoon_core::Message),
    ) -> Held<DrainEnd> {
        let mut options = ConsumerOptions::default();
        options.retry = pontoon_core::Retry::never();
        let environment = self.run().environment().clone();
        let mut opened = Consumer::open(transport, source.clone(), options.clone(), &environment).await;
        if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict) {
            // A mutant declared it otherwise: it is read as it stands.
            let mut channel = Channel::existing(source.channel.name.text().clone(), source.channel.kind)?;
            channel.dead_letter = DeadLetterPolicy::Discard;
            let source = Source::new(channel, source.subscription.clone())?;
            opened = Consumer::open(transport, source, options, &environment).await;
        }
        let consumer = match opened {
            Ok(consumer) => consumer,
            // A channel that the check deleted holds nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(DrainEnd::Empty),
            Err(error) => return Err(Broken::indeterminate(format!("{source} cannot be read to its end: {error}"))),
        };
        let deadline = Instant::now() + self.timings().patience() * 3;
        // Where the broker does not tell what is delayed, silence means nothing before the last delay is over.
        let mut quiet_since = Instant::now() + self.longest_delay();
        let end = loop {
            match timeout(self.timings().quiet() / 10, consumer.next()).await {
                Ok(Some(Ok(delivery))) => {
                    each(delivery.message());
                    let _ = delivery.ack();
                    quiet_since = Instant::now();
                    continue;
                }
                Ok(_) => return Err(Broken::indeterminate(format!("reading {source} to its end broke off"))),
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                break DrainEnd::Deadline;
            }
            match depth_of(transport, source).await.unwrap_or_default() {
                Some(depth) if depth.exact && is_empty(depth) => break DrainEnd::Empty,
                Some(depth) if depth.exact => {}
                _ if quiet_since.elapsed() >= self.timings().quiet() => break DrainEnd::Quiet,
                _ => {}
            }
        };
        let _ = timeout(CLOSE * 2, consumer.drain(CLOSE)).await;
        Ok(end)
    }
}

impl Scene {
    /// How long it may take until the last message with a delay comes that is worth waiting for: a tenth longer than was
    /// asked for, as far as any profile rounds.
    fn longest_delay(&self) -> Duration {
        let history = self.recorder().history();
        let patience = self.timings().patience().as_nanos();
        let dues = history.events().iter().filter_map(|event| match &event.what {
            What::Publish(publish) => {
                let delay = publish.due?.saturating_sub(event.at);
                (u128::from(delay) <= patience).then(|| event.at + delay + delay / 10)
            }
            _ => None,
        });
        Duration::from_nanos(dues.max().unwrap_or(0).saturating_sub(self.recorder().now()))
    }
}

fn is_empty(depth: DepthReport) -> bool {
    depth.ready + depth.delayed.unwrap_or(0) + depth.in_flight.unwrap_or(0) == 0
}
