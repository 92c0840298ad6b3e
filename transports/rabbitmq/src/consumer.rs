//! The consuming half: one channel, on which deliveries come and settlements go.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use pontoon_core::driver::{Disposition, Inbox, Incoming, Late, Receiver, Settled, Settler, Token};
use pontoon_core::{Error, Result};

use crate::connection::{self, Connections};
use crate::error;
use crate::live::{Line, Link};
use crate::tags::{Tags, Tell};
use crate::wire;

/// What happened to what was open on the connection.
const LOST: &str = "the connection to RabbitMQ was lost";

type Step = Pin<Box<dyn Future<Output = lapin::Result<()>> + Send>>;

/// What both halves share.
struct Shared {
    line: Line,
    connections: Arc<Connections>,
    generation: u32,
    /// What each of its consumers was opened with.
    prefetch: u16,
    /// Whether the broker counts deliveries of what it hands out here.
    counts: bool,
    tags: Mutex<Tags>,
}

impl Shared {
    fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, operation: &'static str, words: &str) -> Error {
        if self.connections.is_closed() { error::closed(operation) } else { error::lost(operation, words) }
    }

    fn failed(&self, operation: &'static str, cause: lapin::Error) -> Error {
        if self.connections.is_closed() { error::closed(operation) } else { error::ended(operation, cause) }
    }
}

/// The receiving half of one generation.
pub struct RabbitReceiver {
    shared: Arc<Shared>,
    /// Wakes this when the connection is lost.
    link: Arc<Link>,
    /// One for each shard; its place is the source in tokens.
    shards: Vec<Shard>,
    /// Which one is asked first next time.
    next: usize,
    stopping: Option<Step>,
    stopped: bool,
}

struct Shard {
    deliveries: lapin::Consumer,
    held: bool,
    /// Nothing more comes, since it was stopped.
    ended: bool,
}

/// The settling half of one generation.
pub struct RabbitSettler {
    shared: Arc<Shared>,
    link: Arc<Link>,
    words: Vec<Tell>,
    flushing: Option<Step>,
    closing: Option<Step>,
    closed: bool,
}

/// What a consumer is made of.
pub(crate) struct Opened {
    pub(crate) line: Line,
    pub(crate) connections: Arc<Connections>,
    /// One for each shard, in order.
    pub(crate) deliveries: Vec<lapin::Consumer>,
    pub(crate) generation: u32,
    pub(crate) prefetch: u16,
    pub(crate) counts: bool,
}

pub(crate) fn halves(opened: Opened) -> (RabbitReceiver, RabbitSettler) {
    let shared = Arc::new(Shared {
        line: opened.line,
        connections: opened.connections,
        generation: opened.generation,
        prefetch: opened.prefetch,
        counts: opened.counts,
        tags: Mutex::new(Tags::new()),
    });
    let shard = |deliveries| Shard { deliveries, held: false, ended: false };
    let shards = opened.deliveries.into_iter().map(shard).collect();
    let receiver = RabbitReceiver {
        shared: shared.clone(),
        link: shared.line.live.link(),
        shards,
        next: 0,
        stopping: None,
        stopped: false,
    };
    let link = shared.line.live.link();
    (receiver, RabbitSettler { shared, link, words: Vec::new(), flushing: None, closing: None, closed: false })
}

