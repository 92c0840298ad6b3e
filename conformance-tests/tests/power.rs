//! Losses of power under load, on the memory server: where each confirmation waits for the disk nothing is lost, and where it
//! does not, what is lost is found.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use pontoon_conformance::checker::{AnomalyKind, Verdict, judge};
use pontoon_conformance::harness::{Control, Disk, Harm, HarmKind, Profile, Proxy, Site, Timings};
use pontoon_conformance::run::seed;
use pontoon_conformance::storm::{Plan, Storm, storm};
use pontoon_core::driver::{AnyTransport, BoxFuture, Transport};
use pontoon_core::{Capability, Channel, ChannelKind, Error, ErrorKind, Result};
use pontoon_memory_server::{MemoryServer, ServerOptions};

/// A server on a disk of its own. Dropped in this order: the server stores on the disk.
struct Powered {
    server: Arc<Mutex<MemoryServer>>,
    disk: Arc<Disk>,
    proxy: Proxy,
}

fn wrong(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, "cut the power", error.to_string())
}

impl Powered {
    async fn up(disk: Disk, sync: &'static str) -> Result<Self> {
        let options = ServerOptions::default().in_this_program().with_sync(sync).in_folder(disk.folder());
        let server = tokio::task::spawn_blocking(|| MemoryServer::start(options)).await.map_err(wrong)??;
        let upstream: SocketAddr = server.url().trim_start_matches("memory-server://").parse().map_err(wrong)?;
        let proxy = Proxy::open(upstream, seed()).await.map_err(wrong)?;
        Ok(Powered { server: Arc::new(Mutex::new(server)), disk: Arc::new(disk), proxy })
    }
}

impl Site for Powered {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async {
            let url = format!("memory-server://{}", self.proxy.address());
            Ok(AnyTransport::new(pontoon_memory_server::connect(&url).await?))
        })
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

impl Control for Powered {
    fn offers(&self, harm: HarmKind) -> bool {
        harm == HarmKind::Restart
    }

    /// The server stands still, so that nobody hears of anything later; what the disk has by then is all that is left.
    fn harm(&self, _: Harm) -> BoxFuture<'_, Result<()>> {
        let (server, disk) = (self.server.clone(), self.disk.clone());
        let work = move || {
            let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
            server.pause()?;
            disk.lose_power(|| server.kill())?;
            server.restart()
        };
        Box::pin(async move { tokio::task::spawn_blocking(work).await.map_err(wrong)? })
    }

    fn heal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// Five losses of power; `None` with the reason where this machine has no disk to lose.
fn over(sync: &'static str) -> Result<std::result::Result<(Storm, bool), Error>, Failed> {
    static DISKS: AtomicU32 = AtomicU32::new(0);
    let number = DISKS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("pontoon-power-{}-{number}", std::process::id()));
    let disk = match Disk::on(folder) {
        Ok(disk) => disk,
        Err(error) => return Ok(Err(error)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let powered: Arc<dyn Site> = Arc::new(Powered::up(disk, sync).await?);
        let channel = Channel::queue("power")?;
        let declared = powered.connect().await?.capabilities(&channel).has(Capability::SurvivesPowerLoss);
        let profile = Profile::new("memory-server-queue", ChannelKind::Queue);
        let mut plan = Plan::short();
        plan.cuts = 0;
        let storm = storm(&powered, &profile, &Timings::real(), &plan, seed(), |transport| transport).await?;
        println!("{storm}");
        Ok(Ok((storm, declared)))
    })
}

fn always_loses_nothing() -> Result<Completion, Failed> {
    let (storm, declared) = match over("always")? {
        Ok(found) => found,
        Err(error) => return Ok(Completion::ignored_with(error.to_string())),
    };
    if declared && storm.verdict.is_passed() && storm.strikes.len() == 5 {
        return Ok(Completion::Completed);
    }
    Err(format!("survives power loss is declared: {declared}\n{storm}").into())
}

/// Held to what it does not declare, it is found to break it: the run would have noticed.
fn every_second_is_found_to_lose() -> Result<Completion, Failed> {
    let (storm, declared) = match over("everysec")? {
        Ok(found) => found,
        Err(error) => return Ok(Completion::ignored_with(error.to_string())),
    };
    let mut promises = storm.promises.clone();
    promises.durable = true;
    let verdict = judge(&storm.history, &promises);
    let found = matches!(verdict, Verdict::Failed(_)) && verdict.kinds().contains(&AnomalyKind::LostConfirmed);
    if !declared && found {
        return Ok(Completion::Completed);
    }
    Err(format!("survives power loss is declared: {declared}; what was lost is not found: {verdict}\n{storm}").into())
}

fn main() -> ExitCode {
    // Started again as a memory server, this program is one.
    pontoon_memory_server::run_if_asked();
    let trials = vec![
        Trial::ignorable_test("with `always` nothing is lost", always_loses_nothing),
        Trial::ignorable_test("with `everysec` what is lost is found", every_second_is_found_to_lose),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
