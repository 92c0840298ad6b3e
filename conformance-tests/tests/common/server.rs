//! The memory server as a backend of the suite: a process to kill and pause, behind a proxy that cuts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pontoon_conformance::harness::{Control, Harm, HarmKind, Harness, Profile, Proxy, Site, Timings};
use pontoon_conformance::proxy::Direction;
use pontoon_core::driver::{AnyTransport, BoxFuture};
use pontoon_core::{ChannelKind, Error, ErrorKind, Result};
use pontoon_memory::{Chance, Fault};
use pontoon_memory_server::{Hurt, MemoryServer, ServerOptions};
use tokio::runtime::Handle;

pub(crate) struct Server;

/// How often the server beats; what it says is stretched as all bounds are.
const BEAT: Duration = Duration::from_millis(1_500);

/// One process for each check, so that none is hurt by another's harms.
struct Process {
    server: Arc<Mutex<MemoryServer>>,
    proxy: Proxy,
}

impl Harness for Server {
    fn name(&self) -> &str {
        "memory-server"
    }

    fn profiles(&self) -> Vec<Profile> {
        let profile = |name, kind| Profile::new(name, kind).with_room(5_000);
        vec![profile("memory-server-queue", ChannelKind::Queue), profile("memory-server-topic", ChannelKind::Topic)]
    }

    fn timings(&self) -> Timings {
        Timings::real()
    }

    fn open<'a>(&'a self, _: &'a Profile, seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        Box::pin(async move {
            let options = ServerOptions::default()
                .in_this_program()
                .with_beat(BEAT.mul_f64(self.timings().scale))
                .with_setting("lease", "2s")
                .with_setting("key_window", "4")
                .with_setting("max_messages", "5000")
                .with_setting("max_body", "1MiB");
            let server = tokio::task::spawn_blocking(|| MemoryServer::start(options)).await.map_err(gone)??;
            let upstream: SocketAddr = server.url().trim_start_matches("memory-server://").parse().map_err(gone)?;
            let proxy = Proxy::open(upstream, seed).await.map_err(gone)?;
            Ok(Arc::new(Process { server: Arc::new(Mutex::new(server)), proxy }) as Arc<dyn Site>)
        })
    }

    fn join<'a>(&'a self, _: &'a Profile, address: &'a str) -> BoxFuture<'a, Result<AnyTransport>> {
        Box::pin(async move { Ok(AnyTransport::new(pontoon_memory_server::connect(address).await?)) })
    }
}

fn gone(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "run memory server", "it cannot be reached").with_source(error)
}

impl Process {
    fn url(&self) -> String {
        format!("memory-server://{}", self.proxy.address())
    }

    /// Asks the process itself, beside the proxy.
    async fn hurt(&self, hurt: Hurt) -> Result<()> {
        let runtime = Handle::current();
        self.with_server(move |server| runtime.block_on(server.hurt(hurt))).await
    }

    /// Works on the process, which takes a while, beside the runtime.
    async fn with_server(&self, work: impl FnOnce(&mut MemoryServer) -> Result<()> + Send + 'static) -> Result<()> {
        let server = self.server.clone();
        let work = move || work(&mut server.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await.map_err(gone)?
    }
}

impl Site for Process {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async { Ok(AnyTransport::new(pontoon_memory_server::connect(&self.url()).await?)) })
    }

    fn control(&self) -> &dyn Control {
        self
    }

    fn address(&self) -> Option<String> {
        Some(self.url())
    }
}

impl Control for Process {
    fn offers(&self, _: HarmKind) -> bool {
        true
    }

    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let fault = |fault, chance| self.hurt(Hurt::Fault(fault, chance));
            match harm {
                Harm::Cut => self.proxy.cut(),
                Harm::HalfOpen => self.proxy.hush(true),
                Harm::LoseReplies(times) => self.proxy.lose(Direction::Reply, times),
                Harm::BreakPublishing(times) => self.proxy.break_off(times),
                Harm::Pause => self.with_server(|server| server.pause()).await?,
                Harm::Restart => self.with_server(MemoryServer::restart).await?,
                Harm::RefuseDeadLetters => fault(Fault::RefuseDeadLetter, Chance::ALWAYS).await?,
                Harm::FailSettlements(times) => fault(Fault::FailSettle, Chance::ALWAYS.times(times)).await?,
                Harm::ExpireLeases(times) => fault(Fault::ExpireLease, Chance::ALWAYS.times(times)).await?,
                Harm::Delete(channel) => self.hurt(Hurt::Delete(channel)).await?,
                other => {
                    let words = format!("the memory server cannot be made to do that: {}", other.kind());
                    return Err(Error::new(ErrorKind::Unsupported, "hurt broker", words));
                }
            }
            Ok(())
        })
    }

    fn heal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.proxy.heal();
            self.with_server(|server| server.resume()).await?;
            self.hurt(Hurt::Heal).await
        })
    }

    fn silence_noticed_within(&self) -> Option<Duration> {
        let timings = Timings::real();
        Some(2 * BEAT.mul_f64(timings.scale) + timings.slack())
    }
}
