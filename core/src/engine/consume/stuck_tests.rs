//! A broker that answers nothing, or late: the shell over a transport that never flushes and then never connects, and
//! over one whose settlements fail once and find their lease lost when they are recorded again.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{Consumer, ConsumerOptions, Delivery, FlushReport};
use crate::driver::{
    AnyTransport, Batch, Disposition, Ensure, Extensions, Inbox, Incoming, Late, LateKind, OpenConsumer, OpenProducer,
    OpenedConsumer, OpenedProducer, Producer, Receiver, Settled, Settler, Token, Transport,
};
use crate::engine::{Environment, Reconnect};
use crate::{
    Capabilities, Capability, Channel, DeadLetterPolicy, Error, ErrorKind, Level, Message, Result, Retry, Source,
};

/// Hands out three messages per connection. The first connection never flushes, the second never stands; or, with
/// `fails_once`, the first flush says that everything failed, and by then every lease is lost.
#[derive(Clone, Default)]
struct Stuck {
    opened: Arc<AtomicU32>,
    /// How often a flush was looked at.
    polled: Arc<AtomicU32>,
    lease: Option<Duration>,
    fails_once: bool,
    /// Hands out nothing, and its last read takes this long.
    stops_after: Option<Duration>,
}

impl Stuck {
    fn can() -> Capabilities {
        Capabilities::new("stuck-1").with(Capability::AckConfirmed, Level::Native)
    }
}

struct Half {
    generation: u32,
    left: u64,
    polled: Arc<AtomicU32>,
    fails_once: bool,
    recorded: Vec<Token>,
    stops_after: Option<Duration>,
    stopping: Option<Pin<Box<Sleep>>>,
}

impl Transport for Stuck {
    type Producer = Half;
    type Receiver = Half;
    type Settler = Half;

