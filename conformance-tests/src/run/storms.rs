//! Storms, and processes that are killed, as tests of the suite, where they were asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pontoon_core::{Error, ErrorKind};

use crate::checker::Verdict as Judged;
use crate::crash::{Point, crash};
use crate::harness::{HarmKind, Harness, Profile};
use crate::history::History;
use crate::report::{Entry, Evidence, Verdict};
use crate::storm::{Plan, storm};

/// The variable that asks for storms: `short`, or the number of kills and of cuts, as in `100,500`.
pub const STORM: &str = "PONTOON_STORM";

/// The storm that was asked for; `None` where none was.
///
/// # Errors
/// When the variable cannot be understood.
pub(super) fn asked() -> Result<Option<Plan>, String> {
    let Ok(text) = std::env::var(STORM) else { return Ok(None) };
    if text == "short" {
        return Ok(Some(Plan::short()));
    }
    let number = |text: &str| text.trim().parse::<usize>().ok();
    match text.split_once(',').map(|(kills, cuts)| (number(kills), number(cuts))) {
        Some((Some(kills), Some(cuts))) => Ok(Some(Plan::campaign(kills, cuts))),
        _ => Err(format!("{STORM}={text} is neither `short` nor a number of kills and of cuts, such as 100,500")),
    }
}

/// What is run over a whole profile, beside the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ordeal {
    /// Kills of the broker and cuts, under load.
    Storm,
    /// Kills of processes that publish and consume.
    Crash,
}

/// Both: processes first, since a storm leaves the broker as it happens to.
pub(super) const ORDEALS: [Ordeal; 2] = [Ordeal::Crash, Ordeal::Storm];

impl Ordeal {
    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Ordeal::Storm => "STORM",
            Ordeal::Crash => "CRASH",
        }
    }

    fn promise(self) -> &'static str {
        match self {
            Ordeal::Storm => {
                "While connections are cut and the broker is killed, nothing is lost, invented, or out of order"
            }
            Ordeal::Crash => {
                "Publishers and consumers that are killed at each named point of their work lose and invent nothing"
            }
        }
    }

    /// What a failure means.
    pub(super) fn failure(self) -> &'static str {
        match self {
            Ordeal::Storm => "messages are lost, or handled out of order, on the day the broker or the network fails",
            Ordeal::Crash => "messages are lost, or come again without end, when a worker is killed",
        }
    }

    fn absent(self) -> &'static str {
        match self {
            Ordeal::Storm => "broker control is absent: cut, restart",
            Ordeal::Crash => "an address for other processes is absent",
        }
    }

    /// Runs it over a profile.
    pub(super) fn over(self, harness: &Arc<dyn Harness>, profile: &Profile, plan: &Plan, seed: u64) -> Entry {
        let began = Instant::now();
        let found = match self {
            Ordeal::Storm => weather(harness, profile, plan, seed),
            Ordeal::Crash => crashes(harness, profile, seed),
        };
        let (verdict, reason, evidence) = match found {
            Ok(Some((verdict, history))) => judged(&verdict, &history),
            Ok(None) => (Verdict::NotApplicable, self.absent().to_owned(), None),
            Err(error) => (Verdict::Indeterminate, error.to_string(), None),
        };
        Entry {
            name: self.name().to_owned(),
            profile: profile.name.clone(),
            promise: self.promise().to_owned(),
            verdict,
            reason,
            millis: Duration::as_millis(&began.elapsed()).try_into().unwrap_or(u64::MAX),
            evidence: evidence.map(|shown| Box::new(shown.about(self.name(), &profile.name, self.failure()))),
        }
    }
}

/// What came of it; `None` where it does not apply.
type Found = pontoon_core::Result<Option<(Judged, History)>>;

fn weather(harness: &Arc<dyn Harness>, profile: &Profile, plan: &Plan, seed: u64) -> Found {
    in_runtime(harness, async {
        let site = harness.open_for_storm(profile, seed).await?;
        let offers = |kind| site.control().offers(kind);
        if !offers(HarmKind::Cut) && !offers(HarmKind::Restart) {
            return Ok(None);
        }
        let storm = storm(&site, profile, &harness.timings(), plan, seed, |transport| transport).await?;
        print!("{storm}");
        Ok(Some((storm.verdict, storm.history)))
    })
}

fn crashes(harness: &Arc<dyn Harness>, profile: &Profile, seed: u64) -> Found {
    in_runtime(harness, async {
        let site = harness.open_for_storm(profile, seed).await?;
        let Some(crash) = crash(&site, profile, &harness.timings(), &Point::ALL, seed, false).await? else {
            return Ok(None);
        };
        print!("{crash}");
        Ok(Some((crash.verdict, crash.history)))
    })
}

fn in_runtime(harness: &Arc<dyn Harness>, work: impl Future<Output = Found>) -> Found {
    let mut builder = if harness.timings().paused {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder.enable_all().start_paused(harness.timings().paused).build();
    let failed = |error| Error::new(ErrorKind::Internal, "start runtime", "there is none").with_source(error);
    runtime.map_err(failed)?.block_on(work)
}

fn judged(verdict: &Judged, history: &History) -> (Verdict, String, Option<Evidence>) {
    match verdict {
        Judged::Passed => (Verdict::Passed, String::new(), None),
        Judged::Indeterminate { reason } => {
            let shown = Evidence::of(history, &[], "indeterminate", reason);
            (Verdict::Indeterminate, reason.clone(), Some(shown))
        }
        Judged::Failed(failure) => {
            let kinds: Vec<&str> = failure.counts.keys().map(|kind| kind.as_str()).collect();
            let witness = failure.anomalies.first().map_or(&[][..], |anomaly| anomaly.witness.events());
            let (anomaly, text) = (kinds.join("+"), failure.to_string());
            let shown = Evidence::of(history, witness, &anomaly, &text);
            (Verdict::Failed, format!("{anomaly}: {text}"), Some(shown))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::harness::{NoControl, Site, Timings};
    use pontoon_core::driver::{AnyTransport, BoxFuture};
    use pontoon_core::{ChannelKind, Result};

    struct Uncontrolled;

    impl Site for Uncontrolled {
        fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
            unreachable!("there is nothing to storm")
        }
        fn control(&self) -> &dyn crate::harness::Control {
            &NoControl
        }
    }

    impl Harness for Uncontrolled {
        fn name(&self) -> &str {
            "uncontrolled"
        }
        fn profiles(&self) -> Vec<Profile> {
            vec![Profile::new("p", ChannelKind::Queue)]
        }
        fn timings(&self) -> Timings {
            Timings::real()
        }
        fn open<'a>(&'a self, _: &'a Profile, _: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
            Box::pin(async { Ok(Arc::new(Uncontrolled) as Arc<dyn Site>) })
        }
    }

    #[test]
    fn where_nothing_can_be_hurt_neither_applies() {
        let harness: Arc<dyn Harness> = Arc::new(Uncontrolled);
        let over = |ordeal: Ordeal| ordeal.over(&harness, &harness.profiles()[0], &Plan::short(), 1).outcome();
        assert_eq!(over(Ordeal::Storm), "not applicable: broker control is absent: cut, restart");
        assert_eq!(over(Ordeal::Crash), "not applicable: an address for other processes is absent");
    }
}