impl RabbitReceiver {
    /// Takes what has arrived, at most so many; beginning with another shard each time, so that none waits for ever.
    ///
    /// # Errors
    /// When the channel is lost.
    fn take(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Result<usize> {
        let (shared, count) = (&self.shared, self.shards.len());
        let mut taken = 0;
        for step in 0..count {
            let source = (self.next + step) % count;
            let shard = &mut self.shards[source];
            while taken < max && !shard.held && !shard.ended {
                match Pin::new(&mut shard.deliveries).poll_next(cx) {
                    Poll::Ready(Some(Ok(delivery))) => {
                        shared.tags().delivered(delivery.delivery_tag);
                        into.message(incoming(delivery, source as u32, shared));
                        taken += 1;
                    }
                    Poll::Ready(Some(Err(cause))) => return Err(shared.failed("receive", cause)),
                    Poll::Ready(None) => shard.ended = true,
                    Poll::Pending => break,
                }
            }
        }
        self.next = (self.next + 1) % count.max(1);
        Ok(taken)
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
        match self.take(cx, into, max) {
            Ok(0) if self.shards.iter().any(|shard| shard.ended) => {
                // Its queue is gone, or moved: opening again declares it, or says why not.
                Poll::Ready(Err(self.shared.ended("receive", "RabbitMQ ended the consumer")))
            }
            Ok(0) if self.shared.line.live.is_lost() => Poll::Ready(Err(self.shared.ended("receive", LOST))),
            Ok(0) => Poll::Pending,
            Ok(_) => Poll::Ready(Ok(())),
            // What came before it was lost with the channel.
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn hold(&mut self, source: u32, held: bool) {
        if let Some(shard) = self.shards.get_mut(source as usize) {
            shard.held = held;
        }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<Result<()>> {
        if self.stopped {
            return Poll::Ready(Ok(()));
        }
        self.link.watch(cx.waker());
        if self.stopping.is_none() {
            let shared = self.shared.clone();
            let tags: Vec<_> = self.shards.iter().map(|shard| shard.deliveries.tag()).collect();
            self.shards.iter_mut().for_each(|shard| shard.held = false);
            self.stopping = Some(Box::pin(async move {
                for tag in tags {
                    shared.line.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
                }
                Ok(())
            }));
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
        self.stopped = taken.is_err() || self.shards.iter().all(|shard| shard.ended);
        if self.stopped {
            return Poll::Ready(taken.map(drop));
        }
        if self.shared.line.live.is_lost() {
            self.stopped = true;
            return Poll::Ready(Err(self.shared.ended("stop", LOST)));
        }
        Poll::Pending
    }
}

impl RabbitSettler {
    /// Tells the broker what was recorded; ends when the broker has heard it.
    fn tell(&mut self) -> Result<Step> {
        self.shared.tags().tell(&mut self.words);
        let channel = &self.shared.line.channel;
        for word in self.words.drain(..) {
            // The first look writes the frame behind those before it; nobody waits for the socket.
            let mut cx = Context::from_waker(Waker::noop());
            let told = match word {
                Tell::Ack { tag, multiple } => pin!(channel.basic_ack(tag, BasicAckOptions { multiple })).poll(&mut cx),
                Tell::Return { tag } => {
                    let options = BasicNackOptions { multiple: false, requeue: true };
                    pin!(channel.basic_nack(tag, options)).poll(&mut cx)
                }
            };
            if let Poll::Ready(Err(cause)) = told {
                return Err(self.shared.failed("settle", cause));
            }
        }
        // An answer to this comes after all of that was worked on, which an acknowledgement itself never tells.
        let shared = self.shared.clone();
        Ok(Box::pin(async move { connection::bound(&shared.line.channel, shared.prefetch).await }))
    }
}

impl Settler for RabbitSettler {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        let open = self.shared.line.is_open();
        let mut tags = self.shared.tags();
        for (token, disposition) in what {
            let mine = open && token.generation == self.shared.generation;
            let recorded = match disposition {
                Disposition::Ack => mine && tags.settle(token.position, true),
                Disposition::Release => mine && tags.settle(token.position, false),
                // Declared absent.
                _ => false,
            };
            answers.push(if recorded { Settled::Recorded } else { Settled::Stale });
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, _late: &mut Vec<Late>) -> Poll<Result<()>> {
        let flushing = match &mut self.flushing {
            Some(flushing) => flushing,
            None => {
                let flushing = self.tell()?;
                self.flushing.insert(flushing)
            }
        };
        self.link.watch(cx.waker());
        let Poll::Ready(ended) = flushing.as_mut().poll(cx) else {
            let lost = self.shared.line.live.is_lost();
            return if lost { Poll::Ready(Err(self.shared.ended("settle", LOST))) } else { Poll::Pending };
        };
        self.flushing = None;
        Poll::Ready(ended.map_err(|cause| self.shared.failed("settle", cause)))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        if self.closing.is_none() {
            let Poll::Ready(flushed) = self.poll_flush(cx, late) else { return Poll::Pending };
            if flushed.is_err() {
                self.closed = true;
                return Poll::Ready(flushed);
            }
        }
        let shared = self.shared.clone();
        let closing = self
            .closing
            .get_or_insert_with(|| Box::pin(async move { shared.line.channel.close(200, "closed".into()).await }));
        if closing.as_mut().poll(cx).is_pending() && !self.shared.line.live.is_lost() {
            return Poll::Pending;
        }
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for RabbitReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RabbitReceiver")
    }
}

impl fmt::Debug for RabbitSettler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RabbitSettler")
    }
}
