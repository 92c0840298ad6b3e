//! One run: processes are started and die; somebody else goes on; all of it is judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pontoon_core::Result;
use pontoon_core::driver::{AnyTransport, Transport};
use pontoon_core::engine::{ConsumerOptions, Environment, PublisherOptions};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::part::{PART, Part, Role};
use super::point::{Mine, Point};
use super::{BATCH, Crash, PREFETCH, retry, spec, wrong};
use crate::checker::{Promises, judge};
use crate::harness::{Profile, Site, Timings};
use crate::history::{History, Recorder, RunClock, What};
use crate::storm::{Work, count};
use crate::tap::{Patience, Run, TappedConsumer, TappedPublisher, drain_source, read_dead_letters};

/// How long a process may take to come to its point, before scaling: it waits for the leases of the one before.
const DIES_WITHIN: Duration = Duration::from_secs(60);
/// Which arrival, delivery or batch of a process is its last, at most.
const TIMES: u64 = 12;

/// Kills a process at each of these points, one of a role after another, and judges what is left. `None` where another
/// process cannot reach the broker. `careless` makes the processes acknowledge what they have not handled, which must be
/// noticed.
///
/// Must be called within a tokio runtime of several threads, in a program whose `main` begins with
/// [`play_if_asked`](super::play_if_asked): it is started again.
///
/// # Errors
/// When the broker cannot be reached, or a process cannot be started or watched: nothing is known then.
pub async fn crash(
    site: &Arc<dyn Site>,
    profile: &Profile,
    timings: &Timings,
    points: &[Point],
    seed: u64,
    careless: bool,
) -> Result<Option<Crash>> {
    let Some(address) = site.address() else { return Ok(None) };
    let began = Instant::now();
    let clock = RunClock::start();
    let run = Run::new(pontoon_core::os_seed() >> 16, Recorder::of_process(clock, 0), Environment::new().seeded(seed));
    let witness = site.connect().await?;
    let work = Work::of("crash", profile.kind, &witness, run.number())?;
    let folder = std::env::temp_dir().join(format!("pontoon-crash-{}-{:x}", std::process::id(), run.number()));
    std::fs::create_dir_all(&folder).map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
    let part = Part {
        at: Point::Received,
        times: 0,
        profile: profile.name.clone(),
        address,
        origin: clock.origin(),
        run: run.number(),
        process: 0,
        file: PathBuf::new(),
        careless,
    };
    let stage = Stage {
        run: run.clone(),
        part,
        folder,
        started: AtomicU32::new(0),
        within: DIES_WITHIN.mul_f64(timings.scale),
    };
    // What is published is for subscriptions that stand.
    for source in &work.sources {
        let reader = TappedConsumer::open(&run, &witness, source.clone(), ConsumerOptions::default()).await?;
        let _ = reader.drain(stage.within).await;
    }
    let over = AtomicBool::new(false);
    let dying = async {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut consumers, mut publishers) = (random.fork(), random.fork());
        let both = tokio::join!(
            stage.kill_each(Role::Consumer, points, &mut consumers),
            stage.kill_each(Role::Publisher, points, &mut publishers)
        );
        over.store(true, Ordering::SeqCst);
        both
    };
    let ((consumers, publishers), load) = tokio::join!(dying, load(&run, &witness, &work, &over));
    let points: BTreeMap<Point, Option<String>> = consumers?.into_iter().chain(publishers?).collect();
    load?;
    end(&run, &witness, &work, timings).await?;

    let files = stage.files();
    let written = History::read(&files).map_err(|error| wrong(format!("what the processes wrote: {error}")))?;
    let history = History::merge([written, run.recorder().take()]);
    let points = points.into_iter().map(|(point, end)| (point, end.or_else(|| unmarked(&history, point)))).collect();
    let mut promises = Promises::of(&work.channel, &witness.capabilities(&work.channel), &retry());
    promises.notice = Duration::from_secs(2).mul_f64(timings.scale);
    promises.early_by = timings.slack();
    let _ = witness.close().await;
    let verdict = judge(&history, &promises);
    let counts = count(&history);
    let duplicates_allowed = duplicates_allowed(&points, work.sources.len());
    let (profile, took) = (profile.name.clone(), began.elapsed());
    let crash = Crash { profile, seed, points, counts, duplicates_allowed, history, promises, verdict, took };
    Ok(Some(crash.held_to_more()))
}

/// What each death may bring again: what a consumer held of each source; what a publisher had under way, for each source.
fn duplicates_allowed(points: &BTreeMap<Point, Option<String>>, sources: usize) -> u64 {
    let each = |point: &Point| if point.role() == Role::Consumer { PREFETCH } else { BATCH };
    (points.keys().map(each).sum::<usize>() * sources) as u64
}

