//! Mutants of delays, TTLs and priorities.

use std::sync::Mutex;
use std::time::Duration;

use pontoon_core::engine::ConsumerOptions;
use pontoon_core::{Capabilities, Channel, Delay, MAX_DURATION, Message, PublishOutcome, Receipt, Retry, Source};

use super::{Defect, Fate, locked};

mutants! {
    "DLY-EARLY" MillisForSeconds: "delays are taken for a thousandth of what they are" by ["early"];
    "DLY-LATE" BehindLonger: "a short delay waits behind a long one" by ["late"];
    "DLY-MAX" Clamps: "a delay beyond the limit is cut short" by ["accepted-invalid"];
    "DLY-RESTART" InTheClient: "delays are kept by a timer of the client" by ["lost-confirmed"];
    "DLY-BACKOFF" Constant: "every wait is as long as the first" by ["backoff"];
    "TTL-DEAD" IgnoresTtl: "TTLs are ignored" by ["expired-delivered"];
    "TTL-ACCOUNT" Vanishes: "expired messages vanish" by ["expiry-unseen", "lost-confirmed"];
    "TTL-EDGE" Wraps: "impossible TTLs are taken for none" by ["accepted-invalid"];
    "PRI-ORDER" SamePriority: "priorities are ignored" by ["priority-inversion"];
    "PRI-STARVE" Inverts: "low priorities go first" by ["priority-inversion"];
}

#[derive(Default)]
struct MillisForSeconds;

impl Defect for MillisForSeconds {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        match message.delay() {
            Some(Delay::For(delay)) if delay > Duration::from_secs(1) => {
                Fate::Pass(message.with_delay(Delay::For(delay / 1_000)))
            }
            _ => Fate::Pass(message),
        }
    }
}

#[derive(Default)]
struct BehindLonger(Mutex<Duration>);

impl Defect for BehindLonger {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        let Some(Delay::For(delay)) = message.delay() else { return Fate::Pass(message) };
        let mut longest = locked(&self.0);
        *longest = longest.max(delay);
        Fate::Pass(message.with_delay(Delay::For(*longest)))
    }
}

#[derive(Default)]
struct Clamps;

impl Defect for Clamps {
    fn capabilities(&self, _: &Channel, found: &mut Capabilities) {
        found.limits.max_delay = None;
    }
    fn publishing(&self, message: Message) -> Message {
        match message.delay() {
            Some(Delay::For(delay)) if delay > MAX_DURATION => message.with_delay(Delay::For(MAX_DURATION)),
            _ => message,
        }
    }
}

#[derive(Default)]
struct InTheClient;

impl Defect for InTheClient {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        if message.delay().is_some() {
            return Fate::Told(PublishOutcome::Confirmed(Receipt::default()), None);
        }
        Fate::Pass(message)
    }
}

#[derive(Default)]
struct Constant;

impl Defect for Constant {
    fn consumer(&self, _: &mut Source, options: &mut ConsumerOptions) {
        let attempts = options.retry.max_attempts();
        options.retry = Retry::fixed(options.retry.wait(1, 0.5)).jitter(0.0).attempts(attempts);
    }
}

#[derive(Default)]
struct IgnoresTtl;

impl Defect for IgnoresTtl {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        Fate::Pass(message.without_ttl())
    }
}

#[derive(Default)]
struct Vanishes;

impl Defect for Vanishes {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        if message.ttl().is_some_and(|ttl| ttl == Duration::from_millis(200)) {
            return Fate::Told(PublishOutcome::Confirmed(Receipt::default()), None);
        }
        Fate::Pass(message)
    }
}

#[derive(Default)]
struct Wraps;

impl Defect for Wraps {
    fn publishing(&self, message: Message) -> Message {
        match message.ttl() {
            Some(ttl) if ttl.is_zero() || ttl > MAX_DURATION => message.without_ttl(),
            _ => message,
        }
    }
}

#[derive(Default)]
struct SamePriority;

impl Defect for SamePriority {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        match message.priority() {
            // What the broker sees is all the same; what the message says stays, beside it.
            Some(told) => Fate::Pass(message.with_priority(0).with_header(TOLD, i64::from(told))),
            None => Fate::Pass(message),
        }
    }
    fn arrive(&self, _: super::Seat<'_>, incoming: &mut pontoon_core::driver::Incoming) -> usize {
        restore(&mut incoming.message);
        1
    }
}

/// Where a mutant keeps the priority it hides from the broker.
const TOLD: &str = "mutant-priority";

fn restore(message: &mut Message) {
    if let Some(pontoon_core::HeaderValue::Int(told)) = message.headers.get(TOLD).cloned() {
        message.headers.remove(TOLD);
        *message = message.clone().with_priority(u8::try_from(told).unwrap_or_default());
    }
}

#[derive(Default)]
struct Inverts;

impl Defect for Inverts {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        match message.priority() {
            Some(told) => {
                Fate::Pass(message.with_priority(9_u8.saturating_sub(told)).with_header(TOLD, i64::from(told)))
            }
            None => Fate::Pass(message),
        }
    }
    fn arrive(&self, _: super::Seat<'_>, incoming: &mut pontoon_core::driver::Incoming) -> usize {
        restore(&mut incoming.message);
        1
    }
}
