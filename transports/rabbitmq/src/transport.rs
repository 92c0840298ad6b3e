//! The control plane.

use std::fmt;
use std::sync::Arc;

use lapin::options::ConfirmSelectOptions;
use pontoon_core::driver::{Ensure, Extensions, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer, Transport};
use pontoon_core::{Capabilities, Channel, Result};

use crate::config::RabbitConfig;
use crate::connection::{Connections, Use};
use crate::consumer::{self, RabbitReceiver, RabbitSettler};
use crate::extensions::{Counts, RabbitConnections};
use crate::producer::RabbitProducer;
use crate::server::Server;
use crate::{capabilities, error, topology};

/// A client of one RabbitMQ broker or cluster.
pub struct RabbitTransport {
    connections: Arc<Connections>,
    server: Server,
}

impl RabbitTransport {
    /// Connects once, to learn which version answers and whether it lets this user in.
    ///
    /// # Errors
    /// `InvalidConfig` naming the setting; `Connection` (temporary) when no node answers; `Permission` when the user is
    /// refused.
    pub async fn connect(config: RabbitConfig) -> Result<Self> {
        let (connections, server) = Connections::open(config).await?;
        Ok(RabbitTransport { connections: Arc::new(connections), server })
    }

    fn of(&self, channel: &Channel) -> Capabilities {
        capabilities::of(channel, self.server, self.connections.config())
    }
}

impl Transport for RabbitTransport {
    type Producer = RabbitProducer;
    type Receiver = RabbitReceiver;
    type Settler = RabbitSettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        self.of(channel)
    }

    async fn ensure(&self, what: &Ensure) -> Result<()> {
        topology::ensure(&self.connections, what).await
    }

    async fn open_producer(&self, how: OpenProducer) -> Result<OpenedProducer<RabbitProducer>> {
        let capabilities = self.of(&how.channel);
        let line = self.connections.channel(Use::Publishing, "open producer").await?;
        let confirming = async {
            let confirming = line.channel.confirm_select(ConfirmSelectOptions::default()).await;
            confirming.map_err(|cause| error::not_reached("open producer", error::of("open producer", cause)))
        };
        line.live.guarded("open producer", confirming).await?;
        let max_body = capabilities.limits.max_body.unwrap_or(u64::MAX);
        let producer = RabbitProducer::new(line, self.connections.clone(), how, max_body);
        Ok(OpenedProducer::new(producer, capabilities))
    }

    async fn open_consumer(&self, how: OpenConsumer) -> Result<OpenedConsumer<RabbitReceiver, RabbitSettler>> {
        let capabilities = self.of(&how.source.channel);
        let (receiver, settler) = consumer::open(&self.connections, &how).await?;
        Ok(OpenedConsumer::new(receiver, settler, capabilities))
    }

    fn extensions(&self) -> Extensions {
        let mut extensions = Extensions::none();
        let counts = Arc::new(Counts(self.connections.clone()));
        extensions.depth = Some(counts.clone());
        extensions.purge = Some(counts);
        extensions.native = Some(Arc::new(RabbitConnections(self.connections.clone())));
        extensions
    }

    async fn close(&self) -> Result<()> {
        self.connections.close().await;
        Ok(())
    }
}

impl fmt::Debug for RabbitTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitTransport").field("config", self.connections.config()).finish_non_exhaustive()
    }
}
