//! Dead letters on a broker that takes its time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pontoon::driver::{
    AnyProducer, AnyReceiver, AnySettler, AnyTransport, Ensure, Extensions, Inbox, OpenConsumer, OpenProducer,
    OpenedConsumer, OpenedProducer, Receiver, Transport,
};
use pontoon::prelude::*;
use pontoon::{Capabilities, Channel};
use pontoon_memory::{MemoryServer, MemoryTransport};

use crate::support::{Flight, LOOSE, empty, flight};

/// Its receivers bring nothing before this time is over.
struct Slow(AnyTransport, Duration);

struct SlowReceiver {
    inner: AnyReceiver,
    begins: Pin<Box<tokio::time::Sleep>>,
}

impl Receiver for SlowReceiver {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<pontoon::Result<()>> {
        ready!(self.begins.as_mut().poll(cx));
        self.inner.poll_receive(cx, into, max)
    }

    fn hold(&mut self, source: u32, held: bool) {
        self.inner.hold(source, held);
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<pontoon::Result<()>> {
        self.inner.poll_stop(cx, into)
    }
}

impl Transport for Slow {
    type Producer = AnyProducer;
    type Receiver = SlowReceiver;
    type Settler = AnySettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        self.0.capabilities(channel)
    }
    async fn ensure(&self, what: &Ensure) -> pontoon::Result<()> {
        self.0.ensure(what).await
    }
    async fn open_producer(&self, how: OpenProducer) -> pontoon::Result<OpenedProducer<AnyProducer>> {
        self.0.open_producer(how).await
    }
    async fn open_consumer(&self, how: OpenConsumer) -> pontoon::Result<OpenedConsumer<SlowReceiver, AnySettler>> {
        let OpenedConsumer { receiver, settler, capabilities, .. } = self.0.open_consumer(how).await?;
        let receiver = SlowReceiver { inner: receiver, begins: Box::pin(tokio::time::sleep(self.1)) };
        Ok(OpenedConsumer::new(receiver, settler, capabilities))
    }
    fn extensions(&self) -> Extensions {
        self.0.extensions()
    }
    async fn close(&self) -> pontoon::Result<()> {
        self.0.close().await
    }
}

async fn reject_all(_: Flight) -> Outcome {
    reject("unwanted")
}

/// What a look finds of three dead letters when its receiver needs this long to begin.
async fn found_after(begins: Duration) -> usize {
    let server = MemoryServer::default();
    let inner = AnyTransport::new(MemoryTransport::new(&server));
    let at_once = Broker::builder().seed(7).build(inner.clone());
    at_once.publisher(LOOSE).await.unwrap().publish_all((0..3).map(flight)).await.into_result().unwrap();
    let worker = Worker::new(at_once.clone()).handle(LOOSE, reject_all, Retry::never());
    assert!(worker.run_until(empty(&at_once, &LOOSE)).await.unwrap().is_clean());
    let slow = Broker::builder().seed(7).build(AnyTransport::new(Slow(inner, begins)));
    slow.dead_letters(LOOSE).await.unwrap().list(10).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_the_end_while_the_broker_says_that_there_is_more() {
    assert_eq!(found_after(Duration::from_secs(4)).await, 3);
}

#[tokio::test(start_paused = true)]
async fn silence_is_the_end_at_last_whatever_the_broker_says() {
    assert_eq!(found_after(Duration::from_secs(60)).await, 0);
}
