//! What the picture shows: a lane for each message, with its publishes, leases and ends, and one for what went wrong
//! around them.

use std::collections::BTreeMap;

use crate::history::{Answer, End, Handle, LeaseId, Nanos, Outcome, What};
use crate::report::Shown;
use crate::report::evidence::Messages;

/// How something ended, which is its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Unsure,
    Plain,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Bad => "bad",
            Tone::Unsure => "unsure",
            Tone::Plain => "plain",
        }
    }
}

/// Something that lasts. Without an end it lasts to the edge of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) from: Nanos,
    pub(super) to: Option<Nanos>,
    pub(super) kind: BarKind,
    pub(super) tone: Tone,
    pub(super) words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BarKind {
    Publish,
    Lease,
    Fault,
}

/// Something that happens at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: Nanos,
    pub(super) tone: Tone,
    pub(super) words: String,
}

/// One message, or what surrounds all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
    pub(super) marks: Vec<Mark>,
    /// The events that prove the failure: their moments, and their numbers in the list below the picture.
    pub(super) witness: Vec<(Nanos, usize)>,
}

/// The lanes of these events: faults first, then messages in the order in which they appear.
pub(super) fn lanes(events: &[Shown]) -> Vec<Lane> {
    let messages = Messages::of_events(events.iter().map(|shown| &shown.event));
    let mut surroundings = Lane { title: "faults and connections".into(), ..Lane::default() };
    let mut order: Vec<&str> = Vec::new();
    let mut by_message: BTreeMap<&str, Lane> = BTreeMap::new();
    let mut leases: BTreeMap<LeaseId, (String, usize)> = BTreeMap::new();
    let mut number = 0;
    for Shown { event, witness } in events {
        number += usize::from(*witness);
        let at = event.at;
        let Some(message) = messages.of_event(&event.what) else {
            surround(&mut surroundings, at, &event.what);
            if *witness {
                surroundings.witness.push((at, number));
            }
            continue;
        };
        let name = message.as_str();
        let lane = by_message.entry(name).or_insert_with(|| {
            order.push(name);
            Lane { title: format!("message {name}"), ..Lane::default() }
        });
        if *witness {
            lane.witness.push((at, number));
        }
        tell(lane, &mut leases, at, name, &event.what);
    }
    let lanes = order.into_iter().filter_map(|name| by_message.remove(name));
    let surrounded =
        !surroundings.bars.is_empty() || !surroundings.marks.is_empty() || !surroundings.witness.is_empty();
    surrounded.then_some(surroundings).into_iter().chain(lanes).collect()
}

fn surround(lane: &mut Lane, at: Nanos, what: &What) {
    match what {
        What::Fault { kind } => {
            lane.bars.push(Bar { from: at, to: None, kind: BarKind::Fault, tone: Tone::Bad, words: kind.to_string() })
        }
        What::Heal { kind } => {
            let words = kind.to_string();
            let open = lane.bars.iter_mut().rev().find(|bar| bar.to.is_none() && bar.words == words);
            if let Some(bar) = open {
                bar.to = Some(at);
            }
        }
        What::ProcessKilled { .. } | What::Disconnected { .. } => mark(lane, at, Tone::Bad, what),
        What::Connected { handle: Handle::Publisher(_) | Handle::Consumer(_) } | What::ProcessStarted { .. } => {
            mark(lane, at, Tone::Good, what);
        }
        _ => mark(lane, at, Tone::Plain, what),
    }
}

fn mark(lane: &mut Lane, at: Nanos, tone: Tone, what: &What) {
    lane.marks.push(Mark { at, tone, words: what.to_string() });
}

