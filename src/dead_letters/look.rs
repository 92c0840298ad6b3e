//! One reading of a dead-letter channel, through the driver traits.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pontoon_core::driver::{
    AnyReceiver, AnySettler, Arrival, Disposition, Ensure, Inbox, Incoming, OpenConsumer, OpenedConsumer, QueueDepth,
    Receiver, Settled, Settler, Token, Transport,
};
use pontoon_core::{Channel, Result, Source};
use tokio::time::Instant;

use crate::Broker;

/// When nothing arrived for this long, the broker is asked whether there is more; where it does not tell, all was seen.
const QUIET: Duration = Duration::from_millis(500);
/// After so long without anything, all that will come has come, whatever the broker tells.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most dead letters that one look holds at once.
pub(super) const MOST: usize = 10_000;

/// What is read and not removed is given back at the end.
pub(super) struct Look {
    receiver: AnyReceiver,
    settler: AnySettler,
    inbox: Inbox,
    source: Source,
    depth: Option<Arc<dyn QueueDepth>>,
    kept: Vec<Token>,
    seen: usize,
}

impl Look {
    pub(super) async fn open(broker: &Broker, channel: &Channel) -> Result<Self> {
        let transport = broker.transport();
        transport.ensure(&Ensure::new(channel.clone())).await?;
        let source = Source::new(channel.clone(), None)?;
        let mut how = OpenConsumer::new(source.clone(), 1);
        how.prefetch = MOST;
        how.longest_read = QUIET;
        let OpenedConsumer { receiver, settler, .. } = transport.open_consumer(how).await?;
        let depth = transport.extensions().depth;
        Ok(Look { receiver, settler, inbox: Inbox::new(), source, depth, kept: Vec::new(), seen: 0 })
    }

    /// The next message; `None` when there is no more, as far as the broker tells, or enough is held.
    pub(super) async fn next(&mut self) -> Result<Option<Incoming>> {
        if self.seen >= MOST {
            return Ok(None);
        }
        let last = Instant::now() + PATIENCE;
        let mut deadline = Instant::now() + QUIET;
        loop {
            while let Some(arrival) = self.inbox.pop() {
                match arrival {
                    Arrival::Message(incoming) => {
                        self.seen += 1;
                        return Ok(Some(*incoming));
                    }
                    // What was taken away is not ours to give back; settling it would be stale, and harmless.
                    Arrival::Revoking { .. } | Arrival::Revoked { .. } | Arrival::LeaseLost(_) => {}
                }
            }
            let room = MOST - self.seen;
            let receive = poll_fn(|cx| self.receiver.poll_receive(cx, &mut self.inbox, room));
            match tokio::time::timeout_at(deadline, receive).await {
                Ok(received) => received?,
                Err(_) if Instant::now() < last && self.more_is_ready().await? => deadline = Instant::now() + QUIET,
                Err(_) => return Ok(None),
            }
        }
    }

    /// Whether the broker tells that there is more that nobody holds.
    async fn more_is_ready(&self) -> Result<bool> {
        match &self.depth {
            Some(depth) => depth.depth(&self.source).await.map(|found| found.exact && found.ready > 0),
            None => Ok(false),
        }
    }

    /// Stays in the channel: given back at the end, so that it is not read twice.
    pub(super) fn keep(&mut self, token: Token) {
        self.kept.push(token);
    }

    /// Gone from the channel. False when the lease was lost.
    pub(super) fn remove(&mut self, token: Token) -> bool {
        let mut answers = Vec::with_capacity(1);
        self.settler.record(&[(token, Disposition::Ack)], &mut answers);
        answers.first() == Some(&Settled::Recorded)
    }

    /// Makes removals final; how many did not become so.
    pub(super) async fn flush(&mut self) -> Result<u64> {
        let mut late = Vec::new();
        poll_fn(|cx| self.settler.poll_flush(cx, &mut late)).await?;
        Ok(late.len() as u64)
    }

    pub(super) async fn close(mut self) -> Result<()> {
        // A read in flight may still bring something: it goes back with the rest.
        let stop = poll_fn(|cx| self.receiver.poll_stop(cx, &mut self.inbox));
        // A broker that does not answer releases what we hold when the connection ends.
        let _ = tokio::time::timeout(QUIET * 4, stop).await;
        while let Some(arrival) = self.inbox.pop() {
            if let Arrival::Message(incoming) = arrival {
                self.kept.push(incoming.token);
            }
        }
        let release: Vec<_> = self.kept.iter().map(|token| (*token, Disposition::Release)).collect();
        let mut answers = Vec::with_capacity(release.len());
        self.settler.record(&release, &mut answers);
        let mut late = Vec::new();
        poll_fn(|cx| match self.settler.poll_close(cx, &mut late) {
            Poll::Ready(closed) => Poll::Ready(closed),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}