/// A process that was killed before it came to its point proves nothing of the point.
fn unmarked(history: &History, point: Point) -> Option<String> {
    let mark = Mine::note(point);
    let marked = history.events().iter().any(|event| matches!(&event.what, What::Note { text } if *text == mark));
    (!marked).then(|| "it was killed, and wrote nothing of its point".to_owned())
}

struct Stage {
    run: Run,
    part: Part,
    folder: PathBuf,
    started: AtomicU32,
    /// How long a process may live.
    within: Duration,
}

impl Stage {
    async fn kill_each(
        &self,
        role: Role,
        points: &[Point],
        random: &mut fastrand::Rng,
    ) -> Result<Vec<(Point, Option<String>)>> {
        let mut ends = Vec::new();
        for point in points.iter().copied().filter(|point| point.role() == role) {
            ends.push((point, self.kill_at(point, random.u64(1..=TIMES)).await?));
        }
        Ok(ends)
    }

    /// Starts a process that is to die there and sees it die; what it did instead.
    async fn kill_at(&self, at: Point, times: u64) -> Result<Option<String>> {
        let process = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        let part = Part { at, times, process, file: self.file(process), ..self.part.clone() };
        let text = serde_json::to_string(&part).map_err(|error| wrong(error.to_string()))?;
        let program = std::env::current_exe().map_err(|error| wrong(error.to_string()))?;
        let mut command = Command::new(program);
        command.env(PART, text).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| wrong(error.to_string()))?;
        let _open = child.stdin.take();
        let Ok(status) = timeout(self.within, child.wait()).await else {
            let _ = child.kill().await;
            self.run.recorder().record(What::ProcessKilled { process });
            return Ok(Some(format!("it did not come there within {:?}", self.within)));
        };
        let status = status.map_err(|error| wrong(error.to_string()))?;
        self.run.recorder().record(What::ProcessKilled { process });
        if was_killed(status) {
            return Ok(None);
        }
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            let _ = stderr.read_to_string(&mut said).await;
        }
        Ok(Some(format!("it ended with {status}: {}", said.trim())))
    }

    fn file(&self, process: u32) -> PathBuf {
        self.folder.join(format!("{process}.jsonl"))
    }

    /// What the processes wrote: one that failed at once wrote nothing.
    fn files(&self) -> Vec<PathBuf> {
        let all = (1..=self.started.load(Ordering::SeqCst)).map(|process| self.file(process));
        all.filter(|file| Path::new(file).exists()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(unix)]
fn was_killed(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(9)
}

#[cfg(not(unix))]
fn was_killed(_: std::process::ExitStatus) -> bool {
    false
}

/// Publishes steadily, so that whoever consumes comes to its point.
async fn load(run: &Run, transport: &AnyTransport, work: &Work, over: &AtomicBool) -> Result<()> {
    let publisher = TappedPublisher::open(run, transport, work.channel.clone(), PublisherOptions::default()).await?;
    let mut number = 0;
    while !over.load(Ordering::SeqCst) {
        let batch: Vec<_> = (0..BATCH as u64).map(|at| spec(work, number + at)).collect();
        number += BATCH as u64;
        let _ = publisher.publish_all(batch).await;
        sleep(Duration::from_millis(40)).await;
    }
    let _ = publisher.close(Duration::from_secs(30)).await;
    Ok(())
}

/// Somebody who is not killed consumes what is left.
async fn end(run: &Run, witness: &AnyTransport, work: &Work, timings: &Timings) -> Result<()> {
    let patience = Patience {
        step: Duration::from_millis(50),
        quiet: timings.quiet() * 2,
        deadline: Duration::from_secs(60).mul_f64(timings.scale),
    };
    let mut survivors = Vec::new();
    let mut working = Vec::new();
    for source in &work.sources {
        let mut options = ConsumerOptions::default();
        options.retry = retry();
        let consumer = TappedConsumer::open(run, witness, source.clone(), options).await?;
        let own = consumer.clone();
        working.push(tokio::spawn(async move {
            while let Some(Ok(delivery)) = own.next().await {
                let _ = delivery.ack();
            }
        }));
        survivors.push(consumer);
    }
    for source in &work.sources {
        drain_source(run, witness, source, patience).await?;
    }
    for consumer in survivors {
        let _ = consumer.drain(patience.deadline).await;
    }
    for task in working {
        let _ = timeout(patience.deadline, task).await;
    }
    if let Some(letters) = work.channel.dead_letter_channel() {
        read_dead_letters(run, witness, &letters, patience).await?;
    }
    run.recorder().note("the end");
    Ok(())
}
