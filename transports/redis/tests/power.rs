//! Losses of power under load: with `appendfsync always` nothing is lost; with `everysec`, which is not declared to survive
//! them, what is lost is found.

#[allow(dead_code)] // the suite's part of it
mod backend;
mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use pontoon_conformance::checker::{AnomalyKind, Verdict, judge};
use pontoon_conformance::harness::{Control, Disk, Harm, HarmKind, Profile, Proxy, Site, Timings};
use pontoon_conformance::run::seed;
use pontoon_conformance::storm::{Plan, Storm, storm};
use pontoon_core::driver::{AnyTransport, BoxFuture, Transport};
use pontoon_core::{Capability, Channel, ChannelKind, Error, ErrorKind, Result};
use pontoon_redis::RedisTransport;
use xtask::brokers::state::Extras;

use backend::{Server, config};
use common::Other;

/// A server on a disk of its own, which goes after it.
struct Powered {
    server: Arc<Server>,
    disk: Arc<Disk>,
    proxy: Proxy,
    appendfsync: &'static str,
}

fn wrong(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, "cut the power", error.to_string())
}

/// When the file is synchronised from now on: a start takes it from the configuration.
fn synchronise(server: &Server, appendfsync: &str) -> Result<()> {
    let answer =
        Other::at(&format!("redis://{}", server.address())).ask(&["CONFIG", "SET", "appendfsync", appendfsync]);
    if answer == "OK" { Ok(()) } else { Err(wrong(answer)) }
}

impl Powered {
    async fn up(disk: Disk, appendfsync: &'static str) -> Result<Self> {
        let start = move || {
            let server = Server::start_in("redis", Extras::default(), disk.folder().join("redis"))?;
            synchronise(&server, appendfsync)?;
            disk.sync()?;
            Ok::<_, Error>((server, disk))
        };
        let (server, disk) = tokio::task::spawn_blocking(start).await.map_err(wrong)??;
        let proxy = Proxy::open(server.address(), seed()).await.map_err(wrong)?;
        Ok(Powered { server: Arc::new(server), disk: Arc::new(disk), proxy, appendfsync })
    }
}

impl Site for Powered {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async { Ok(AnyTransport::new(RedisTransport::connect(config(self.proxy.address().port())).await?)) })
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
        let (server, disk, appendfsync) = (self.server.clone(), self.disk.clone(), self.appendfsync);
        let work = move || {
            server.pause()?;
            disk.lose_power(|| server.kill())?;
            server.start_again()?;
            synchronise(&server, appendfsync)
        };
        Box::pin(async move { tokio::task::spawn_blocking(work).await.map_err(wrong)? })
    }

    fn heal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// Five losses of power; whether surviving them is declared; the reason where this machine has no disk to lose.
fn over(appendfsync: &'static str) -> Result<Result<(Storm, bool)>, Failed> {
    let folder = format!("power-{}-{appendfsync}", std::process::id());
    let disk = match Disk::on(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder)) {
        Ok(disk) => disk,
        Err(error) => return Ok(Err(error)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let powered: Arc<dyn Site> = Arc::new(Powered::up(disk, appendfsync).await?);
        let channel = Channel::queue("power")?;
        let declared = powered.connect().await?.capabilities(&channel).has(Capability::SurvivesPowerLoss);
        let profile = Profile::new("redis-8.0-queue", ChannelKind::Queue);
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
    let trials = vec![
        Trial::ignorable_test("with `always` nothing is lost", always_loses_nothing),
        Trial::ignorable_test("with `everysec` what is lost is found", every_second_is_found_to_lose),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
