//! A transport that breaks one promise on purpose, so that the judge can be seen to notice.
//!
//! It wraps any transport, touches one channel only, and changes nothing but messages: handlers, journal and figures
//! know nothing of it.

mod dup;
mod lose;
mod producer;
mod settler;
mod swap;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pontoon_core::driver::{
    AnyReceiver, AnyTransport, Ensure, Extensions, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer,
    Transport,
};
use pontoon_core::{Capabilities, Channel, Result};

use producer::{Tamper, TamperedProducer};
use settler::TamperedSettler;

use super::args::Sabotage;

/// One message in so many is touched: often enough that every run has several, rarely enough that most pass.
const ONE_IN: usize = 25;

/// Wraps a transport so that it breaks this promise on the channel of this name.
#[must_use]
pub(crate) fn wrap(inner: AnyTransport, how: Sabotage, channel: &str, seed: u64) -> AnyTransport {
    let choice = Arc::new(Choice::new(seed));
    AnyTransport::new(Saboteur { inner, how, channel: channel.to_owned(), choice })
}

/// Chooses every `ONE_IN`th, from a seeded beginning: by count and not by chance, so that it always has an effect.
#[derive(Debug)]
struct Choice(AtomicUsize);

impl Choice {
    fn new(seed: u64) -> Self {
        Choice(AtomicUsize::new(fastrand::Rng::with_seed(seed).usize(0..ONE_IN)))
    }

    fn next(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) % ONE_IN == ONE_IN - 1
    }
}

struct Saboteur {
    inner: AnyTransport,
    how: Sabotage,
    channel: String,
    choice: Arc<Choice>,
}

impl Saboteur {
    fn touches(&self, channel: &Channel) -> bool {
        channel.name.as_str() == self.channel
    }
}

impl Transport for Saboteur {
    type Producer = TamperedProducer;
    type Receiver = AnyReceiver;
    type Settler = TamperedSettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        self.inner.capabilities(channel)
    }

    async fn ensure(&self, what: &Ensure) -> Result<()> {
        self.inner.ensure(what).await
    }

    async fn open_producer(&self, mut how: OpenProducer) -> Result<OpenedProducer<TamperedProducer>> {
        let tamper = match self.how {
            Sabotage::Lose if self.touches(&how.channel) => Tamper::lose(&self.choice, how.completions.clone()),
            Sabotage::Swap if self.touches(&how.channel) => Tamper::swap(&self.choice, &mut how.completions),
            _ => Tamper::Nothing,
        };
        let OpenedProducer { producer, capabilities, .. } = self.inner.open_producer(how).await?;
        Ok(OpenedProducer::new(TamperedProducer::new(producer, tamper), capabilities))
    }

    async fn open_consumer(&self, how: OpenConsumer) -> Result<OpenedConsumer<AnyReceiver, TamperedSettler>> {
        let again = (self.how == Sabotage::Dup && self.touches(&how.source.channel)).then(|| self.choice.clone());
        let OpenedConsumer { receiver, settler, capabilities, lease, .. } = self.inner.open_consumer(how).await?;
        let opened = OpenedConsumer::new(receiver, TamperedSettler::new(settler, again), capabilities);
        Ok(match lease {
            Some(lease) => opened.with_lease(lease),
            None => opened,
        })
    }

    fn extensions(&self) -> Extensions {
        self.inner.extensions()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
