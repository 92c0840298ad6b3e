//! Mutants of lost connections, of bad input, and of what a transport says of itself.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pontoon_core::driver::{
    BoxFuture, DepthReport, Disposition, Ensure, Extensions, Incoming, QueueDepth, QueuePurge, Settled, Token,
};
use pontoon_core::engine::ConsumerOptions;
use pontoon_core::{
    Channel, ChannelName, DeadLetterPolicy, DeliveryGuarantee, Error, ErrorKind, History, Message, PublishOutcome,
    ReasonKind, Receipt, Result, Source,
};

use super::{Deed, Defect, Fate, Seat, locked};

mutants! {
    "REC-RESTART" EndsQuietly: "a lost connection is kept from the engine" by ["not-resumed"];
    "REC-HALFOPEN" EndsQuietly: "silence is kept from the engine" by ["silence-unnoticed"];
    "REC-AMBIG" ConfirmsAtDeath: "what was under way when the connection broke is confirmed" by ["lost-confirmed"];
    "REC-SAMEID" NotMarked: "resends are not marked" by ["unmarked"];
    "REC-CANCEL" IgnoresDeletion: "a deleted queue is kept from the engine" by ["not-told"];
    "BIG-EDGE" OneLess: "the largest body is one byte smaller than declared" by ["edge"];
    "BAD-DECODE" GoesRound: "what cannot be decoded comes again and again" by ["decode-loop"];
    "BAD-FOREIGN" OnlyOurs: "messages without a time are passed over" by ["foreign-lost"];
    "BAD-PANIC" PanicIsRelease: "the failures of one type of message are releases" by ["panic-uncounted"];
    "TYP-ROUTE" DropsUnknown: "a message without a handler is acknowledged" by ["unrouted-lost"];
    "TOP-TWICE" RefusesAgain: "declaring a channel for the 40th time fails" by ["redeclare-refused"];
    "TOP-CONFLICT" TakesAnyFacts: "facts are not compared" by ["conflict-accepted"];
    "TOP-NAMES" SameNames: "case, and underscore or hyphen, of names are ignored" by ["phantom", "cross-subscription"];
    "PRG-READY" PurgesAll: "a purge removes what is in flight too" by ["purged-in-flight"];
    "INS-DEPTH" Conflates: "in-flight messages count as ready" by ["depth"];
    "INS-HONEST" OffersNothing: "declared abilities are not there" by ["lying-capability"];
    "AMO-KILL" SettlesAfter: "at most once settles after the handler" by ["delivered-twice"];
    "AMO-UNKNOWN" RunsAnyway: "a handler runs although the settlement is not known" by ["delivered-twice"];
}

#[derive(Default)]
struct EndsQuietly;

impl Defect for EndsQuietly {
    fn died(&self, _: &Channel, error: Error) -> Option<Error> {
        (error.kind() == ErrorKind::NotFound).then_some(error)
    }
}

#[derive(Default)]
struct IgnoresDeletion;

impl Defect for IgnoresDeletion {
    fn died(&self, _: &Channel, error: Error) -> Option<Error> {
        (error.kind() != ErrorKind::NotFound).then_some(error)
    }
}

#[derive(Default)]
struct ConfirmsAtDeath;

impl Defect for ConfirmsAtDeath {
    fn at_death(&self, _: &Channel) -> Option<PublishOutcome> {
        Some(PublishOutcome::Confirmed(Receipt::default()))
    }
}

#[derive(Default)]
struct NotMarked;

impl Defect for NotMarked {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        let history = History { maybe_duplicate: false, ..message.history().clone() };
        Fate::Pass(message.with_history(history))
    }
}

#[derive(Default)]
struct OneLess;

impl Defect for OneLess {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        if message.body.len() == 1 << 20 {
            let error = Error::new(ErrorKind::TooLarge, "publish", "one byte too many");
            return Fate::Told(PublishOutcome::Rejected(pontoon_core::Rejection::Refused(error)), None);
        }
        Fate::Pass(message)
    }
}

/// What is no text comes again and again.
#[derive(Default)]
struct GoesRound;

impl Defect for GoesRound {
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        let unreadable = message.body.first() == Some(&0xff) && !channel.name.as_str().ends_with(".dead");
        if unreadable { Fate::Beside(message.clone(), vec![message; 4]) } else { Fate::Pass(message) }
    }
}

#[derive(Default)]
struct OnlyOurs;

impl Defect for OnlyOurs {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        usize::from(incoming.message.timestamp_ms != 0)
    }
}

/// A transport does not see panics: it takes the failures of one type of message for them.
#[derive(Default)]
struct PanicIsRelease(Mutex<HashSet<Token>>);

impl Defect for PanicIsRelease {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        if incoming.message.type_name.as_str() == "payment.v1" {
            locked(&self.0).insert(incoming.token);
        }
        1
    }
    fn settle<'a>(&self, _: Seat<'_>, token: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Retry { .. } if locked(&self.0).contains(&token) => Deed::Do(Disposition::Release),
            other => Deed::Do(other),
        }
    }
}

#[derive(Default)]
struct DropsUnknown;

