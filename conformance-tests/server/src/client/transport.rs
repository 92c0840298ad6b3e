//! The control plane. Every request has a connection of its own, so that a server that was restarted is found again.

use std::sync::Arc;

use pontoon_core::driver::{
    AnyTransport, Ensure, Extensions, OpenConsumer, OpenProducer, OpenedConsumer, OpenedProducer, Transport,
};
use pontoon_core::{Capabilities, Capability, Channel, ChannelKind, Level, MAX_DURATION, Result, Source};

use super::config;
use super::consumer::{ServerReceiver, ServerSettler, halves};
use super::extensions::Counts;
use super::link::Links;
use super::producer::ServerProducer;
use super::shared::Shared;
use super::socket::{Socket, Welcome, closed};
use crate::hurt::{Hurt, put_hurt};
use crate::protocol::{Kind, Put, Take, frame, put_ensure};

/// The transport that a `memory-server://host:port` URL names, connected once to see that a memory server answers.
///
/// # Errors
/// `InvalidUrl` for another URL; `Connection` (temporary) when nobody listens there; `Codec` when it is no memory server.
pub async fn connect(url: &str) -> Result<AnyTransport> {
    Ok(AnyTransport::new(ServerTransport::connect(url).await?))
}

/// A client of one memory server.
#[derive(Debug)]
pub struct ServerTransport {
    client: Arc<Client>,
}

/// Where the server is, and what it said first.
#[derive(Debug)]
pub(super) struct Client {
    address: String,
    welcome: Welcome,
    links: Links,
}

impl Client {
    /// A new connection.
    pub(super) async fn open(&self, operation: &'static str) -> Result<(Socket, Welcome)> {
        if self.links.is_closed() {
            return Err(closed(operation));
        }
        Socket::connect(&self.address).await
    }

    /// Asks on a connection of its own.
    pub(super) async fn ask(
        &self,
        operation: &'static str,
        kind: Kind,
        fill: impl FnOnce(&mut Vec<u8>),
        answer: Kind,
    ) -> Result<Take> {
        let (mut socket, _) = self.open(operation).await?;
        frame::put(socket.out(), kind, fill);
        socket.answer(answer, operation).await
    }
}

/// Tells a server what is to go wrong.
pub(crate) async fn hurt(url: &str, hurt: &Hurt) -> Result<()> {
    let (mut socket, _) = Socket::connect(&config::address(url)?).await?;
    frame::put(socket.out(), Kind::Hurt, |to| put_hurt(to, hurt));
    socket.answer(Kind::Done, "hurt memory server").await?;
    Ok(())
}

/// Names a queue or subscription in a request.
pub(super) fn put_source(to: &mut Vec<u8>, source: &Source) {
    to.put_text(source.channel.name.as_str());
    to.put_option(source.subscription.as_ref().map(|subscription| subscription.name.as_str()));
}

impl ServerTransport {
    /// As [`connect`], with its type.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        let address = config::address(url)?;
        let (_, welcome) = Socket::connect(&address).await?;
        Ok(ServerTransport { client: Arc::new(Client { address, welcome, links: Links::default() }) })
    }

    /// Declares a channel as another program would: also one under a native name, for [`Channel::existing`] to find.
    ///
    /// # Errors
    /// `Conflict` naming the differing field with both values.
    pub async fn declare(&self, what: &Ensure) -> Result<()> {
        let mut what = what.clone();
        what.channel.existing = false;
        self.ensure(&what).await
    }
}

/// What the server can do: what the memory model can, and surviving a crash. Replacing in one step is left out, so that
/// dead letters, retry copies and spills go by confirmed copies and the engine has its work.
fn capabilities(channel: &Channel, welcome: &Welcome) -> Capabilities {
    let ordered = channel.order.is_ordered();
    let mut found = Capabilities::new(match channel.kind {
        ChannelKind::Queue => "memory-server-queue",
        ChannelKind::Topic => "memory-server-topic",
    });
    for &capability in Capability::ALL {
        let level = match capability {
            Capability::SurvivesNodeLoss
            | Capability::PublishDedupe
            | Capability::Replay
            | Capability::Transactions
            | Capability::AtomicReplace => Level::Absent,
            Capability::SurvivesPowerLoss if !welcome.survives_power_loss => Level::Absent,
            // Within a key the order goes before any priority, and across keys there is none to compare.
            Capability::Priority if ordered => Level::Absent,
            Capability::RejectWithReason => Level::Emulated,
            _ => Level::Native,
        };
        found.set(capability, level);
    }
    found.limits.max_body = Some(welcome.max_body);
    found.limits.max_delay = Some(MAX_DURATION);
    found.limits.priorities = (!ordered).then_some(256);
    found.behaviour.returns_in_place = true;
    found.behaviour.counts_failures = true;
    found
}

impl Transport for ServerTransport {
    type Producer = ServerProducer;
    type Receiver = ServerReceiver;
    type Settler = ServerSettler;

    fn capabilities(&self, channel: &Channel) -> Capabilities {
        capabilities(channel, &self.client.welcome)
    }

    async fn ensure(&self, what: &Ensure) -> Result<()> {
        what.channel.validate()?;
        self.client.ask("ensure channel", Kind::Ensure, |to| put_ensure(to, what), Kind::Done).await?;
        Ok(())
    }

    async fn open_producer(&self, how: OpenProducer) -> Result<OpenedProducer<ServerProducer>> {
        let (mut socket, welcome) = self.client.open("open producer").await?;
        frame::put(socket.out(), Kind::OpenProducer, |to| to.put_text(how.channel.name.as_str()));
        socket.answer(Kind::Done, "open producer").await?;
        socket.expect_beats(welcome.beat);
        let capabilities = capabilities(&how.channel, &welcome);
        let producer = ServerProducer::new(socket, self.client.links.link(), how, welcome.max_body);
        Ok(OpenedProducer::new(producer, capabilities))
    }

    async fn open_consumer(&self, how: OpenConsumer) -> Result<OpenedConsumer<ServerReceiver, ServerSettler>> {
        let (mut socket, welcome) = self.client.open("open consumer").await?;
        frame::put(socket.out(), Kind::OpenConsumer, |to| {
            put_source(to, &how.source);
            to.put_u32(u32::try_from(how.prefetch).unwrap_or(u32::MAX));
        });
        socket.answer(Kind::Done, "open consumer").await?;
        socket.expect_beats(welcome.beat);
        let capabilities = capabilities(&how.source.channel, &welcome);
        let (receiver, settler) = halves(Shared::new(socket, welcome.connection, self.client.links.link()));
        Ok(OpenedConsumer::new(receiver, settler, capabilities).with_lease(welcome.lease))
    }

    fn extensions(&self) -> Extensions {
        let mut extensions = Extensions::none();
        let counts = Arc::new(Counts(self.client.clone()));
        extensions.depth = Some(counts.clone());
        extensions.purge = Some(counts);
        extensions
    }

    async fn close(&self) -> Result<()> {
        self.client.links.close();
        Ok(())
    }
}
