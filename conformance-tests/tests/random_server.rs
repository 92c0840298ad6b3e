//! Random schedules on the memory server, in real time: cuts, silence, pauses, kills and the faults of its model.
//!
//! `PONTOON_SEEDS` says how many, `PONTOON_SEED=n` repeats one: the same schedule, if not the same history. What
//! happened in a schedule that fails is kept in a file, which the failure names.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use pontoon_conformance::history::FaultKind;
use pontoon_conformance::random::{Report, SEED, Stage, Trouble, schedule, seeds};
use pontoon_core::driver::AnyTransport;
use pontoon_memory::{Chance, Fault};
use pontoon_memory_server::{Hurt, MemoryServer, ServerOptions};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

const COMMAND: &str = "cargo test -p pontoon-conformance --test random_server";
/// Real time: everything takes longer than on `memory://`.
const SCALE: f64 = 2.0;

/// Clients notice silence within twice this.
const BEAT: Duration = Duration::from_secs(1);
/// How long a schedule may take: the waits within it are bounded, and end before.
const LONGEST: Duration = Duration::from_secs(300);

/// What the model does by itself once it is told to, for so many times.
const MODEL: [(FaultKind, Fault); 5] = [
    (FaultKind::Duplicate, Fault::Duplicate),
    (FaultKind::DelayedDelivery, Fault::DelayDelivery),
    (FaultKind::ExpiredLease, Fault::ExpireLease),
    (FaultKind::DeadLetterRefused, Fault::RefuseDeadLetter),
    (FaultKind::FailedSettle, Fault::FailSettle),
];

/// The faults of one server. Each is made before anything else is written down, though that takes a while.
struct Process(Mutex<MemoryServer>);

impl Process {
    fn hurt(&self, hurt: Hurt) {
        let server = self.0.lock().unwrap();
        let asked = tokio::time::timeout(Duration::from_millis(500), server.hurt(hurt));
        // A server that is paused cannot be asked, and is hurt already.
        let _ = block_in_place(|| Handle::current().block_on(asked));
    }
}

impl Trouble for Process {
    fn kinds(&self) -> Vec<FaultKind> {
        let model = MODEL.into_iter().map(|(kind, _)| kind);
        model.chain([FaultKind::Cut, FaultKind::HalfOpen, FaultKind::BrokerKilled, FaultKind::BrokerPaused]).collect()
    }

    fn begin(&self, kind: FaultKind, draw: u64) {
        match kind {
            FaultKind::Cut => self.hurt(Hurt::Cut),
            FaultKind::HalfOpen => self.hurt(Hurt::Freeze),
            FaultKind::BrokerKilled => block_in_place(|| self.0.lock().unwrap().restart().unwrap()),
            FaultKind::BrokerPaused => self.0.lock().unwrap().pause().unwrap(),
            model => {
                let (_, fault) = MODEL.into_iter().find(|(kind, _)| *kind == model).unwrap();
                self.hurt(Hurt::Fault(fault, Chance::of(0.15).times(1 + draw % 11)));
            }
        }
    }

    fn end(&self, kind: FaultKind) {
        match kind {
            FaultKind::Cut | FaultKind::BrokerKilled => {}
            // Connections that fell silent stay so: it is over when their clients have noticed.
            FaultKind::HalfOpen => block_in_place(|| std::thread::sleep(2 * BEAT)),
            FaultKind::BrokerPaused => self.0.lock().unwrap().resume().unwrap(),
            _ => self.hurt(Hurt::Heal),
        }
    }
}

fn run(seed: u64) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let options = ServerOptions::default().in_this_program().with_setting("lease", "1s").with_beat(BEAT);
        let server = tokio::task::spawn_blocking(|| MemoryServer::start(options)).await??;
        let transport = AnyTransport::new(pontoon_memory_server::connect(&server.url()).await?);
        let trouble = Arc::new(Process(Mutex::new(server)));
        let stage = Stage { transport, trouble, scale: SCALE, prefix: String::new() };
        let report = tokio::time::timeout(LONGEST, schedule(&stage, seed)).await??;
        if report.verdict.is_passed() {
            return Ok(());
        }
        let kept = keep(&report)?;
        Err(Failed::from(format!("{report}\nwhat happened: {}\nrepeat with: {SEED}={seed} {COMMAND}", kept.display())))
    })
}

/// Writes down what happened, where it can be looked at.
fn keep(report: &Report) -> std::io::Result<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("random_server_{}.jsonl", report.seed));
    report.history.write(&mut std::fs::File::create(&path)?)?;
    Ok(path)
}

fn main() -> ExitCode {
    // Started again as a memory server, this program is one.
    pontoon_memory_server::run_if_asked();
    let mut arguments = Arguments::from_args();
    // They wait most of the time.
    arguments.test_threads.get_or_insert(8);
    let trials = seeds(20).map(|seed| Trial::test(format!("schedule_{seed}"), move || run(seed))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