fn is_unrouted(message: &Message) -> bool {
    let info = message.history().dead_letter.as_ref();
    message.type_name.as_str() == "unheard-of.v9" && info.is_some_and(|i| i.reason == Some(ReasonKind::NoHandler))
}

impl Defect for DropsUnknown {
    // By a swap, or by a copy: the transport says which.
    fn settle<'a>(&self, _: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Replace { message, .. } if is_unrouted(message) => Deed::Do(Disposition::Ack),
            other => Deed::Do(other),
        }
    }
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        if is_unrouted(&message) {
            return Fate::Told(PublishOutcome::Confirmed(Receipt::default()), None);
        }
        Fate::Pass(message)
    }
}

#[derive(Default)]
struct RefusesAgain(Mutex<HashMap<ChannelName, u64>>);

impl Defect for RefusesAgain {
    fn ensure(&self, what: Ensure) -> Result<Option<Ensure>> {
        let mut counts = locked(&self.0);
        let count = counts.entry(what.channel.name.clone()).or_default();
        *count += 1;
        if *count == 40 {
            return Err(Error::new(ErrorKind::Conflict, "ensure channel", "it exists"));
        }
        Ok(Some(what))
    }
}

/// The first facts count, and later ones are taken for them.
#[derive(Default)]
struct TakesAnyFacts(Mutex<HashSet<ChannelName>>);

impl Defect for TakesAnyFacts {
    fn ensure(&self, what: Ensure) -> Result<Option<Ensure>> {
        let known = !locked(&self.0).insert(what.channel.name.clone());
        let forbids = known && what.subscriptions.is_empty() && what.channel.order == pontoon_core::Order::FallBehind;
        Ok(if forbids { None } else { Some(what) })
    }
}

#[derive(Default)]
struct SameNames;

impl Defect for SameNames {
    fn channel(&self, channel: &mut Channel) {
        let same = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        if let Ok(name) = ChannelName::new(same(channel.name.as_str())) {
            channel.name = name;
        }
        if let DeadLetterPolicy::To(name) = &mut channel.dead_letter
            && let Ok(other) = ChannelName::new(same(name.as_str()))
        {
            *name = other;
        }
    }
}

#[derive(Default)]
struct PurgesAll(Arc<AtomicBool>);

struct Purging(Arc<dyn QueuePurge>, Arc<AtomicBool>);

impl QueuePurge for Purging {
    fn purge<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<u64>> {
        self.1.store(true, Ordering::SeqCst);
        self.0.purge(source)
    }
}

impl Defect for PurgesAll {
    fn extensions(&self, mut inner: Extensions) -> Extensions {
        let purge = inner.purge.take();
        inner.purge = purge.map(|purge| Arc::new(Purging(purge, self.0.clone())) as Arc<dyn QueuePurge>);
        inner
    }
    fn answer(&self, _: Seat<'_>, _: &Disposition<'_>, answer: Settled) -> Settled {
        if self.0.load(Ordering::SeqCst) { Settled::Stale } else { answer }
    }
}

#[derive(Default)]
struct Conflates;

struct Conflating(Arc<dyn QueueDepth>);

impl QueueDepth for Conflating {
    fn depth<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<DepthReport>> {
        Box::pin(async move {
            let mut depth = self.0.depth(source).await?;
            depth.ready += depth.in_flight.unwrap_or(0);
            Ok(depth)
        })
    }
}

impl Defect for Conflates {
    fn extensions(&self, mut inner: Extensions) -> Extensions {
        let depth = inner.depth.take();
        inner.depth = depth.map(|depth| Arc::new(Conflating(depth)) as Arc<dyn QueueDepth>);
        inner
    }
}

#[derive(Default)]
struct OffersNothing;

impl Defect for OffersNothing {
    fn extensions(&self, _: Extensions) -> Extensions {
        Extensions::none()
    }
}

#[derive(Default)]
struct SettlesAfter;

impl Defect for SettlesAfter {
    fn consumer(&self, source: &mut Source, options: &mut ConsumerOptions) {
        if options.guarantee == DeliveryGuarantee::AtMostOnce {
            options.guarantee = DeliveryGuarantee::AtLeastOnce;
            source.channel.dead_letter = DeadLetterPolicy::Discard;
        }
    }
    fn ensure(&self, mut what: Ensure) -> Result<Option<Ensure>> {
        if what.channel.dead_letter == DeadLetterPolicy::Undeclared {
            what.channel.dead_letter = DeadLetterPolicy::Discard;
        }
        Ok(Some(what))
    }
}

/// Says that it is settled, and does not wait for it.
#[derive(Default)]
struct RunsAnyway(AtomicU64);

impl Defect for RunsAnyway {
    fn settle<'a>(&self, seat: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        let at_most_once = seat.source.channel.dead_letter == DeadLetterPolicy::Undeclared;
        match what {
            Disposition::Ack if at_most_once && self.0.fetch_add(1, Ordering::Relaxed) % 12 == 11 => {
                Deed::Pretend(Settled::Recorded)
            }
            other => Deed::Do(other),
        }
    }
}
