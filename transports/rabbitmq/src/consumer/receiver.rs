//! The receiving half of one generation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::BasicCancelOptions;
use pontoon_core::Result;
use pontoon_core::driver::{Inbox, Incoming, Receiver, Token};
use tokio::sync::mpsc::UnboundedReceiver;

use super::member::{News, WITHIN};
use super::reading::Reading;
use super::shared::{LOST, Shared};
use crate::live::Link;
use crate::wire;

/// The receiving half of one generation.
pub struct RabbitReceiver {
    shared: Arc<Shared>,
    /// Wakes this when the connection is lost.
    link: Arc<Link>,
    feeds: Vec<Feed>,
    /// Which one is asked first next time.
    next: usize,
    /// Of shards that are taken and given up.
    news: Option<UnboundedReceiver<News>>,
    stopping: Option<Pin<Box<dyn Future<Output = lapin::Result<()>> + Send>>>,
    stopped: bool,
}

/// What comes from one queue.
struct Feed {
    reading: Arc<Reading>,
    deliveries: lapin::Consumer,
    held: bool,
    /// It is given up: what it brings is left for the next consumer.
    leaving: bool,
    /// Nothing more comes.
    ended: bool,
}

impl Feed {
    fn new(reading: Arc<Reading>, deliveries: lapin::Consumer) -> Self {
        Feed { reading, deliveries, held: false, leaving: false, ended: false }
    }

    fn leave(&mut self) {
        self.leaving = true;
        self.reading.tags().leave();
    }
}

impl RabbitReceiver {
    pub(super) fn new(
        shared: Arc<Shared>,
        feeds: Vec<(Arc<Reading>, lapin::Consumer)>,
        news: Option<UnboundedReceiver<News>>,
    ) -> Self {
        let feeds = feeds.into_iter().map(|(reading, deliveries)| Feed::new(reading, deliveries)).collect();
        let link = shared.live.link();
        RabbitReceiver { shared, link, feeds, next: 0, news, stopping: None, stopped: false }
    }

    /// Takes what has arrived, at most so many; beginning with another queue each time, so that none waits for ever.
    ///
    /// # Errors
    /// When a channel is lost.
    fn take(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Result<usize> {
        let (shared, count) = (&self.shared, self.feeds.len());
        let mut taken = 0;
        for step in 0..count {
            let feed = &mut self.feeds[(self.next + step) % count];
            while taken < max && !feed.held && !feed.leaving && !feed.ended {
                match Pin::new(&mut feed.deliveries).poll_next(cx) {
                    Poll::Ready(Some(Ok(delivery))) => {
                        feed.reading.tags().delivered(delivery.delivery_tag);
                        into.message(incoming(delivery, feed.reading.number, shared));
                        taken += 1;
                    }
                    Poll::Ready(Some(Err(cause))) => return Err(shared.failed("receive", cause)),
                    Poll::Ready(None) => feed.ended = true,
                    Poll::Pending => break,
                }
            }
        }
        self.next = (self.next + 1) % count.max(1);
        Ok(taken)
    }

    /// Hears which shards were taken and given up; how many arrivals that made.
    ///
    /// # Errors
    /// When the member failed.
    fn hear(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Result<usize> {
        let (Some(news), generation) = (&mut self.news, self.shared.generation) else { return Ok(0) };
        let mut arrivals = 0;
        while let Poll::Ready(Some(word)) = news.poll_recv(cx) {
            match word {
                News::Taken(reading, deliveries) => self.feeds.push(Feed::new(reading, deliveries)),
                News::Leaving(number) => {
                    let leaving = self.feeds.iter_mut().filter(|feed| feed.reading.number == number);
                    leaving.for_each(Feed::leave);
                    into.revoking(number, generation, WITHIN);
                    arrivals += 1;
                }
                News::Left(number) => {
                    self.feeds.retain(|feed| feed.reading.number != number);
                    into.revoked(number, generation);
                    arrivals += 1;
                }
                News::Failed(error) => return Err(error),
            }
        }
        Ok(arrivals)
    }

    /// Whether the broker ended a consumer that is not being given up.
    fn is_ended(&self) -> bool {
        self.feeds.iter().any(|feed| feed.ended && !feed.reading.tags().is_closed())
    }

    /// Cancels: the broker hands out nothing more, and what is out stays out.
    fn cancel(&self) -> Pin<Box<dyn Future<Output = lapin::Result<()>> + Send>> {
        let feeds = self.feeds.iter().map(|feed| (feed.reading.clone(), feed.deliveries.tag()));
        let feeds: Vec<_> = feeds.collect();
        Box::pin(async move {
            for (reading, tag) in feeds {
                reading.line.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
            }
            Ok(())
        })
    }
}

fn incoming(delivery: Delivery, source: u32, shared: &Shared) -> Incoming {
    let token = Token { position: delivery.delivery_tag, source, generation: shared.generation };
    let (read, failed) = wire::read(&delivery.properties, delivery.data);
    let mut incoming = Incoming::new(token, read.message);
    // What was never given back has no count on it.
    incoming.deliveries = match failed {
        Some(failed) => Some(failed.saturating_add(1)),
        None => shared.counts.then_some(1),
    };
    incoming.undecodable = read.problem;
    incoming.expired = crate::ttl::is_over(&incoming.message);
    incoming
}

impl Receiver for RabbitReceiver {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>> {
        self.link.watch(cx.waker());
        let heard = self.hear(cx, into)?;
        match self.take(cx, into, max) {
            Ok(0) if self.is_ended() => {
                // Its queue is gone, or moved: opening again declares it, or says why not.
                Poll::Ready(Err(self.shared.ended("receive", "RabbitMQ ended the consumer")))
            }
            Ok(0) if self.shared.live.is_lost() => Poll::Ready(Err(self.shared.ended("receive", LOST))),
            Ok(0) if heard == 0 => Poll::Pending,
            Ok(_) => Poll::Ready(Ok(())),
            // What came before it was lost with the channel.
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn hold(&mut self, source: u32, held: bool) {
        self.feeds.iter_mut().filter(|feed| feed.reading.number == source).for_each(|feed| feed.held = held);
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<Result<()>> {
        if self.stopped {
            return Poll::Ready(Ok(()));
        }
        if self.shared.ordered {
            // Once cancelled, another consumer would be given what comes after the messages that are still worked on
            // here. The queue is kept, unread, until the settler closes.
            if let Some(crew) = &self.shared.crew {
                crew.stop();
            }
            self.feeds.iter_mut().for_each(Feed::leave);
            self.stopped = true;
            return Poll::Ready(Ok(()));
        }
        self.link.watch(cx.waker());
        if self.stopping.is_none() {
            self.feeds.iter_mut().for_each(|feed| feed.held = false);
            self.stopping = Some(self.cancel());
        }
        if let Some(stopping) = &mut self.stopping
            && let Poll::Ready(ended) = stopping.as_mut().poll(cx)
        {
            self.stopping = Some(Box::pin(std::future::pending()));
            if let Err(cause) = ended {
                self.stopped = true;
                return Poll::Ready(Err(self.shared.failed("stop", cause)));
            }
        }
        let taken = self.take(cx, into, usize::MAX);
        self.stopped = taken.is_err() || self.feeds.iter().all(|feed| feed.ended);
        if self.stopped {
            return Poll::Ready(taken.map(drop));
        }
        if self.shared.live.is_lost() {
            self.stopped = true;
            return Poll::Ready(Err(self.shared.ended("stop", LOST)));
        }
        Poll::Pending
    }
}

impl fmt::Debug for RabbitReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RabbitReceiver")
    }
}
