//! Mutants of settling.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pontoon_core::driver::{Disposition, Incoming, Settled, Token};
use pontoon_core::engine::ConsumerOptions;
use pontoon_core::{Message, Source};

use super::{Deed, Defect, Seat, has_key, locked};
use crate::scene::End;

mutants! {
    "ACK-FINAL" ForgetsAnAck: "one ack in 1,500 does nothing" by ["acked-redelivered"];
    "ACK-SYNC" ConfirmsEarly: "an ack is confirmed before it is done" by ["acked-redelivered"];
    "ACK-ISOLATE" PastAHole: "an ack settles everything before it" by ["lost-confirmed"];
    "ACK-STALE" AcceptsStale: "a second settlement is recorded" by ["stale-accepted"];
    "ACK-CROSS" SettlesTheNext: "an old token settles what a new lease holds" by ["cross-settled"];
    "ACK-DROP" DropAcks: "dropping a delivery acknowledges it" by ["lost-confirmed"];
    "ACK-CANCEL" LivesInTheFuture: "a cancelled call takes its delivery with it" by ["undelivered"];
    "NAK-RETURN" GivingBackAcks: "releases and retries acknowledge" by ["lost-confirmed"];
    "NAK-ONE" GivesAllBack: "giving one back gives all back" by ["unexplained-duplicate"];
    "NAK-KIND" ReleaseIsFailure: "a release counts as a failure" by ["release-counted"];
    "NAK-PACE" NoPace: "releases are not paced" by ["hot-loop"];
}

#[derive(Default)]
struct ForgetsAnAck(AtomicU64);

impl Defect for ForgetsAnAck {
    fn settle<'a>(&self, _: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Ack if self.0.fetch_add(1, Ordering::Relaxed) % 1_500 == 1_499 => {
                Deed::Pretend(Settled::Recorded)
            }
            other => Deed::Do(other),
        }
    }
}

#[derive(Default)]
struct ConfirmsEarly(AtomicBool);

impl Defect for ConfirmsEarly {
    fn confirming(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn settle<'a>(&self, _: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Ack if self.0.swap(false, Ordering::SeqCst) => Deed::Later,
            other => Deed::Do(other),
        }
    }
}

#[derive(Default)]
struct PastAHole(Mutex<HashSet<Token>>);

impl Defect for PastAHole {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        if has_key(&incoming.message, "hole") {
            locked(&self.0).insert(incoming.token);
        }
        1
    }

    fn settle<'a>(&self, _: Seat<'_>, token: Token, what: Disposition<'a>, out: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Ack if locked(&self.0).contains(&token) => {
                let before = out.iter().take_while(|held| **held != token);
                Deed::With(what, before.map(|held| (*held, Disposition::Ack)).collect())
            }
            other => Deed::Do(other),
        }
    }
}

#[derive(Default)]
struct AcceptsStale;

impl Defect for AcceptsStale {
    fn answer(&self, _: Seat<'_>, _: &Disposition<'_>, _: Settled) -> Settled {
        Settled::Recorded
    }
}

#[derive(Default)]
struct SettlesTheNext;

impl Defect for SettlesTheNext {
    fn settle<'a>(&self, _: Seat<'_>, token: Token, what: Disposition<'a>, out: &[Token]) -> Deed<'a> {
        match out.first() {
            Some(first) if !out.contains(&token) => Deed::With(what, vec![(*first, what)]),
            _ => Deed::Do(what),
        }
    }
}

#[derive(Default)]
struct DropAcks;

impl Defect for DropAcks {
    fn end(&self, _: &Source, _: &Message, end: End) -> End {
        if end == End::Drop { End::Ack } else { end }
    }
}

#[derive(Default)]
struct LivesInTheFuture(AtomicU64);

impl Defect for LivesInTheFuture {
    fn loses_cancelled(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) % 50 == 49
    }
}

#[derive(Default)]
struct GivingBackAcks(AtomicU64);

impl Defect for GivingBackAcks {
    fn end(&self, _: &Source, _: &Message, end: End) -> End {
        match end {
            // Not at once, so that only checks that give back a lot meet it.
            End::Release | End::Retry(..) if self.0.fetch_add(1, Ordering::Relaxed) % 20 == 19 => End::Ack,
            other => other,
        }
    }
}

#[derive(Default)]
struct GivesAllBack;

impl Defect for GivesAllBack {
    fn settle<'a>(&self, seat: Seat<'_>, token: Token, what: Disposition<'a>, out: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Release if !seat.stopping => {
                let others = out.iter().filter(|held| **held != token);
                Deed::With(what, others.map(|held| (*held, Disposition::Release)).collect())
            }
            other => Deed::Do(other),
        }
    }
}

#[derive(Default)]
struct ReleaseIsFailure;

impl Defect for ReleaseIsFailure {
    fn end(&self, _: &Source, _: &Message, end: End) -> End {
        if end == End::Release { End::Retry(Some(Duration::from_millis(10)), "a release".into()) } else { end }
    }
}

#[derive(Default)]
struct NoPace;

impl Defect for NoPace {
    fn consumer(&self, _: &mut Source, options: &mut ConsumerOptions) {
        options.release_pace.first = Duration::from_millis(1);
        options.release_pace.cap = Duration::from_millis(1);
    }
}
