//! One run: processes are started, killed and replaced; then what they wrote is judged.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use pontoon_conformance::checker::{Promises, Verdict, judge};
use pontoon_conformance::history::{History, Recorder, RunClock, What};
use pontoon_conformance::tap::{Patience, Run, drain_source, read_dead_letters};
use pontoon_core::Source;
use pontoon_core::driver::{AnyTransport, Transport};
use pontoon_core::engine::Environment;
use pontoon_memory_server::{MemoryServer, ServerOptions};

use super::part::{PART, Part, Role, channel, retry};

const KILLS: usize = 8;
/// How many bytes are written between two kills: a few dozen messages.
const BETWEEN: u64 = 30_000;
const BOUND: Duration = Duration::from_secs(60);

/// What is to be said of a run.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// Deliveries that killed consumers had not settled.
    pub(crate) hit: usize,
}

/// The processes of a run.
struct Crew {
    part: Part,
    folder: PathBuf,
    playing: Vec<(Part, Child)>,
    /// All that were started.
    files: Vec<PathBuf>,
    killed: Vec<u32>,
}

impl Crew {
    fn start(&mut self, role: Role) -> Result<(), Failed> {
        let process = self.files.len() as u32 + 1;
        let file = self.folder.join(format!("{process}.jsonl"));
        let part = Part { role, process, file: file.clone(), ..self.part.clone() };
        let mut command = Command::new(std::env::current_exe()?);
        command.env(PART, serde_json::to_string(&part)?).stdin(Stdio::piped());
        self.playing.push((part, command.spawn()?));
        self.files.push(file);
        Ok(())
    }

    /// Kills one at random (SIGKILL), and starts another in its place.
    fn kill(&mut self, run: &Run, random: &mut fastrand::Rng) -> Result<(), Failed> {
        let (part, mut child) = self.playing.swap_remove(random.usize(..self.playing.len()));
        child.kill()?;
        child.wait()?;
        run.recorder().record(What::ProcessKilled { process: part.process });
        self.killed.push(part.process);
        self.start(part.role)
    }

    /// How much was written so far.
    fn written(&self) -> u64 {
        self.files.iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// Waits until all of a role have ended, told to where they need it.
    async fn ended(&mut self, role: Role) -> Result<(), Failed> {
        for (_, child) in self.playing.iter_mut().filter(|(part, _)| part.role == role) {
            drop(child.stdin.take());
            let begun = Instant::now();
            while child.try_wait()?.is_none() {
                if begun.elapsed() > BOUND {
                    return Err(format!("a {role:?} does not end within {BOUND:?}").into());
                }
                step().await;
            }
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (_, child) in &mut self.playing {
            let _ = (child.kill(), child.wait());
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The step of a bounded wait.
async fn step() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

pub(crate) fn run(seed: u64, careless: bool) -> Result<Judged, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(play(seed, careless))
}

async fn play(seed: u64, careless: bool) -> Result<Judged, Failed> {
    let options = ServerOptions::default().in_this_program();
    let server = tokio::task::spawn_blocking(|| MemoryServer::start(options)).await??;
    let transport = AnyTransport::new(pontoon_memory_server::connect(&server.url()).await?);
    let clock = RunClock::start();
    let run = Run::new(seed, Recorder::of_process(clock, 0), Environment::new().seeded(seed));
    let name = format!("processes-{}-{seed}-{careless}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder)?;
    let (url, origin) = (server.url(), clock.origin());
    let part = Part { role: Role::Consumer, url, origin, run: seed, process: 0, file: PathBuf::new(), careless };
    let mut crew = Crew { part, folder, playing: Vec::new(), files: Vec::new(), killed: Vec::new() };
    for role in [Role::Consumer, Role::Publisher, Role::Consumer, Role::Publisher] {
        crew.start(role)?;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..KILLS {
        let (begun, before) = (Instant::now(), crew.written());
        while crew.written() < before + BETWEEN {
            if begun.elapsed() > BOUND {
                return Err("the processes stand still".into());
            }
            step().await;
        }
        crew.kill(&run, &mut random)?;
    }
    crew.ended(Role::Publisher).await?;
    let second = Duration::from_secs(1);
    let patience = Patience { step: second / 50, quiet: second, deadline: BOUND };
    let channel = channel();
    drain_source(&run, &transport, &Source::new(channel.clone(), None)?, patience).await?;
    crew.ended(Role::Consumer).await?;
    let letters = channel.dead_letter_channel().ok_or("a dead-letter channel is declared")?;
    read_dead_letters(&run, &transport, &letters, patience).await?;
    let history = History::merge([History::read(&crew.files)?, run.recorder().take()]);
    let mut promises = Promises::of(&channel, &transport.capabilities(&channel), &retry());
    promises.notice = second / 2;
    promises.confirmed_share = 0.5;
    let hit = unsettled(&history, &crew.killed);
    Ok(Judged { verdict: judge(&history, &promises), hit })
}

/// How many deliveries these processes had and did not settle.
fn unsettled(history: &History, processes: &[u32]) -> usize {
    let mut open = HashSet::new();
    for event in history.events().iter().filter(|event| processes.contains(&event.process)) {
        match &event.what {
            What::Deliver(delivery) => drop(open.insert(delivery.lease)),
            What::Settle { lease, .. } => drop(open.remove(lease)),
            _ => {}
        }
    }
    open.len()
}
