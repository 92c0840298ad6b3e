//! The conformance suite on real brokers: whichever `cargo xtask brokers` has up, of the versions that are tested.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use pontoon_conformance::harness::{BrokerProcess, Control, Harm, HarmKind, Harness, Profile, Proxy, Site, Timings};
use pontoon_conformance::proxy::Direction;
use pontoon_core::driver::{AnyTransport, BoxFuture, Transport};
use pontoon_core::{ChannelKind, Error, ErrorKind, Result};
use pontoon_rabbitmq::{RabbitConfig, RabbitConnections, RabbitTransport};

/// The brokers: the version in the names of their profiles, where each one is, and what `cargo xtask brokers` calls it.
const BROKERS: [(&str, &str, &str); 2] =
    [("4.0", "PONTOON_RABBITMQ_URL", "rabbitmq"), ("3.10", "PONTOON_RABBITMQ_OLD_URL", "rabbitmq-old")];

struct Rabbit;

/// A broker that all checks share, behind a proxy that each has for itself.
struct Node {
    direct: RabbitConfig,
    proxied: RabbitConfig,
    proxy: Proxy,
    /// Its process, where nobody else uses it: in storms.
    process: Option<BrokerProcess>,
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
            let (direct, name) = broker_of(profile)?;
            let (host, port) = &direct.nodes[0];
            let upstream: SocketAddr =
                format!("{host}:{port}").parse().map_err(|_| no_broker("its address is no IP address"))?;
            let proxy = Proxy::open_picking(upstream, seed, is_about_publishing)
                .await
                .map_err(|cause| no_broker("no proxy").with_source(cause))?;
            let mut proxied = direct.clone();
            proxied.nodes = vec![(proxy.address().ip().to_string(), proxy.address().port())];
            let process = BrokerProcess::named(name);
            Ok(Arc::new(Node { direct, proxied, proxy, process }) as Arc<dyn Site>)
        })
    }

    fn join<'a>(&'a self, profile: &'a Profile, address: &'a str) -> BoxFuture<'a, Result<AnyTransport>> {
        Box::pin(async move {
            let port = address.parse().map_err(|_| no_broker("the address is no port"))?;
            let (mut config, _) = broker_of(profile)?;
            config.nodes = vec![(Ipv4Addr::LOCALHOST.to_string(), port)];
            Ok(AnyTransport::new(RabbitTransport::connect(config).await?))
        })
    }
}

/// The broker with this profile, as the environment has it, and its name.
fn broker_of(profile: &Profile) -> Result<(RabbitConfig, &'static str)> {
    let place = BROKERS.iter().find(|(version, ..)| profile.name.contains(&format!("-{version}-")));
    let Some((_, variable, name)) = place else { return Err(no_broker("no broker has this profile")) };
    let url = std::env::var(variable).map_err(|_| {
        no_broker(variable)
            .with_help("run `cargo xtask brokers up rabbitmq rabbitmq-old` and `cargo xtask brokers env`")
    })?;
    Ok((RabbitConfig::from_url(&url)?, name))
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
            Pause | Restart => self.process.is_some(),
            _ => false,
        }
    }

    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match (harm, &self.process) {
                (Harm::Pause, Some(process)) => process.pause().await?,
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
                Some(process) => process.resume().await,
                None => Ok(()),
            }
        })
    }

    fn silence_noticed_within(&self) -> Option<Duration> {
        None
    }
}

fn main() -> std::process::ExitCode {
    pontoon_conformance::main(Rabbit, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected.toml"))
}
