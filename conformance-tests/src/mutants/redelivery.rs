//! Mutants of redelivery and attempts.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use pontoon_core::driver::{Disposition, Ensure, Incoming, Settled, Token};
use pontoon_core::engine::{ConsumerOptions, PublisherOptions};
use pontoon_core::{Attempt, Channel, Message, MessageId, Result, Source};

use super::{Deed, Defect, Seat, has_key, locked};

mutants! {
    "RED-CRASH" Orphans: "what a killed consumer held is given to nobody" by ["lost-confirmed"];
    "RED-EXTEND" NoHeartbeat: "leases are not extended" by ["unexplained-duplicate"];
    "RED-ZOMBIE" KeepsQuiet: "a lost lease is not signalled" by ["unsignalled"];
    "RED-INNOCENT" ChargesPrefetch: "a lost connection counts as a failure of all that was fetched"
        by ["premature-dlq", "attempt-regression"];
    "RED-BOUND" KeepsAcksBack: "the last 40 acks are done when the consumer closes" by ["too-many-duplicates"];
    "ATT-FIRST" FromZero: "attempts are counted from zero" by ["attempt-not-one"];
    "ATT-MONO" PerProcess: "each process counts by itself" by ["attempt-regression"];
    "ATT-DURABLE" PerProcess: "the count is in a client's memory" by ["attempt-regression"];
    "CEIL-LOOP" NoCeiling: "there is no delivery ceiling" by ["no-ceiling"];
}

#[derive(Default)]
struct Orphans;

impl Defect for Orphans {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        // Came back from a lost consumer, not from a failure.
        let orphan = incoming.deliveries.is_some_and(|count| count > 1 + incoming.failures);
        usize::from(!orphan)
    }
}

#[derive(Default)]
struct NoHeartbeat;

impl Defect for NoHeartbeat {
    fn settle<'a>(&self, _: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Extend { .. } => Deed::Pretend(Settled::Recorded),
            other => Deed::Do(other),
        }
    }

    fn tells_lost_lease(&self, _: Seat<'_>) -> bool {
        false
    }
}

/// What comes again to the same consumer would tell it too.
#[derive(Default)]
struct KeepsQuiet(Mutex<HashSet<(u64, MessageId)>>);

impl Defect for KeepsQuiet {
    fn arrive(&self, seat: Seat<'_>, incoming: &mut Incoming) -> usize {
        let lost = incoming.deliveries.is_some_and(|count| count > 1 + incoming.failures);
        let known = !locked(&self.0).insert((seat.reader, incoming.message.id.clone()));
        usize::from(!(lost && known))
    }

    fn answer(&self, _: Seat<'_>, what: &Disposition<'_>, answer: Settled) -> Settled {
        if matches!(what, Disposition::Extend { .. }) { Settled::Recorded } else { answer }
    }

    fn tells_lost_lease(&self, _: Seat<'_>) -> bool {
        false
    }
}

#[derive(Default)]
struct ChargesPrefetch;

impl Defect for ChargesPrefetch {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        if has_key(&incoming.message, "innocent") {
            incoming.failures = incoming.failures.max(incoming.deliveries.unwrap_or(1).saturating_sub(1));
        }
        1
    }
}

#[derive(Default)]
struct KeepsAcksBack(Mutex<HashSet<Token>>);

impl Defect for KeepsAcksBack {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        if has_key(&incoming.message, "bound") {
            locked(&self.0).insert(incoming.token);
        }
        1
    }

    fn settle<'a>(&self, _: Seat<'_>, token: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Ack if locked(&self.0).contains(&token) => Deed::Later,
            other => Deed::Do(other),
        }
    }

    fn keeps_back(&self) -> usize {
        40
    }

    fn consumer(&self, _: &mut Source, options: &mut ConsumerOptions) {
        // Else what is kept back would use up the room for more.
        if options.prefetch == 10 {
            options.prefetch += 40;
        }
    }
}

#[derive(Default)]
struct FromZero;

impl Defect for FromZero {
    fn attempt(&self, message: &Message, attempt: Attempt) -> Attempt {
        if !has_key(message, "first") {
            return attempt;
        }
        Attempt { at_least: attempt.at_least - 1, at_most: attempt.at_most.map(|most| most - 1) }
    }
}

/// How often each reader had each message: that is all it knows.
#[derive(Default)]
struct PerProcess(Mutex<HashMap<(u64, MessageId), u32>>);

impl Defect for PerProcess {
    fn arrive(&self, seat: Seat<'_>, incoming: &mut Incoming) -> usize {
        let mut counts = locked(&self.0);
        let count = counts.entry((seat.reader, incoming.message.id.clone())).or_default();
        incoming.failures = incoming.failures.min(*count);
        *count += 1;
        incoming.deliveries = Some(*count);
        1
    }
}

#[derive(Default)]
struct NoCeiling;

impl NoCeiling {
    fn lift(channel: &mut Channel) {
        channel.delivery_ceiling = u32::MAX;
    }
}

impl Defect for NoCeiling {
    fn ensure(&self, mut what: Ensure) -> Result<Option<Ensure>> {
        Self::lift(&mut what.channel);
        Ok(Some(what))
    }
    fn consumer(&self, source: &mut Source, _: &mut ConsumerOptions) {
        Self::lift(&mut source.channel);
    }
    fn publisher(&self, channel: &mut Channel, _: &mut PublisherOptions) {
        Self::lift(channel);
    }
}
