//! Processes that outlive the command: started in a session of their own, found again by number
//! and start time, so that a number taken over by a foreign process is never signalled.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::report::{Doing, Outcome, Problem};

/// A process as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number, which is its session's too.
    pub pid: i32,
    /// When it started, in ticks since this boot.
    pub start: u64,
    /// Which boot that was.
    pub boot: String,
}

/// How a recorded process fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It runs.
    Running,
    /// It is stopped by a signal.
    Paused,
    /// It is gone, or its number belongs to another process now.
    Gone,
}

/// The fields of `/proc/PID/stat` that matter here.
struct Stat {
    state: char,
    session: i32,
    threads: u32,
    start: u64,
}

impl Stat {
    /// Ended, and only its parent has not asked yet. While other threads than the first are on
    /// their way out, the process still holds its ports.
    fn ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from behind it.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        session: fields.get(3)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Starts a command that goes on after this one ends; its output goes to the end of `log`.
///
/// # Errors
/// When it cannot be started.
pub fn start<A: AsRef<OsStr>>(
    words: &[A],
    env: &[(OsString, OsString)],
    folder: &Path,
    log: &Path,
) -> Outcome<Process> {
    let shown = words.first().map(|word| word.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
    let out = File::options().create(true).append(true).open(log).doing(|| format!("opening {}", log.display()))?;
    let both = out.try_clone().doing(|| format!("opening {}", log.display()))?;
    // A session of its own: no signal of this terminal reaches it. `setsid` executes the command in
    // place, so the number stays.
    let child = Command::new("setsid")
        .args(words)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(both)
        .spawn()
        .doing(|| format!("starting {shown}"))?;
    let pid = i32::try_from(child.id()).doing(|| format!("starting {shown}"))?;
    let started = stat(pid).ok_or_else(|| Problem::new(format!("{shown} ended at once: see {}", log.display())))?;
    Ok(Process { pid, start: started.start, boot: boot() })
}

impl Process {
    /// How it fares now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match stat(self.pid) {
            Some(now) if now.start == self.start && self.boot == boot() => match now.state {
                _ if now.ended() => Condition::Gone,
                'T' | 't' => Condition::Paused,
                _ => Condition::Running,
            },
            _ => Condition::Gone,
        }
    }

    /// Sends a signal if the process is still the recorded one; tells whether it was.
    ///
    /// # Errors
    /// When the signal is not allowed.
    pub fn signal(&self, signal: Signal) -> Outcome<bool> {
        if self.condition() == Condition::Gone {
            return Ok(false);
        }
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(false);
        };
        match rustix::process::kill_process(pid, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error).doing(|| format!("signalling process {}", self.pid)),
        }
    }

    /// Ends it, in order within `patience`, then by force, with everything left in its session.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn stop(&self, patience: Duration) -> Outcome<()> {
        if self.signal(Signal::TERM)? {
            // A paused process takes no signal but this one.
            self.signal(Signal::CONT)?;
            if !wait(patience, || self.condition() == Condition::Gone) {
                println!("process {} did not end in {patience:?}: killing it", self.pid);
            }
        }
        self.kill()
    }

    /// Kills it, and everything left in its session.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&self) -> Outcome<()> {
        self.signal(Signal::KILL)?;
        if !wait(Duration::from_secs(10), || self.condition() == Condition::Gone) {
            return Err(Problem::new(format!(
                "process {} is still there 10 s after SIGKILL: look at `ps -o stat,wchan -p {}`",
                self.pid, self.pid
            )));
        }
        // Helpers of the broker notice its end by themselves; those that do not are ended here.
        if !wait(Duration::from_secs(2), || self.helpers().is_empty()) {
            for helper in self.helpers() {
                helper.signal(Signal::KILL)?;
            }
            wait(Duration::from_secs(5), || self.helpers().is_empty());
        }
        Ok(())
    }

    /// Processes of the same session, started later than it.
    fn helpers(&self) -> Vec<Self> {
        let boot = boot();
        if boot != self.boot {
            return Vec::new();
        }
        fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| *pid != self.pid)
            .filter_map(|pid| Some((pid, stat(pid)?)))
            .filter(|(_, stat)| stat.session == self.pid && stat.start >= self.start && !stat.ended())
            .map(|(pid, stat)| Self { pid, start: stat.start, boot: boot.clone() })
            .collect()
    }
}

/// Asks until `done`, for at most `bound`; tells whether it came true.
pub fn wait(bound: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + bound;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
