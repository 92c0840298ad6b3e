//! Redis 8.0 and 7.0 as a backend of the suite. `cargo xtask test` and `cargo xtask conformance` start them and say where
//! they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pontoon_conformance::harness::{Control, Harm, HarmKind, Harness, Profile, Proxy, Site, Timings};
use pontoon_core::driver::{AnyTransport, BoxFuture};
use pontoon_core::{ChannelKind, Error, ErrorKind, Result};
use pontoon_redis::{RedisConfig, RedisTransport};

pub(crate) struct Redis;

/// The variables that say where the servers are, by the beginning of the profiles' names.
const SERVERS: [(&str, &str); 2] = [("redis-8.0", "PONTOON_REDIS_URL"), ("redis-7.0", "PONTOON_REDIS_OLD_URL")];

/// The way to one server that one check has for itself.
struct Way {
    config: RedisConfig,
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
            let (_, variable) = SERVERS
                .into_iter()
                .find(|(server, _)| profile.name.starts_with(server))
                .ok_or_else(|| missing("no server has this profile"))?;
            let url = std::env::var(variable).map_err(|_| {
                missing("no server is named").with("variable", variable).with_help("run `cargo xtask conformance`")
            })?;
            let mut config = RedisConfig::from_url(&url)?;
            let upstream: SocketAddr = format!("{}:{}", config.host, config.port).parse().map_err(gone)?;
            let proxy = Proxy::open(upstream, seed).await.map_err(gone)?;
            config.port = proxy.address().port();
            config.lease = Duration::from_secs(2);
            config.max_body = 1 << 20;
            Ok(Arc::new(Way { config, proxy }) as Arc<dyn Site>)
        })
    }
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, "find redis", what)
}

fn gone(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "reach redis", "it cannot be reached").with_source(error)
}

impl Site for Way {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async { Ok(AnyTransport::new(RedisTransport::connect(self.config.clone()).await?)) })
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

impl Control for Way {
    fn offers(&self, harm: HarmKind) -> bool {
        matches!(harm, HarmKind::Cut | HarmKind::HalfOpen)
    }

    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match harm {
                Harm::Cut => self.proxy.cut(),
                Harm::HalfOpen => self.proxy.hush(true),
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
            Ok(())
        })
    }
}
