//! A transport with a defect: the control plane.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pontoon_core::driver::{
    AnyTransport, Ensure, Extensions, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer, Transport,
};
use pontoon_core::{Capabilities, Channel, Result};

use super::Defect;
use super::consumer::{self, MutantReceiver, MutantSettler};
use super::producer::MutantProducer;

/// A correct transport, wrapped so that it breaks one promise.
pub struct MutantTransport {
    inner: AnyTransport,
    defect: Arc<dyn Defect>,
    closed: AtomicU64,
}

impl MutantTransport {
    /// Gives this transport a defect.
    #[must_use]
    pub fn new(inner: AnyTransport, defect: Arc<dyn Defect>) -> Self {
        MutantTransport { inner, defect, closed: AtomicU64::new(0) }
    }

    fn declared(&self, channel: &Channel, mut found: Capabilities) -> Capabilities {
        self.defect.capabilities(channel, &mut found);
        found
    }
}

impl fmt::Debug for MutantTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MutantTransport")
    }
}

impl Transport for MutantTransport {
    type Producer = MutantProducer;
    type Receiver = MutantReceiver;
    type Settler = MutantSettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        self.declared(channel, self.inner.capabilities(channel))
    }

    async fn ensure(&self, what: &Ensure) -> Result<()> {
        match self.defect.ensure(what.clone())? {
            Some(mut what) => {
                self.defect.channel(&mut what.channel);
                self.inner.ensure(&what).await
            }
            None => Ok(()),
        }
    }

    async fn open_producer(&self, mut how: OpenProducer) -> Result<OpenedProducer<MutantProducer>> {
        let channel = how.channel.clone();
        self.defect.channel(&mut how.channel);
        let sink = super::producer::intercept(&mut how, self.defect.clone());
        let OpenedProducer { producer, capabilities, .. } = self.inner.open_producer(how).await?;
        let capabilities = self.declared(&channel, capabilities);
        Ok(OpenedProducer::new(MutantProducer::new(producer, channel, self.defect.clone(), sink), capabilities))
    }

    async fn open_consumer(&self, mut how: OpenConsumer) -> Result<OpenedConsumer<MutantReceiver, MutantSettler>> {
        let source = how.source.clone();
        self.defect.channel(&mut how.source.channel);
        let OpenedConsumer { receiver, settler, capabilities, lease, .. } = self.inner.open_consumer(how).await?;
        let capabilities = self.declared(&source.channel, capabilities);
        let (receiver, settler) = consumer::halves(receiver, settler, source, self.defect.clone());
        let opened = OpenedConsumer::new(receiver, settler, capabilities);
        Ok(match lease {
            Some(lease) => opened.with_lease(lease),
            None => opened,
        })
    }

    fn extensions(&self) -> Extensions {
        self.defect.extensions(self.inner.extensions())
    }

    async fn close(&self) -> Result<()> {
        let times = self.closed.fetch_add(1, Ordering::Relaxed) + 1;
        let end = self.inner.close().await;
        self.defect.closed(times, end)
    }
}
