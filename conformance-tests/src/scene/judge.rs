//! Judging what was written down: each channel by itself, since each has its own facts.

use std::collections::HashSet;

use pontoon_core::driver::Transport;
use pontoon_core::{DeadLetterPolicy, Retry};

use super::{Broken, Held, Place, Scene};
use crate::checker::{Promises, Verdict, judge};
use crate::history::{Event, Handle, History, What};

/// How a run is judged.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Judgement {
    /// Nothing is read to its end and the history is not judged: for checks that work beside it.
    pub none: bool,
}

impl Scene {
    /// Judges the history of every channel that was used.
    pub(super) fn judged(&self, places: &[Place], policies: &[(String, Retry)]) -> Held {
        let history = self.recorder().history();
        let mut channels: Vec<&Place> = Vec::new();
        for place in places {
            if !channels.iter().any(|known| known.channel.name == place.channel.name) {
                channels.push(place);
            }
        }
        for place in channels {
            let name = place.channel.name.as_str();
            let promises = self.promises(place, policies);
            let own = of_channel(&history, place);
            let used = |event: &Event| matches!(event.what, What::Publish(_) | What::Deliver(_) | What::DeadLetter(_));
            if !own.events().iter().any(used) {
                continue;
            }
            match judge(&own, &promises) {
                Verdict::Passed => {}
                Verdict::Indeterminate { reason } => {
                    return Err(Broken::indeterminate(format!("the history of {name}: {reason}")));
                }
                Verdict::Failed(failure) => {
                    let kinds: Vec<&str> = failure.counts.keys().map(|kind| kind.as_str()).collect();
                    let witness = failure.anomalies.first().map_or(&[][..], |anomaly| anomaly.witness.events());
                    let text = format!("the history of {name} shows {failure}");
                    return Err(Broken::new(kinds.join("+"), text).shown_by(witness));
                }
            }
        }
        Ok(())
    }

    fn promises(&self, place: &Place, policies: &[(String, Retry)]) -> Promises {
        let profile = self.transport().capabilities(&place.channel);
        let own: Vec<&Retry> =
            policies.iter().filter(|(name, _)| name == place.channel.name.as_str()).map(|(_, retry)| retry).collect();
        let retry = own.first().copied().copied().unwrap_or_default();
        let mut promises = Promises::of(&place.channel, &profile, &retry);
        // Handlers may differ; then nobody can say which failure was the last.
        if own.is_empty() || own.iter().any(|other| other.max_attempts() != retry.max_attempts()) {
            promises.max_attempts = None;
        }
        promises.early_by = self.timings().slack();
        promises
    }
}

/// What of a history is about one channel. A message of another channel that turns up here has no publish then, as it
/// should be.
fn of_channel(history: &History, place: &Place) -> History {
    let channel = place.channel.name.as_str();
    let dead = match &place.channel.dead_letter {
        DeadLetterPolicy::To(name) => name.as_str(),
        _ => "",
    };
    let (mut ids, mut leases, mut handles) = (HashSet::new(), HashSet::new(), HashSet::new());
    for event in history.events() {
        match &event.what {
            What::Publish(publish) if publish.channel.as_str() == channel => {
                ids.insert(publish.id);
                handles.insert(Handle::Publisher(publish.id.publisher));
            }
            What::Subscribe(subscribe) if subscribe.source.channel.as_str() == channel => {
                handles.insert(Handle::Consumer(subscribe.consumer));
            }
            What::Deliver(delivery) if delivery.source.channel.as_str() == channel => {
                leases.insert(delivery.lease);
            }
            _ => {}
        }
    }
    let here = |event: &&Event| match &event.what {
        What::Subscription(subscription) => subscription.source.channel.as_str() == channel,
        What::Publish(publish) => publish.channel.as_str() == channel,
        What::Published { id, .. } => ids.contains(id),
        What::Subscribe(subscribe) => subscribe.source.channel.as_str() == channel,
        What::Unsubscribe { consumer }
        | What::Assign { consumer, .. }
        | What::Revoke { consumer, .. }
        | What::Flush { consumer }
        | What::Flushed { consumer, .. } => handles.contains(&Handle::Consumer(*consumer)),
        What::Deliver(delivery) => delivery.source.channel.as_str() == channel,
        What::Settle { lease, .. }
        | What::Settled { lease, .. }
        | What::Late { lease, .. }
        | What::LeaseLost { lease }
        | What::Extended { lease, .. } => leases.contains(lease),
        What::DeadLettered { source, .. }
        | What::Dropped { source, .. }
        | What::Spilled { source, .. }
        | What::Redriven { source, .. }
        | What::Purged { source, .. }
        | What::Left { source, .. } => source.channel.as_str() == channel,
        What::Drained { source, .. } => source.channel.as_str() == channel || source.channel.as_str() == dead,
        What::DeadLetter(letter) => letter.channel.as_str() == dead,
        What::Connected { handle } | What::Disconnected { handle } => handles.contains(handle),
        _ => true,
    };
    History::new(history.events().iter().filter(here).cloned().collect())
}
