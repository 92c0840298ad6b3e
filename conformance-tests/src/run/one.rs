//! One check on one profile.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use pontoon_core::driver::Transport;

use crate::checks::{Check, Runs};
use crate::harness::{Harness, Profile};
use crate::mutants::{Defect, Faithful};
use crate::report::{Declared, Entry, Evidence, Verdict};
use crate::scene::{Broken, Held, Place, Scene};

use super::why_not;

/// The longest a check may take unless the plan says otherwise.
const LONGEST: Duration = Duration::from_secs(120);

/// How a check is run.
#[derive(Clone)]
pub struct Plan {
    /// Repeats the run.
    pub seed: u64,
    /// What is broken on purpose: nothing, unless a mutant is being tried.
    pub defect: Arc<dyn Defect>,
    /// The longest a check may take on the machine's clock, before scaling. Checks bound their own waits; this catches
    /// what spins.
    pub longest: Duration,
}

impl Plan {
    /// The transport as it is.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Plan { seed, defect: Arc::new(Faithful), longest: LONGEST }
    }

    /// The transport with a defect.
    #[must_use]
    pub fn with(self, defect: Arc<dyn Defect>) -> Self {
        Plan { defect, ..self }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Runs one check on one profile, in a thread and a runtime of its own.
#[must_use]
pub fn run(harness: &Arc<dyn Harness>, profile: &Profile, check: Check, plan: &Plan) -> Entry {
    let turns = if check.kills() { harness.turns(profile) } else { None };
    let _turn = turns.map(|turns| turns.lock().unwrap_or_else(PoisonError::into_inner));
    let began = Instant::now();
    let (verdict, reason, evidence) = match check.runs {
        Runs::Waiting(feature) => (Verdict::Waiting, feature.to_owned(), None),
        Runs::Now(body) => judge(in_thread(harness, profile, check, body, plan)),
    };
    let evidence = evidence.map(|shown| Box::new(shown.about(check.name, &profile.name, check.failure)));
    Entry {
        name: check.name.to_owned(),
        profile: profile.name.clone(),
        promise: check.promise.to_owned(),
        verdict,
        reason,
        millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        evidence,
    }
}

/// How a check that was begun ended.
enum Ended {
    DoesNotApply(String),
    Ran(Held, Option<Box<Evidence>>),
}

fn judge(ended: Ended) -> (Verdict, String, Option<Box<Evidence>>) {
    match ended {
        Ended::DoesNotApply(why) => (Verdict::NotApplicable, why, None),
        Ended::Ran(Ok(()), _) => (Verdict::Passed, String::new(), None),
        Ended::Ran(Err(broken), shown) if broken.indeterminate => (Verdict::Indeterminate, broken.text, shown),
        Ended::Ran(Err(broken), shown) => (Verdict::Failed, broken.to_string(), shown),
    }
}

fn in_thread(
    harness: &Arc<dyn Harness>,
    profile: &Profile,
    check: Check,
    body: fn(Scene) -> crate::checks::Running,
    plan: &Plan,
) -> Ended {
    let (tell, ended) = channel();
    let bound = plan.longest.mul_f64(harness.timings().scale);
    let (harness, profile, plan) = (harness.clone(), profile.clone(), plan.clone());
    let thread = std::thread::spawn(move || {
        let end = blocking(harness, &profile, check, body, plan);
        // Nobody listens any more when the bound is over.
        let _ = tell.send(end);
    });
    match ended.recv_timeout(bound) {
        Ok(ended) => ended,
        Err(RecvTimeoutError::Timeout) => Ended::Ran(
            Err(Broken::new("hang", format!("the check did not end within {bound:?}: something spins"))),
            None,
        ),
        Err(RecvTimeoutError::Disconnected) => {
            let words = thread.join().err().map(words_of_panic).unwrap_or_default();
            Ended::Ran(Err(Broken::new("panic", words)), None)
        }
    }
}

fn words_of_panic(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// What the profile declares.
///
/// # Errors
/// When the broker cannot be reached.
pub(super) fn declared(harness: &Arc<dyn Harness>, profile: &Profile, seed: u64) -> Result<Declared, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let found: pontoon_core::Result<Declared> = runtime.block_on(async {
        let site = harness.open(profile, seed).await?;
        let transport = site.connect().await?;
        let place = Place::new(profile.kind, "declares")?;
        Ok(Declared::of(&transport.capabilities(&place.channel)))
    });
    found.map_err(|error| error.to_string())
}

fn blocking(
    harness: Arc<dyn Harness>,
    profile: &Profile,
    check: Check,
    body: fn(Scene) -> crate::checks::Running,
    plan: Plan,
) -> Ended {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(harness.timings().paused).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Ended::Ran(Err(Broken::indeterminate(format!("no runtime: {error}"))), None),
    };
    runtime.block_on(async {
        let scene = match Scene::open(&harness, profile, check, plan).await {
            Ok(scene) => scene,
            Err(error) => return Ended::Ran(Err(Broken::indeterminate(format!("cannot connect: {error}"))), None),
        };
        match scene.capabilities() {
            Err(broken) => return Ended::Ran(Err(broken), None),
            Ok(found) => {
                if let Some(why) = why_not(check.needs, profile, &found, scene.control()) {
                    return Ended::DoesNotApply(why);
                }
            }
        }
        let ran = body(scene.clone()).await;
        // What the history shows is said even where the check itself gave up waiting: it is the cause.
        let judged = scene.finish().await;
        let held = match (ran, judged) {
            (Err(broken), Err(cause)) if broken.is_weak() && !cause.indeterminate => Err(cause),
            (Err(broken), _) => Err(broken),
            (Ok(()), judged) => judged,
        };
        let shown = held.as_ref().err().map(|broken| {
            let history = scene.recorder().history();
            Box::new(Evidence::of(&history, &broken.witness, &broken.anomaly, &broken.text))
        });
        Ended::Ran(held, shown)
    })
}