    fn capabilities(&self, _: &Channel) -> Capabilities {
        Self::can()
    }
    async fn ensure(&self, _: &Ensure) -> Result<()> {
        Ok(())
    }
    async fn open_producer(&self, _: OpenProducer) -> Result<OpenedProducer<Half>> {
        pending().await
    }
    async fn open_consumer(&self, how: OpenConsumer) -> Result<OpenedConsumer<Half, Half>> {
        let opened = self.opened.fetch_add(1, Ordering::SeqCst) + 1;
        if opened == 2 {
            return pending().await;
        }
        let half = |left| Half {
            generation: how.generation,
            left,
            polled: self.polled.clone(),
            fails_once: self.fails_once,
            recorded: Vec::new(),
            stops_after: self.stops_after,
            stopping: None,
        };
        let messages = if self.stops_after.is_some() { 0 } else { 3 };
        let mut opened = OpenedConsumer::new(half(messages), half(0), Self::can());
        opened.lease = self.lease;
        Ok(opened)
    }
    fn extensions(&self) -> Extensions {
        Extensions::none()
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

impl Producer for Half {
    fn poll_submit(&mut self, _: &mut Context<'_>, _: &mut Batch<'_>) -> Poll<Result<()>> {
        Poll::Pending
    }
    fn poll_drive(&mut self, _: &mut Context<'_>) -> Poll<Error> {
        Poll::Pending
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Receiver for Half {
    fn poll_receive(&mut self, _: &mut Context<'_>, into: &mut Inbox, _: usize) -> Poll<Result<()>> {
        if self.left == 0 {
            return Poll::Pending;
        }
        let token = Token { position: self.left, source: 0, generation: self.generation };
        self.left -= 1;
        into.message(Incoming::new(token, Message::new("body").with_id(self.left.to_string())));
        Poll::Ready(Ok(()))
    }
    fn hold(&mut self, _: u32, _: bool) {}
    fn poll_stop(&mut self, cx: &mut Context<'_>, _: &mut Inbox) -> Poll<Result<()>> {
        let Some(after) = self.stops_after else { return Poll::Ready(Ok(())) };
        if self.polled.fetch_add(1, Ordering::SeqCst) > 1_000 {
            return Poll::Ready(Ok(())); // It spins: the test sees it, and must end.
        }
        self.stopping.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx).map(Ok)
    }
}

impl Settler for Half {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        for (token, _) in what {
            let again = self.fails_once && self.recorded.contains(token);
            answers.push(if again { Settled::Stale } else { Settled::Recorded });
            self.recorded.push(*token);
        }
    }
    fn poll_flush(&mut self, _: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        let first = self.polled.fetch_add(1, Ordering::SeqCst) == 0;
        if self.fails_once {
            let failed = || LateKind::Failed(Error::new(ErrorKind::Connection, "settle", "not this time"));
            let covered = self.recorded.iter().filter(|_| first);
            late.extend(covered.map(|token| Late { token: *token, kind: failed() }));
            return Poll::Ready(Ok(()));
        }
        if self.generation == 1 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        self.poll_flush(cx, late)
    }
}

async fn consumer() -> (Stuck, Consumer) {
    with_lease(None).await
}

async fn with_lease(lease: Option<Duration>) -> (Stuck, Consumer) {
    open(Stuck { lease, ..Stuck::default() }).await
}

async fn open(stuck: Stuck) -> (Stuck, Consumer) {
    let mut channel = Channel::queue("work").unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    let reconnect = Reconnect::new(Duration::from_millis(1), Duration::from_millis(1));
    let options = ConsumerOptions { retry: Retry::never(), reconnect, ..ConsumerOptions::default() };
    let transport = AnyTransport::new(stuck.clone());
    let source = Source::new(channel, None).unwrap();
    (stuck, Consumer::open(&transport, source, options, &Environment::new().seeded(1)).await.unwrap())
}

async fn three(consumer: &Consumer) -> Vec<Delivery> {
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(timeout(Duration::from_secs(1), consumer.next()).await.expect("in time").unwrap().unwrap());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_settlements_never_become_final_is_not_clean() {
    let (_, consumer) = consumer().await;
    let mut all = three(&consumer).await;
    let running = all.pop().unwrap();
    for delivery in all {
        assert_eq!(delivery.ack(), Settled::Recorded);
    }
    let begun = Instant::now();
    let report = consumer.drain(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_millis(310), "{:?}", begun.elapsed());
    assert_eq!(report.abandoned.len(), 1);
    assert_eq!(report.late, FlushReport { stale: 0, unknown: 2 }, "two acknowledgements may come again");
    assert!(!report.is_clean() && report.to_string().contains("unknown=2"), "{report}");
    assert_eq!(running.ack(), Settled::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_read_under_way_and_does_not_spin() {
    let stops_after = Some(Duration::from_secs(5));
    let (stuck, consumer) = open(Stuck { stops_after, fails_once: true, ..Stuck::default() }).await;
    let begun = Instant::now();
    assert!(consumer.drain(Duration::from_secs(10)).await.is_clean());
    let polled = stuck.polled.load(Ordering::SeqCst);
    assert!(polled < 100, "looked at {polled} times");
    assert!((5..6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_no_flush_is_replaced_and_so_is_an_attempt_that_never_ends() {
    let (stuck, consumer) = consumer().await;
    for delivery in three(&consumer).await {
        let _ = delivery.ack();
    }
    let begun = Instant::now();
    assert_eq!(consumer.flush().await, FlushReport { stale: 0, unknown: 3 });
    assert!((30..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let polled = stuck.polled.load(Ordering::SeqCst);
    assert!(polled < 100, "waiting for a flush does not spin: polled {polled} times");
    // The second attempt hangs; the third stands, and what was unknown comes again.
    let again = timeout(Duration::from_secs(32), consumer.next()).await.expect("in time").unwrap().unwrap();
    assert_eq!((again.generation(), stuck.opened.load(Ordering::SeqCst)), (3, 3));
    again.ack_confirmed().await.unwrap();
    assert!(consumer.drain(Duration::from_secs(1)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_settlement_is_told_when_it_is_stale_at_its_second_recording() {
    let (_, consumer) = open(Stuck { fails_once: true, ..Stuck::default() }).await;
    let mut all = three(&consumer).await.into_iter();
    let confirmed = timeout(Duration::from_secs(10), all.next().unwrap().ack_confirmed()).await;
    let error = confirmed.expect("it is known that the lease was lost").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);

    let (_, consumer) = open(Stuck { fails_once: true, ..Stuck::default() }).await;
    for delivery in three(&consumer).await {
        assert_eq!(delivery.ack(), Settled::Recorded);
    }
    let flushed = timeout(Duration::from_secs(10), consumer.flush()).await;
    assert_eq!(flushed.expect("nothing is left to wait for"), FlushReport { stale: 3, unknown: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_and_cannot_be_extended_says_so() {
    let hour = Duration::from_secs(3600);
    let (_, consumer) = with_lease(Some(Duration::from_secs(30))).await;
    let delivery = consumer.next().await.unwrap().unwrap();
    let error = delivery.lease().extend(hour).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("lease extension"), "{error}");
    assert_eq!(delivery.ack(), Settled::Recorded);

    let (_, consumer) = with_lease(None).await;
    let delivery = consumer.next().await.unwrap().unwrap();
    assert_eq!(delivery.lease().extend(hour).unwrap(), Settled::Recorded, "it lasts as long as the connection");
    assert_eq!(delivery.ack(), Settled::Recorded);
}
