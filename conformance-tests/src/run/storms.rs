//! Storms as tests of the suite, where they were asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checker::Verdict as Judged;
use crate::harness::{HarmKind, Harness, Profile};
use crate::report::{Entry, Evidence, Verdict};
use crate::storm::{Plan, Storm, storm};

/// The variable that asks for storms: `short`, or the number of kills and of cuts, as in `100,500`.
pub const STORM: &str = "PONTOON_STORM";

/// The name of a storm in reports.
pub(super) const NAME: &str = "STORM";
const PROMISE: &str = "While connections are cut and the broker is killed, nothing is lost, invented, or out of order";
/// What a failure means.
pub(super) const FAILURE: &str =
    "messages are lost, or handled out of order, on the day the broker or the network fails";

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

/// Runs a storm over a profile.
pub(super) fn weather(harness: &Arc<dyn Harness>, profile: &Profile, plan: &Plan, seed: u64) -> Entry {
    let began = Instant::now();
    let (verdict, reason, evidence) = match over(harness, profile, plan, seed) {
        Ok(Some(storm)) => judged(&storm),
        Ok(None) => (Verdict::NotApplicable, "broker control is absent: cut, restart".to_owned(), None),
        Err(error) => (Verdict::Indeterminate, error, None),
    };
    Entry {
        name: NAME.to_owned(),
        profile: profile.name.clone(),
        promise: PROMISE.to_owned(),
        verdict,
        reason,
        millis: Duration::as_millis(&began.elapsed()).try_into().unwrap_or(u64::MAX),
        evidence: evidence.map(|shown| Box::new(shown.about(NAME, &profile.name, FAILURE))),
    }
}

fn over(harness: &Arc<dyn Harness>, profile: &Profile, plan: &Plan, seed: u64) -> Result<Option<Storm>, String> {
    let mut builder = if harness.timings().paused {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder.enable_all().start_paused(harness.timings().paused).build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let over: pontoon_core::Result<Option<Storm>> = runtime.block_on(async {
        let site = harness.open_for_storm(profile, seed).await?;
        let offers = |kind| site.control().offers(kind);
        if !offers(HarmKind::Cut) && !offers(HarmKind::Restart) {
            return Ok(None);
        }
        storm(&site, profile, &harness.timings(), plan, seed, |transport| transport).await.map(Some)
    });
    if let Ok(Some(storm)) = &over {
        print!("{storm}");
    }
    over.map_err(|error| error.to_string())
}

fn judged(storm: &Storm) -> (Verdict, String, Option<Evidence>) {
    match &storm.verdict {
        Judged::Passed => (Verdict::Passed, String::new(), None),
        Judged::Indeterminate { reason } => {
            let shown = Evidence::of(&storm.history, &[], "indeterminate", reason);
            (Verdict::Indeterminate, reason.clone(), Some(shown))
        }
        Judged::Failed(failure) => {
            let kinds: Vec<&str> = failure.counts.keys().map(|kind| kind.as_str()).collect();
            let witness = failure.anomalies.first().map_or(&[][..], |anomaly| anomaly.witness.events());
            let (anomaly, text) = (kinds.join("+"), failure.to_string());
            let shown = Evidence::of(&storm.history, witness, &anomaly, &text);
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
    fn where_nothing_can_be_hurt_a_storm_does_not_apply() {
        let harness: Arc<dyn Harness> = Arc::new(Uncontrolled);
        let entry = weather(&harness, &harness.profiles()[0], &Plan::short(), 1);
        assert_eq!(entry.outcome(), "not applicable: broker control is absent: cut, restart");
    }
}
