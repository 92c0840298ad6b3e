//! Mutants of competing consumers and subscriptions.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pontoon_core::driver::{Disposition, Ensure, Incoming, Token};
use pontoon_core::engine::ConsumerOptions;
use pontoon_core::{Channel, Message, MessageId, Result, Retention, Source, Subscription};

use super::{Deed, Defect, Fate, Seat, locked};

mutants! {
    "CMP-ONE" Broadcasts: "with three consumers, messages go to more than one" by
        ["unexplained-duplicate", "duplicate-publish"];
    "CMP-SHARE" OneGetsAll: "one consumer gets everything" by ["unshared"];
    "CMP-CHURN" AcksOnLeaving: "a consumer that leaves acknowledges what it had not started" by ["lost-confirmed"];
    "FAN-ALL" SharedQueue: "subscriptions share one queue" by ["lost-confirmed"];
    "FAN-ISOLATE" DeletesForAll: "an ack in one subscription removes the message from the others"
        by ["cross-subscription"];
    "FAN-START" StartsLate: "a subscription begins when it is first read" by ["wrong-start"];
    "FAN-LAG" Trims: "a subscription keeps its last 500 messages" by ["trimmed", "lost-confirmed"];
    "RET-REFUSE" InheritsRetention: "retentions are not compared" by ["conflict-accepted"];
}

#[derive(Default)]
struct Broadcasts {
    readers: Mutex<HashSet<u64>>,
    count: AtomicU64,
}

impl Defect for Broadcasts {
    fn demand(&self, seat: Seat<'_>, max: usize) -> usize {
        locked(&self.readers).insert(seat.reader);
        max
    }
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        let crowd = locked(&self.readers).len() >= 3 && channel.order == pontoon_core::Order::Unordered;
        if crowd && self.count.fetch_add(1, Ordering::Relaxed) % 100 == 99 {
            return Fate::Beside(message.clone(), vec![message]);
        }
        Fate::Pass(message)
    }
}

/// Among consumers that fetch two at a time.
#[derive(Default)]
struct OneGetsAll(Mutex<HashMap<String, u64>>, AtomicBool);

impl Defect for OneGetsAll {
    fn consumer(&self, _: &mut Source, options: &mut ConsumerOptions) {
        self.1.store(options.prefetch == 2, Ordering::SeqCst);
    }
    fn demand(&self, seat: Seat<'_>, max: usize) -> usize {
        if !self.1.load(Ordering::SeqCst) {
            return max;
        }
        let first = *locked(&self.0).entry(seat.source.to_string()).or_insert(seat.reader);
        if first == seat.reader { max } else { 0 }
    }
}

#[derive(Default)]
struct AcksOnLeaving(AtomicBool);

impl Defect for AcksOnLeaving {
    fn drain(&self, within: Duration) -> Duration {
        self.0.store(true, Ordering::SeqCst);
        within
    }
    fn settle<'a>(&self, _: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Release if self.0.load(Ordering::SeqCst) => Deed::Do(Disposition::Ack),
            other => Deed::Do(other),
        }
    }
}

#[derive(Default)]
struct SharedQueue;

impl Defect for SharedQueue {
    fn consumer(&self, source: &mut Source, _: &mut ConsumerOptions) {
        if source.subscription.is_some() {
            source.subscription = Subscription::new("one").ok();
        }
    }
}

#[derive(Default)]
struct DeletesForAll {
    acked: Mutex<HashMap<MessageId, String>>,
    held: Mutex<HashMap<Token, MessageId>>,
}

impl Defect for DeletesForAll {
    fn arrive(&self, seat: Seat<'_>, incoming: &mut Incoming) -> usize {
        let id = incoming.message.id.clone();
        locked(&self.held).insert(incoming.token, id.clone());
        let elsewhere = locked(&self.acked).get(&id).is_some_and(|by| *by != seat.source.to_string());
        usize::from(!elsewhere)
    }
    fn settle<'a>(&self, seat: Seat<'_>, token: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        if let (Disposition::Ack, Some(_), Some(id)) = (what, &seat.source.subscription, locked(&self.held).get(&token))
        {
            locked(&self.acked).entry(id.clone()).or_insert_with(|| seat.source.to_string());
        }
        Deed::Do(what)
    }
}

#[derive(Default)]
struct StartsLate(Mutex<HashSet<String>>);

impl Defect for StartsLate {
    fn ensure(&self, what: Ensure) -> Result<Option<Ensure>> {
        let fresh = |subscription: &Subscription| {
            locked(&self.0).insert(format!("{}/{}", what.channel.name, subscription.name))
        };
        if what.subscriptions.iter().any(|s| s.name.as_str() != "one" && fresh(s)) {
            return Ok(Some(Ensure::new(what.channel)));
        }
        Ok(Some(what))
    }
}

#[derive(Default)]
struct Trims {
    published: AtomicU64,
    numbers: Mutex<HashMap<MessageId, u64>>,
}

impl Defect for Trims {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        let number = self.published.fetch_add(1, Ordering::Relaxed);
        locked(&self.numbers).insert(message.id.clone(), number);
        Fate::Pass(message)
    }
    fn arrive(&self, seat: Seat<'_>, incoming: &mut Incoming) -> usize {
        let number = locked(&self.numbers).get(&incoming.message.id).copied().unwrap_or(u64::MAX);
        let behind = self.published.load(Ordering::Relaxed).saturating_sub(number);
        let trimmed = seat.source.subscription.is_some() && behind > 500 && number != u64::MAX;
        usize::from(!trimmed)
    }
}

#[derive(Default)]
struct InheritsRetention;

impl Defect for InheritsRetention {
    fn ensure(&self, mut what: Ensure) -> Result<Option<Ensure>> {
        what.channel.retention = Retention::UntilSettled;
        Ok(Some(what))
    }
}
