//! The control plane: one connection to a server.

use std::sync::Arc;

use pontoon_core::driver::{Ensure, Extensions, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer, Transport};
use pontoon_core::{Capabilities, Capability, Channel, ChannelKind, Level, MAX_DURATION, Result};

use crate::config::MemoryConfig;
use crate::consumer::{self, MemoryReceiver, MemorySettler};
use crate::error;
use crate::extensions::Depths;
use crate::link::Connection;
use crate::producer::MemoryProducer;
use crate::server::MemoryServer;

/// One connection to a [`MemoryServer`]. Dropping it leaves its producers and consumers working; closing it ends them.
#[derive(Debug)]
pub struct MemoryTransport {
    connection: Arc<Connection>,
}

impl MemoryTransport {
    /// Connects to this server.
    #[must_use]
    pub fn new(server: &MemoryServer) -> Self {
        MemoryTransport { connection: Connection::open(server.0.clone()) }
    }

    /// Connects as a URL says: `memory://` is a new server of its own, `memory://name` the one of that name in this
    /// process.
    ///
    /// # Errors
    /// `InvalidConfig` when the named server exists with other settings.
    pub fn connect(name: Option<&str>, config: MemoryConfig) -> Result<Self> {
        let server = match name {
            None | Some("") => MemoryServer::new(config),
            Some(name) => MemoryServer::named(name, config)?,
        };
        Ok(Self::new(&server))
    }

    /// The server it is connected to.
    #[must_use]
    pub fn server(&self) -> MemoryServer {
        MemoryServer(self.connection.server.clone())
    }
}

/// What the reference model can do: everything but survive, and what needs a log.
fn capabilities(channel: &Channel, config: &MemoryConfig) -> Capabilities {
    let ordered = channel.order.is_ordered();
    let mut found = Capabilities::new(match channel.kind {
        ChannelKind::Queue => "memory-queue",
        ChannelKind::Topic => "memory-topic",
    });
    for &capability in Capability::ALL {
        let level = match capability {
            Capability::SurvivesProcessCrash
            | Capability::SurvivesPowerLoss
            | Capability::SurvivesNodeLoss
            | Capability::PublishDedupe
            | Capability::Replay
            | Capability::Transactions => Level::Absent,
            // Within a key the order goes before any priority, and across keys there is none to compare.
            Capability::Priority if ordered => Level::Absent,
            _ => Level::Native,
        };
        found.set(capability, level);
    }
    found.limits.max_body = Some(config.max_body);
    found.limits.max_delay = Some(MAX_DURATION);
    found.limits.priorities = (!ordered).then_some(256);
    found.behaviour.returns_in_place = true;
    found.behaviour.counts_failures = true;
    found
}

impl Transport for MemoryTransport {
    type Producer = MemoryProducer;
    type Receiver = MemoryReceiver;
    type Settler = MemorySettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        capabilities(channel, &self.connection.server.config)
    }

    async fn ensure(&self, what: &Ensure) -> Result<()> {
        self.connection.check("ensure channel")?;
        self.server().ensure(what)
    }

    async fn open_producer(&self, how: OpenProducer) -> Result<OpenedProducer<MemoryProducer>> {
        let link = self.connection.link("open producer", None)?;
        let capabilities = self.capabilities(&how.channel);
        let server = self.connection.server.clone();
        Ok(OpenedProducer::new(MemoryProducer::new(server, link, how), capabilities))
    }

    async fn open_consumer(&self, how: OpenConsumer) -> Result<OpenedConsumer<MemoryReceiver, MemorySettler>> {
        self.connection.check("open consumer")?;
        let server = &self.connection.server;
        let queue = server.source(&how.source).ok_or_else(|| error::no_such_source("open consumer", &how.source))?;
        let id = queue.lock().attach(how.prefetch);
        let link = self.connection.link("open consumer", Some((queue.clone(), id)))?;
        let capabilities = self.capabilities(&how.source.channel);
        let (receiver, settler) = consumer::halves(server.clone(), queue, id, link, how.source);
        Ok(OpenedConsumer::new(receiver, settler, capabilities).with_lease(server.config.lease))
    }

    fn extensions(&self) -> Extensions {
        let mut extensions = Extensions::none();
        let depths = Arc::new(Depths(self.connection.clone()));
        extensions.depth = Some(depths.clone());
        extensions.purge = Some(depths);
        extensions.native = Some(Arc::new(self.server()));
        extensions
    }

    async fn close(&self) -> Result<()> {
        self.connection.close();
        Ok(())
    }
}
