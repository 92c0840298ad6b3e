//! What the tests share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pontoon::driver::{
    AnyProducer, AnyReceiver, AnySettler, AnyTransport, DepthReport, Ensure, Extensions, OpenConsumer, OpenProducer,
    OpenedConsumer, OpenedProducer, Transport,
};
use pontoon::prelude::*;
use pontoon::{Capabilities, Capability, Channel, Level, Readable};
use pontoon_memory::{MemoryServer, MemoryTransport};

/// The tests' payload.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Flight {
    pub(crate) origin: String,
    pub(crate) number: u64,
}

pub(crate) const FLIGHTS: Queue<Flight> =
    Queue::new("flights").ordered_by(|f: &Flight| f.origin.as_str()).dead_letter("flights.dead");
/// Without order, so that failures do not block a key.
pub(crate) const LOOSE: Queue<Flight> = Queue::new("loose").dead_letter("loose.dead");

pub(crate) fn flight(number: u64) -> Flight {
    Flight { origin: ["LAX", "SFO", "JFK"][number as usize % 3].into(), number }
}

pub(crate) async fn broker() -> Broker {
    Broker::builder().seed(7).connect("memory://").await.unwrap()
}

/// A broker, and the server behind it.
pub(crate) fn broker_with_server() -> (Broker, MemoryServer) {
    let server = MemoryServer::default();
    let transport = AnyTransport::new(MemoryTransport::new(&server));
    (Broker::builder().seed(7).build(transport), server)
}

/// What handlers saw, in order.
#[derive(Clone, Debug)]
pub(crate) struct Seen<X>(Arc<Mutex<Vec<X>>>);

impl<X> Default for Seen<X> {
    fn default() -> Self {
        Seen(Arc::default())
    }
}

impl<X: Clone> Seen<X> {
    pub(crate) fn push(&self, x: X) {
        self.0.lock().unwrap().push(x);
    }
    pub(crate) fn all(&self) -> Vec<X> {
        self.0.lock().unwrap().clone()
    }
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Ends when the condition holds; fails after a minute of (paused) time.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited for a minute: {what}");
}

/// Ends when nothing is left in the channel, neither ready, nor delayed, nor in flight.
pub(crate) async fn empty(broker: &Broker, channel: &impl Readable) {
    for _ in 0..600_000 {
        let DepthReport { ready, delayed, in_flight, .. } = broker.depth(channel).await.unwrap();
        if ready + delayed.unwrap_or(0) + in_flight.unwrap_or(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the channel did not become empty");
}

/// A transport wrapper, as an application writes one: it takes the ability to keep order away.
pub(crate) fn without_order(inner: AnyTransport) -> AnyTransport {
    AnyTransport::new(WithoutOrder(inner))
}

struct WithoutOrder(AnyTransport);

impl Transport for WithoutOrder {
    type Producer = AnyProducer;
    type Receiver = AnyReceiver;
    type Settler = AnySettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        self.0.capabilities(channel).with(Capability::OrderPerKey, Level::Absent)
    }
    async fn ensure(&self, what: &Ensure) -> pontoon::Result<()> {
        self.0.ensure(what).await
    }
    async fn open_producer(&self, how: OpenProducer) -> pontoon::Result<OpenedProducer<AnyProducer>> {
        self.0.open_producer(how).await
    }
    async fn open_consumer(&self, how: OpenConsumer) -> pontoon::Result<OpenedConsumer<AnyReceiver, AnySettler>> {
        self.0.open_consumer(how).await
    }
    fn extensions(&self) -> Extensions {
        Extensions::none()
    }
    async fn close(&self) -> pontoon::Result<()> {
        self.0.close().await
    }
}
