//! The control plane. Every request has a connection of its own, so that a server that was restarted is found again.

use std::sync::{Arc, Mutex, PoisonError};

use pontoon_core::driver::{Ensure, Extensions, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer, Transport};
use pontoon_core::{Capabilities, Channel, Result};

use crate::RedisConfig;
use crate::capabilities;
use crate::consumer::{self, Members, RedisReceiver, RedisSettler};
use crate::ensure::ensure;
use crate::error;
use crate::extensions::Counts;
use crate::link::Links;
use crate::producer::RedisProducer;
use crate::server::Server;
use crate::socket::Socket;
use crate::tls::Tls;

/// A client of one Redis server.
#[derive(Debug)]
pub struct RedisTransport {
    client: Arc<Client>,
}

/// Where the server is, and what is known of it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) config: RedisConfig,
    tls: Option<Tls>,
    /// As it said last.
    server: Mutex<Server>,
    links: Links,
    members: Arc<Members>,
}

impl Client {
    /// A new connection.
    pub(crate) async fn open(&self, operation: &'static str) -> Result<Socket> {
        if self.links.is_closed() {
            return Err(error::closed(operation));
        }
        let mut socket = Socket::connect(&self.config, self.tls.as_ref()).await?;
        // After a lease without an answer others have what a consumer held; nobody else need be more patient.
        socket.expect_answers(self.config.lease + self.config.look_every);
        Ok(socket)
    }

    /// A new connection, and what the server says of itself now.
    async fn open_asking(&self, operation: &'static str) -> Result<(Socket, Server)> {
        let mut socket = self.open(operation).await?;
        let server = Server::ask(&mut socket).await?;
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server.clone();
        Ok((socket, server))
    }
}

impl RedisTransport {
    /// Connects once, to see that a server answers and which it is.
    ///
    /// # Errors
    /// `InvalidConfig` for a setting out of its range, or a certificate's file that cannot be read; `Connection`
    /// (temporary) when nobody answers, and (permanent) when the server's certificate cannot be trusted; `Permission` for
    /// wrong credentials, or a user who may not ask `INFO`; `Unsupported` for a server that is older than Redis 7.0, or
    /// is one of a cluster.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        config.validate()?;
        let tls = Tls::of(&config)?;
        let server = Server::ask(&mut Socket::connect(&config, tls.as_ref()).await?).await?;
        let client =
            Client { config, tls, server: Mutex::new(server), links: Links::default(), members: Arc::default() };
        Ok(RedisTransport { client: Arc::new(client) })
    }

    fn capabilities_of(&self, channel: &Channel, server: &Server) -> Capabilities {
        capabilities::of(channel, server, &self.client.config)
    }
}

impl Transport for RedisTransport {
    type Producer = RedisProducer;
    type Receiver = RedisReceiver;
    type Settler = RedisSettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        self.capabilities_of(channel, &self.client.server.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ensure(&self, what: &Ensure) -> Result<()> {
        let (mut socket, server) = self.client.open_asking("ensure channel").await?;
        ensure(what, &self.client.config, &server, &mut socket).await
    }

    async fn open_producer(&self, how: OpenProducer) -> Result<OpenedProducer<RedisProducer>> {
        let (socket, server) = self.client.open_asking("open producer").await?;
        let capabilities = self.capabilities_of(&how.channel, &server);
        let producer = RedisProducer::new(socket, self.client.links.link(), how, &self.client.config);
        Ok(OpenedProducer::new(producer, capabilities))
    }

    async fn open_consumer(&self, how: OpenConsumer) -> Result<OpenedConsumer<RedisReceiver, RedisSettler>> {
        let client = &self.client;
        let (settles, server) = client.open_asking("open consumer").await?;
        let reads = client.open("open consumer").await?;
        let capabilities = self.capabilities_of(&how.source.channel, &server);
        let link = client.links.link();
        let (receiver, settler) = consumer::open(&how, &client.config, &client.members, link, reads, settles).await?;
        Ok(OpenedConsumer::new(receiver, settler, capabilities).with_lease(client.config.lease))
    }

    fn extensions(&self) -> Extensions {
        let mut extensions = Extensions::none();
        let counts = Arc::new(Counts(self.client.clone()));
        extensions.depth = Some(counts.clone());
        extensions.purge = Some(counts);
        extensions
    }

    async fn close(&self) -> Result<()> {
        let client = &self.client;
        if client.links.is_closed() || client.members.is_empty() {
            client.links.close();
            return Ok(());
        }
        client.links.close();
        // What its consumers still hold need not wait for their leases to run out.
        let mut socket = Socket::connect(&client.config, client.tls.as_ref()).await?;
        client.members.leave_all(&mut socket).await
    }
}
