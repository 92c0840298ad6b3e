//! The transport as a value: the one place, beside the adapter, where control futures are boxed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{
    Batch, Disposition, Ensure, Extensions, Inbox, Late, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer,
    Producer, Receiver, Settled, Settler, Token, Transport,
};
use crate::{Capabilities, Channel, Error, Result};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Any transport. Cheap to clone, and itself a [`Transport`]: a wrapper takes one and gives one.
#[derive(Clone)]
pub struct AnyTransport(Arc<dyn Erased>);

/// Any producer: one virtual call per batch.
pub struct AnyProducer(Box<dyn Producer>);
/// Any receiver: one virtual call per batch.
pub struct AnyReceiver(Box<dyn Receiver>);
/// Any settler: one virtual call per batch.
pub struct AnySettler(Box<dyn Settler>);

trait Erased: Send + Sync {
    fn capabilities(&self, channel: &Channel) -> Capabilities;
    fn ensure<'a>(&'a self, what: &'a Ensure) -> BoxFuture<'a, Result<()>>;
    fn open_producer(&self, how: OpenProducer) -> BoxFuture<'_, Result<OpenedProducer<AnyProducer>>>;
    fn open_consumer(&self, how: OpenConsumer) -> BoxFuture<'_, Result<OpenedConsumer<AnyReceiver, AnySettler>>>;
    fn extensions(&self) -> Extensions;
    fn close(&self) -> BoxFuture<'_, Result<()>>;
}

impl<T: Transport> Erased for T {
    fn capabilities(&self, channel: &Channel) -> Capabilities {
        Transport::capabilities(self, channel)
    }
    fn ensure<'a>(&'a self, what: &'a Ensure) -> BoxFuture<'a, Result<()>> {
        Box::pin(Transport::ensure(self, what))
    }
    fn open_producer(&self, how: OpenProducer) -> BoxFuture<'_, Result<OpenedProducer<AnyProducer>>> {
        Box::pin(async move {
            let OpenedProducer { producer, capabilities } = Transport::open_producer(self, how).await?;
            Ok(OpenedProducer { producer: AnyProducer(Box::new(producer)), capabilities })
        })
    }
    fn open_consumer(&self, how: OpenConsumer) -> BoxFuture<'_, Result<OpenedConsumer<AnyReceiver, AnySettler>>> {
        Box::pin(async move {
            let OpenedConsumer { receiver, settler, capabilities, lease } = Transport::open_consumer(self, how).await?;
            let (receiver, settler) = (AnyReceiver(Box::new(receiver)), AnySettler(Box::new(settler)));
            Ok(OpenedConsumer { receiver, settler, capabilities, lease })
        })
    }
    fn extensions(&self) -> Extensions {
        Transport::extensions(self)
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(Transport::close(self))
    }
}

impl AnyTransport {
    /// Erases a transport's type.
    #[must_use]
    pub fn new(transport: impl Transport) -> Self {
        AnyTransport(Arc::new(transport))
    }
}

impl Transport for AnyTransport {
    type Producer = AnyProducer;
    type Receiver = AnyReceiver;
    type Settler = AnySettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        self.0.capabilities(channel)
    }
    async fn ensure(&self, what: &Ensure) -> Result<()> {
        self.0.ensure(what).await
    }
    async fn open_producer(&self, how: OpenProducer) -> Result<OpenedProducer<AnyProducer>> {
        self.0.open_producer(how).await
    }
    async fn open_consumer(&self, how: OpenConsumer) -> Result<OpenedConsumer<AnyReceiver, AnySettler>> {
        self.0.open_consumer(how).await
    }
    fn extensions(&self) -> Extensions {
        self.0.extensions()
    }
    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

impl Producer for AnyProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        self.0.poll_submit(cx, batch)
    }
    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.0.poll_drive(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_close(cx)
    }
}

impl Receiver for AnyReceiver {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>> {
        self.0.poll_receive(cx, into, max)
    }
    fn hold(&mut self, source: u32, held: bool) {
        self.0.hold(source, held);
    }
    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<Result<()>> {
        self.0.poll_stop(cx, into)
    }
}

impl Settler for AnySettler {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        self.0.record(what, answers);
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        self.0.poll_flush(cx, late)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        self.0.poll_close(cx, late)
    }
}

macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Opaque on purpose: what is behind it may hold credentials.
                f.write_str(stringify!($name))
            }
        }
    )*};
}
opaque_debug!(AnyTransport, AnyProducer, AnyReceiver, AnySettler);
