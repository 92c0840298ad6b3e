//! The settling half of one generation.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lapin::options::{BasicAckOptions, BasicNackOptions};
use pontoon_core::Result;
use pontoon_core::driver::{Disposition, Late, Settled, Settler, Token};

use super::reading::Reading;
use super::shared::{LOST, Shared};
use crate::connection;
use crate::live::Link;
use crate::tags::Tell;

type Step = Pin<Box<dyn Future<Output = lapin::Result<()>> + Send>>;

/// The settling half of one generation.
pub struct RabbitSettler {
    shared: Arc<Shared>,
    link: Arc<Link>,
    words: Vec<Tell>,
    flushing: Option<Step>,
    closing: Option<Step>,
    closed: bool,
}

impl RabbitSettler {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let link = shared.live.link();
        RabbitSettler { shared, link, words: Vec::new(), flushing: None, closing: None, closed: false }
    }

    /// Tells the broker what was recorded; ends when the broker has heard it.
    fn tell(&mut self) -> Result<Step> {
        let readings = self.shared.readings.lock().clone();
        let mut told = Vec::with_capacity(readings.len());
        for reading in readings {
            reading.tags().tell(&mut self.words);
            if !self.words.is_empty() {
                self.write(&reading)?;
                told.push(reading);
            }
        }
        // An answer to this comes after all of that was worked on, which an acknowledgement itself never tells.
        let prefetch = self.shared.prefetch;
        Ok(Box::pin(async move {
            for reading in told {
                connection::bound(&reading.line.channel, prefetch).await?;
                reading.tags().told();
            }
            Ok(())
        }))
    }

    fn write(&mut self, reading: &Reading) -> Result<()> {
        let channel = &reading.line.channel;
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
        Ok(())
    }

    /// Leaves the other members, then gives back what is out.
    fn close(&self) -> Step {
        let shared = self.shared.clone();
        Box::pin(async move {
            if let Some(crew) = &shared.crew {
                crew.left().await;
            }
            let readings = shared.readings.lock().clone();
            for reading in readings {
                reading.line.channel.close(200, "closed".into()).await?;
            }
            Ok(())
        })
    }
}

impl Settler for RabbitSettler {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        let readings = self.shared.readings.lock();
        for run in what.chunk_by(|(a, _), (b, _)| (a.source, a.generation) == (b.source, b.generation)) {
            let Token { source, generation, .. } = run[0].0;
            let known = readings.iter().find(|reading| reading.number == source);
            let open = known.filter(|reading| generation == self.shared.generation && reading.line.is_open());
            let mut tags = open.map(|reading| reading.tags());
            for (token, disposition) in run {
                let recorded = match (&mut tags, disposition) {
                    (Some(tags), Disposition::Ack) => tags.settle(token.position, true),
                    (Some(tags), Disposition::Release) => tags.settle(token.position, false),
                    // Lost, or declared absent.
                    _ => false,
                };
                answers.push(if recorded { Settled::Recorded } else { Settled::Stale });
            }
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
            let lost = self.shared.live.is_lost();
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
        let closing = match &mut self.closing {
            Some(closing) => closing,
            None => {
                let closing = self.close();
                self.closing.insert(closing)
            }
        };
        if closing.as_mut().poll(cx).is_pending() && !self.shared.live.is_lost() {
            return Poll::Pending;
        }
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for RabbitSettler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RabbitSettler")
    }
}