fn tell(lane: &mut Lane, leases: &mut BTreeMap<LeaseId, (String, usize)>, at: Nanos, name: &str, what: &What) {
    let bar = |kind, words: String| Bar { from: at, to: None, kind, tone: Tone::Unsure, words };
    match what {
        What::Publish(publish) => {
            let key = publish.key.as_ref().map_or(String::new(), |key| format!(", key {key}"));
            lane.title = format!("message {} ({}){key}", publish.id, publish.message);
            lane.bars.push(bar(BarKind::Publish, "publish".into()));
        }
        What::Published { outcome, .. } => {
            let tone = match outcome {
                Outcome::Ok { .. } => Tone::Good,
                Outcome::Fail => Tone::Bad,
                Outcome::Unknown => Tone::Unsure,
            };
            let open = lane.bars.iter_mut().rev().find(|bar| bar.kind == BarKind::Publish && bar.to.is_none());
            end(open, at, tone, &outcome.to_string());
        }
        What::Deliver(delivery) => {
            leases.insert(delivery.lease, (name.to_owned(), lane.bars.len()));
            lane.bars.push(bar(BarKind::Lease, format!("lease {} of consumer {}", delivery.lease, delivery.consumer)));
        }
        What::Settle { lease, end: how } => {
            let tone = match how {
                End::Ack => Tone::Good,
                End::Release | End::Drop => Tone::Plain,
                End::Retry { .. } | End::DeadLetter(_) => Tone::Bad,
            };
            let words = how.to_string();
            end(of_lease(lane, leases, *lease, name), at, tone, &words);
        }
        What::Settled { lease, answer } | What::Late { lease, answer } => {
            if matches!(answer, Answer::Stale | Answer::Unknown) {
                lane.marks.push(Mark { at, tone: Tone::Unsure, words: what.to_string() });
                if let Some(bar) = of_lease(lane, leases, *lease, name) {
                    bar.tone = Tone::Unsure;
                }
            }
        }
        What::LeaseLost { lease } => end(of_lease(lane, leases, *lease, name), at, Tone::Unsure, "lease lost"),
        What::DeadLettered { .. } | What::DeadLetter(_) | What::Dropped { .. } => mark(lane, at, Tone::Bad, what),
        _ => mark(lane, at, Tone::Plain, what),
    }
}

fn of_lease<'a>(
    lane: &'a mut Lane,
    leases: &BTreeMap<LeaseId, (String, usize)>,
    lease: LeaseId,
    name: &str,
) -> Option<&'a mut Bar> {
    let (owner, place) = leases.get(&lease)?;
    if owner == name { lane.bars.get_mut(*place) } else { None }
}

fn end(bar: Option<&mut Bar>, at: Nanos, tone: Tone, words: &str) {
    if let Some(bar) = bar {
        bar.to.get_or_insert(at);
        bar.tone = tone;
        bar.words = format!("{}: {words}", bar.words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Delivery, Event, FaultKind, Publish, PublishId, SourceName};

    fn shown(at: Nanos, what: What, witness: bool) -> Shown {
        Shown { event: Event { at, process: 0, what }, witness }
    }

    #[test]
    fn a_message_is_published_leased_and_acknowledged_while_something_is_wrong() {
        let id = PublishId { publisher: 1, counter: 0 };
        let publish = Publish {
            id,
            channel: "q".into(),
            message: "m".into(),
            key: Some("k".into()),
            hash: 0,
            headers: 0,
            due: None,
            ttl: None,
            priority: None,
        };
        let delivery = Delivery {
            lease: LeaseId(7),
            source: SourceName::queue("q"),
            consumer: 3,
            id: Some(id),
            message: "m".into(),
            key: None,
            hash: 0,
            headers: 0,
            at_least: 1,
            at_most: None,
            broker_id: None,
            position: None,
            maybe_duplicate: false,
        };
        let ok = Outcome::Ok { broker_id: None, position: None, routed: None };
        let events = [
            shown(1, What::Publish(Box::new(publish)), true),
            shown(2, What::Fault { kind: FaultKind::Cut }, false),
            shown(3, What::Published { id, outcome: ok }, false),
            shown(4, What::Heal { kind: FaultKind::Cut }, false),
            shown(5, What::Deliver(Box::new(delivery)), true),
            shown(6, What::Settle { lease: LeaseId(7), end: End::Ack }, false),
            shown(7, What::Late { lease: LeaseId(7), answer: Answer::Stale }, false),
        ];
        let lanes = lanes(&events);
        assert_eq!(lanes.len(), 2);
        let fault = &lanes[0].bars[0];
        assert_eq!((fault.from, fault.to, fault.kind, fault.words.as_str()), (2, Some(4), BarKind::Fault, "cut"));
        let message = &lanes[1];
        assert_eq!(message.title, "message 1.0 (m), key k");
        assert_eq!(message.witness, [(1, 1), (5, 2)]);
        let bars: Vec<_> = message.bars.iter().map(|bar| (bar.from, bar.to, bar.kind, bar.tone)).collect();
        assert_eq!(
            bars,
            [
                (1, Some(3), BarKind::Publish, Tone::Good),
                // It was acknowledged, and that came too late.
                (5, Some(6), BarKind::Lease, Tone::Unsure)
            ]
        );
        assert_eq!(message.marks.iter().map(|mark| mark.at).collect::<Vec<_>>(), [7]);
    }
}
