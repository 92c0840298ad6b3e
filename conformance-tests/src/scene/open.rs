//! Opening publishers and consumers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pontoon_core::Retry;
use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{ConsumerOptions, PublisherOptions};

use super::{Held, Place, Reader, Scene, Sender};

impl Scene {
    /// A publisher that writes down what it does. Declares the channel, and the subscription of a topic.
    ///
    /// # Errors
    /// Of opening.
    pub async fn publisher(&self, place: &Place) -> Held<Sender> {
        self.publisher_with(place, |_| {}).await
    }

    /// As [`publisher`](Self::publisher), with options.
    ///
    /// # Errors
    /// Of opening.
    pub async fn publisher_with(&self, place: &Place, change: impl FnOnce(&mut PublisherOptions)) -> Held<Sender> {
        self.publisher_on(&self.0.transport, place, change).await
    }

    /// As [`publisher_with`](Self::publisher_with), on another connection.
    ///
    /// # Errors
    /// Of opening.
    pub async fn publisher_on(
        &self,
        transport: &AnyTransport,
        place: &Place,
        change: impl FnOnce(&mut PublisherOptions),
    ) -> Held<Sender> {
        self.declare(place).await?;
        let mut options = PublisherOptions::default();
        change(&mut options);
        let number = self.0.publishers.fetch_add(1, Ordering::Relaxed);
        let sender = Sender::open(self, transport, place, options, number).await?;
        self.used().senders.push(sender.clone());
        Ok(sender)
    }

    /// A consumer that writes down what it does.
    ///
    /// # Errors
    /// Of opening.
    pub async fn consumer(&self, place: &Place) -> Held<Reader> {
        self.consumer_with(place, |_| {}).await
    }

    /// As [`consumer`](Self::consumer), with options. Retries wait 100 ms unless these say otherwise.
    ///
    /// # Errors
    /// Of opening.
    pub async fn consumer_with(&self, place: &Place, change: impl FnOnce(&mut ConsumerOptions)) -> Held<Reader> {
        self.consumer_on(&self.0.transport, place, change).await
    }

    /// As [`consumer_with`](Self::consumer_with), on another connection.
    ///
    /// # Errors
    /// Of opening.
    pub async fn consumer_on(
        &self,
        transport: &AnyTransport,
        place: &Place,
        change: impl FnOnce(&mut ConsumerOptions),
    ) -> Held<Reader> {
        self.declare(place).await?;
        let mut options = ConsumerOptions::default();
        options.retry = Retry::fixed(Duration::from_millis(100)).jitter(0.0).attempts(10);
        options.longest_read = Duration::from_secs(1);
        change(&mut options);
        self.used().policies.push((place.channel.name.to_string(), options.retry));
        let number = self.0.consumers.fetch_add(1, Ordering::Relaxed);
        let reader = Reader::open(self, transport, place, options, number).await?;
        self.used().readers.push(reader.clone());
        Ok(reader)
    }
}
