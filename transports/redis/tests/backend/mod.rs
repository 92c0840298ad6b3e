//! Redis 8.0 and 7.0 as a backend of the suite: for each check a server of its own, behind a proxy, so that none is hurt
//! by another's harms.

mod server;

use std::sync::Arc;
use std::time::Duration;

use pontoon_conformance::harness::{Control, Harm, HarmKind, Harness, Profile, Site, Timings};
use pontoon_conformance::proxy::{Direction, Proxy};
use pontoon_core::driver::{AnyTransport, BoxFuture};
use pontoon_core::{ChannelKind, Error, ErrorKind, Result};
use pontoon_redis::{RedisConfig, RedisTransport};

pub(crate) use server::Server;

pub(crate) struct Redis;

/// The servers, as `cargo xtask brokers` names them, by the beginning of the profiles' names.
const SERVERS: [(&str, &str); 2] = [("redis-8.0", "redis"), ("redis-7.0", "redis-old")];

const LEASE: Duration = Duration::from_secs(2);

/// The server that one check has for itself, and the way there.
struct Own {
    server: Arc<Server>,
    proxy: Proxy,
}

impl Harness for Redis {
    fn name(&self) -> &str {
        "redis"
    }

    fn profiles(&self) -> Vec<Profile> {
        let kinds = [("queue", ChannelKind::Queue), ("topic", ChannelKind::Topic)];
        let all = SERVERS.iter().flat_map(|(server, _)| kinds.map(|(name, kind)| (format!("{server}-{name}"), kind)));
        all.map(|(name, kind)| Profile::new(name, kind)).collect()
    }

    fn timings(&self) -> Timings {
        Timings::real()
    }

    fn open<'a>(&'a self, profile: &'a Profile, seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        Box::pin(async move {
            let known = SERVERS.into_iter().find(|(profiles, _)| profile.name.starts_with(profiles));
            let (_, name) = known.ok_or_else(|| wrong("no server has this profile"))?;
            let server = Arc::new(beside(move || Server::start(name)).await?);
            let proxy = Proxy::open(server.address(), seed).await.map_err(|error| wrong(&error.to_string()))?;
            Ok(Arc::new(Own { server, proxy }) as Arc<dyn Site>)
        })
    }

    fn join<'a>(&'a self, _: &'a Profile, address: &'a str) -> BoxFuture<'a, Result<AnyTransport>> {
        Box::pin(async move {
            let port = address.parse().map_err(|_| wrong("the address is no port"))?;
            Ok(AnyTransport::new(RedisTransport::connect(config(port)).await?))
        })
    }
}

/// How every client of the suite connects.
pub(crate) fn config(port: u16) -> RedisConfig {
    let mut config = RedisConfig::default();
    config.port = port;
    config.lease = LEASE;
    config.max_body = 1 << 20;
    config
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Internal, "run redis", what)
}

/// Works on the process, which takes a while, beside the runtime.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| wrong(&error.to_string()))?
}

impl Own {
    async fn with_server(&self, work: impl FnOnce(&Server) -> Result<()> + Send + 'static) -> Result<()> {
        let server = self.server.clone();
        beside(move || work(&server)).await
    }
}

impl Site for Own {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async { Ok(AnyTransport::new(RedisTransport::connect(config(self.proxy.address().port())).await?)) })
    }

    fn control(&self) -> &dyn Control {
        self
    }

    fn address(&self) -> Option<String> {
        Some(self.proxy.address().port().to_string())
    }
}

impl Control for Own {
    fn offers(&self, harm: HarmKind) -> bool {
        harm != HarmKind::FailSettlements
    }

    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match harm {
                Harm::Cut => self.proxy.cut(),
                Harm::HalfOpen => self.proxy.hush(true),
                Harm::LoseReplies(times) => self.proxy.lose(Direction::Reply, times),
                Harm::BreakPublishing(times) => self.proxy.break_off(times),
                Harm::Pause => self.with_server(Server::pause).await?,
                Harm::Restart => self.with_server(Server::restart).await?,
                Harm::RefuseDeadLetters => self.with_server(Server::refuse_dead_letters).await?,
                // A lease is a consumer's: with it end those of all that it holds.
                Harm::ExpireLeases(_) => self.with_server(Server::expire_leases).await?,
                Harm::Delete(channel) => self.with_server(move |server| server.delete(&channel)).await?,
                other => {
                    let words = format!("this server cannot be made to do that: {}", other.kind());
                    return Err(Error::new(ErrorKind::Unsupported, "hurt redis", words));
                }
            }
            Ok(())
        })
    }

    fn heal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.proxy.heal();
            self.with_server(Server::heal).await
        })
    }

    fn silence_noticed_within(&self) -> Option<Duration> {
        // A lease, one look, and what a machine with other work takes to notice that time is over.
        Some(LEASE + RedisConfig::default().look_every + Timings::real().slack())
    }
}
