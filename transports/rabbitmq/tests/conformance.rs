//! The conformance suite on real brokers: whichever `cargo xtask brokers` has up, of the versions that are tested.

mod own;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use pontoon_conformance::harness::{BrokerProcess, Control, Harm, HarmKind, Harness, Profile, Proxy, Site, Timings};
use pontoon_conformance::proxy::Direction;
use pontoon_core::driver::{AnyTransport, BoxFuture, Transport};
use pontoon_core::engine::{Consumer, ConsumerOptions, Environment, Publisher, PublisherOptions};
use pontoon_core::{Channel, ChannelKind, DeadLetterPolicy, Delay, Error, ErrorKind, Message, Result, Source};
use pontoon_rabbitmq::{RabbitConfig, RabbitConnections, RabbitTransport};

use own::{SAFE_AFTER, Server};

/// The brokers: the version in the names of their profiles, where each one is, and what `cargo xtask brokers` calls it.
const BROKERS: [(&str, &str, &str); 2] =
    [("4.0", "PONTOON_RABBITMQ_URL", "rabbitmq"), ("3.10", "PONTOON_RABBITMQ_OLD_URL", "rabbitmq-old")];

/// How long a broker may take for the first message.
const WARM_WITHIN: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Rabbit {
    /// Beside each of the brokers that checks share, one to be killed.
    killed: [Arc<Killed>; BROKERS.len()],
}

/// A broker for checks that kill it, which take turns. It is started for the first of them.
#[derive(Default)]
struct Killed {
    turns: Mutex<()>,
    server: Mutex<Option<Arc<Server>>>,
}

impl Killed {
    /// The broker, running.
    fn up(&self, name: &str) -> Result<Arc<Server>> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = &*server {
            server.up()?;
            return Ok(server.clone());
        }
        Ok(server.insert(Arc::new(Server::start(name)?)).clone())
    }
}

/// A broker behind a proxy that each check has for itself.
struct Node {
    direct: RabbitConfig,
    proxied: RabbitConfig,
    proxy: Proxy,
    /// Its process, where no other check uses it.
    process: Option<Process>,
}

/// How a process is handled.
enum Process {
    /// By a command: in storms.
    Commanded(BrokerProcess),
    /// By whoever started it.
    Own(Arc<Server>),
}

impl Harness for Rabbit {
    fn name(&self) -> &str {
        "rabbitmq"
    }

    fn profiles(&self) -> Vec<Profile> {
        let of = |version: &str| {
            let name = |kind| format!("rabbitmq-{version}-{kind}");
            [Profile::new(name("quorum"), ChannelKind::Queue), Profile::new(name("topic"), ChannelKind::Topic)]
        };
        BROKERS.into_iter().flat_map(|(version, ..)| of(version)).collect()
    }

    fn timings(&self) -> Timings {
        Timings::real()
    }

    fn open<'a>(&'a self, profile: &'a Profile, seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        Box::pin(async move {
            let (url, name) = shared(profile)?;
            behind_a_proxy(&url, seed, BrokerProcess::named(name).map(Process::Commanded)).await
        })
    }

    fn join<'a>(&'a self, profile: &'a Profile, address: &'a str) -> BoxFuture<'a, Result<AnyTransport>> {
        Box::pin(async move {
            let port = address.parse().map_err(|_| no_broker("the address is no port"))?;
            let mut config = RabbitConfig::from_url(&shared(profile)?.0)?;
            config.nodes = vec![(Ipv4Addr::LOCALHOST.to_string(), port)];
            Ok(AnyTransport::new(RabbitTransport::connect(config).await?))
        })
    }

    fn open_to_kill<'a>(&'a self, profile: &'a Profile, seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        Box::pin(async move {
            let number = number_of(profile)?;
            let killed = self.killed[number].clone();
            let server = beside(move || killed.up(BROKERS[number].2)).await?;
            let url = server.url();
            warm(&url).await?;
            behind_a_proxy(&url, seed, Some(Process::Own(server))).await
        })
    }

    fn turns<'a>(&'a self, profile: &'a Profile) -> Option<&'a Mutex<()>> {
        number_of(profile).ok().map(|number| &self.killed[number].turns)
    }
}

/// Where the broker with this profile is that checks share, and what it is called.
fn shared(profile: &Profile) -> Result<(String, &'static str)> {
    let (_, variable, name) = BROKERS[number_of(profile)?];
    let url = std::env::var(variable).map_err(|_| {
        no_broker(variable)
            .with_help("run `cargo xtask brokers up rabbitmq rabbitmq-old` and `cargo xtask brokers env`")
    })?;
    Ok((url, name))
}

fn number_of(profile: &Profile) -> Result<usize> {
    let has = |(version, ..): &(&str, &str, &str)| profile.name.contains(&format!("-{version}-"));
    BROKERS.iter().position(has).ok_or_else(|| no_broker("no broker has this profile"))
}

async fn behind_a_proxy(url: &str, seed: u64, process: Option<Process>) -> Result<Arc<dyn Site>> {
    let direct = RabbitConfig::from_url(url)?;
    let (host, port) = &direct.nodes[0];
    let upstream: SocketAddr =
        format!("{host}:{port}").parse().map_err(|_| no_broker("its address is no IP address"))?;
    let proxy = Proxy::open_picking(upstream, seed, is_about_publishing)
        .await
        .map_err(|cause| no_broker("no proxy").with_source(cause))?;
    let mut proxied = direct.clone();
    proxied.nodes = vec![(proxy.address().ip().to_string(), proxy.address().port())];
    Ok(Arc::new(Node { direct, proxied, proxy, process }))
}

