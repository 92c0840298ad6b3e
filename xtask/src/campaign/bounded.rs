//! A command that may take so long and no longer.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::brokers::process::wait;
use crate::report::{Doing, Outcome, Problem};
use crate::workspace::cargo;

/// Runs cargo with `words`, which build something.
pub(super) fn build(what: &str, words: &[&str]) -> Outcome<()> {
    println!("building {what}");
    let status = cargo().args(words).status().doing(|| format!("building {what}"))?;
    if status.success() { Ok(()) } else { Err(Problem::new(format!("{what} do not build: see above"))) }
}

/// Runs a command, output into `log`, for at most `bound`; nothing when that was not enough.
pub(super) fn bounded(mut command: Command, log: &Path, bound: Duration) -> Outcome<Option<ExitStatus>> {
    let file = std::fs::File::create(log).doing(|| format!("opening {}", log.display()))?;
    let both = file.try_clone().doing(|| format!("opening {}", log.display()))?;
    let mut child = command
        // A group of its own, so that the tests that cargo runs can be ended with it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        .spawn()
        .doing(|| format!("running {}", command.get_program().display()))?;
    let mut ended = None;
    wait(bound, || {
        ended = child.try_wait().ok().flatten();
        ended.is_some()
    });
    if ended.is_none() {
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::INT);
            if !wait(Duration::from_secs(20), || child.try_wait().is_ok_and(|ended| ended.is_some())) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        let _ = child.wait();
    }
    Ok(ended)
}
