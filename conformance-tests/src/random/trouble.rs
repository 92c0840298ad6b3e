//! What goes wrong on purpose, and when.

use std::time::Duration;

use tokio::time::sleep;

use super::Stage;
use crate::history::{FaultKind, What};
use crate::tap::Run;

/// Makes faults. What is begun can be ended; ending what was not begun is fine.
pub trait Trouble: Send + Sync + 'static {
    /// The faults it can make.
    fn kinds(&self) -> Vec<FaultKind>;
    /// Lets a fault begin. `draw` is a random number for what the fault leaves open.
    fn begin(&self, kind: FaultKind, draw: u64);
    /// Ends it.
    fn end(&self, kind: FaultKind);
}

/// Nothing goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrouble;

impl Trouble for NoTrouble {
    fn kinds(&self) -> Vec<FaultKind> {
        Vec::new()
    }
    fn begin(&self, _: FaultKind, _: u64) {}
    fn end(&self, _: FaultKind) {}
}

/// A stretch of time and what is wrong in it.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) lasts: Duration,
    pub(super) faults: Vec<(FaultKind, u64)>,
}

/// A few phases, one in four of them quiet.
pub(super) fn draw(stage: &Stage, random: &mut fastrand::Rng) -> Vec<Phase> {
    let kinds = stage.trouble.kinds();
    (0..random.usize(2..7))
        .map(|_| {
            let lasts = stage.ms(random.u64(20..250));
            let count = if kinds.is_empty() || random.u8(..4) == 0 { 0 } else { random.usize(1..3) };
            let mut faults: Vec<(FaultKind, u64)> =
                (0..count).map(|_| (kinds[random.usize(..kinds.len())], random.u64(..))).collect();
            faults.dedup_by_key(|(kind, _)| *kind);
            Phase { lasts, faults }
        })
        .collect()
}

/// Makes one phase after the other, and leaves nothing wrong behind.
pub(super) async fn make(stage: Stage, run: Run, phases: Vec<Phase>) {
    for phase in phases {
        for (kind, draw) in &phase.faults {
            // First written down: what it does must not be seen before.
            run.recorder().record(What::Fault { kind: *kind });
            stage.trouble.begin(*kind, *draw);
        }
        sleep(phase.lasts).await;
        for (kind, _) in &phase.faults {
            stage.trouble.end(*kind);
            run.recorder().record(What::Heal { kind: *kind });
        }
    }
}