/// Sends one message through a bucket. A broker is healthy when it answers, but the first of everything takes it long, on a
/// machine with other work: not at the expense of a check.
async fn warm(url: &str) -> Result<()> {
    let transport = AnyTransport::new(RabbitTransport::connect(RabbitConfig::from_url(url)?).await?);
    let mut channel = Channel::queue(format!("warm.{:x}", pontoon_core::os_seed()))?;
    channel.dead_letter = DeadLetterPolicy::Discard;
    let env = Environment::new();
    let publisher = Publisher::open(&transport, channel.clone(), PublisherOptions::default(), &env).await?;
    let source = Source::new(channel, None)?;
    let consumer = Consumer::open(&transport, source, ConsumerOptions::default(), &env).await?;
    let sent = publisher.publish(Message::new("warm").with_delay(Delay::For(Duration::from_millis(10)))).await;
    sent.map_err(|cause| no_broker("it does not store").with_source(cause))?;
    let taken = tokio::time::timeout(WARM_WITHIN, consumer.next()).await;
    let taken = taken.map_err(|_| no_broker("it does not hand over"))?.transpose()?;
    let _ = taken.ok_or_else(|| no_broker("it does not hand over"))?.ack();
    let _ = consumer.drain(WARM_WITHIN).await;
    transport.close().await
}

/// Works on a process, which takes a while, beside the runtime.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|cause| no_broker("its process").with_source(cause))?
}

impl Process {
    async fn restart(&self) -> Result<()> {
        match self {
            Process::Commanded(process) => process.restart().await,
            Process::Own(server) => {
                // What a check declared a moment ago is not to be lost with the broker: no transport can help that.
                tokio::time::sleep(SAFE_AFTER).await;
                let server = server.clone();
                beside(move || server.kill().and_then(|()| server.up())).await
            }
        }
    }
}

/// A publish, or a confirmation: the numbers of class and method, which an AMQP frame begins with.
fn is_about_publishing(direction: Direction, piece: &[u8]) -> bool {
    const PUBLISH: &[u8] = &[0, 60, 0, 40];
    const ACK: &[u8] = &[0, 60, 0, 80];
    let method = match direction {
        Direction::Request => PUBLISH,
        Direction::Reply => ACK,
    };
    piece.windows(method.len()).any(|window| window == method)
}

fn no_broker(what: &str) -> Error {
    Error::new(ErrorKind::Connection, "find broker", what)
}

impl Site for Node {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async { Ok(AnyTransport::new(RabbitTransport::connect(self.proxied.clone()).await?)) })
    }

    fn control(&self) -> &dyn Control {
        self
    }

    fn address(&self) -> Option<String> {
        Some(self.proxy.address().port().to_string())
    }
}

impl Node {
    /// What is done to the way there, or as an administrator.
    async fn hurt_way(&self, harm: Harm) -> Result<()> {
        match harm {
            Harm::Cut => self.proxy.cut(),
            Harm::HalfOpen => self.proxy.hush(true),
            Harm::LoseReplies(times) => self.proxy.lose(Direction::Reply, times),
            Harm::BreakPublishing(times) => self.proxy.break_off(times),
            Harm::Delete(channel) => self.delete(&channel).await?,
            other => {
                let words = format!("a broker that others use cannot be made to do that: {}", other.kind());
                return Err(Error::new(ErrorKind::Unsupported, "hurt broker", words));
            }
        }
        Ok(())
    }

    /// Deletes what a channel of a check consists of, as an administrator would: not through the proxy. What is not
    /// there is deleted already.
    async fn delete(&self, channel: &str) -> Result<()> {
        let transport = RabbitTransport::connect(self.direct.clone()).await?;
        let native = transport.extensions().native.and_then(|native| native.downcast::<RabbitConnections>().ok());
        let connection = native.ok_or_else(|| no_broker("the transport shows no connection"))?.consuming().await?;
        let failed = |cause: lapin::Error| no_broker("an administrator was refused").with_source(cause);
        let client = connection.create_channel().await.map_err(failed)?;
        for queue in [channel.to_owned(), format!("{channel}--sub-one")] {
            client.queue_delete(queue.into(), QueueDeleteOptions::default()).await.map_err(failed)?;
        }
        for exchange in [channel.to_owned(), format!("{channel}--facts")] {
            client.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.map_err(failed)?;
        }
        transport.close().await
    }
}

impl Control for Node {
    fn offers(&self, harm: HarmKind) -> bool {
        use HarmKind::{BreakPublishing, Cut, Delete, HalfOpen, LoseReplies, Pause, Restart};
        match harm {
            Cut | HalfOpen | LoseReplies | BreakPublishing | Delete => true,
            Restart => self.process.is_some(),
            Pause => matches!(self.process, Some(Process::Commanded(_))),
            _ => false,
        }
    }

    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match (harm, &self.process) {
                (Harm::Pause, Some(Process::Commanded(process))) => process.pause().await?,
                (Harm::Restart, Some(process)) => process.restart().await?,
                (harm, _) => self.hurt_way(harm).await?,
            }
            Ok(())
        })
    }

    fn heal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.proxy.heal();
            match &self.process {
                Some(Process::Commanded(process)) => process.resume().await,
                _ => Ok(()),
            }
        })
    }

    fn silence_noticed_within(&self) -> Option<Duration> {
        None
    }
}

fn main() -> std::process::ExitCode {
    pontoon_conformance::main(Rabbit::default(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected.toml"))
}
