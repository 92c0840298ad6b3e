//! Which blow falls when: drawn from one number, before anything runs.

use std::time::Duration;

use super::Plan;
use crate::harness::{Control, Harm, HarmKind};
use crate::history::FaultKind;

/// One blow.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Blow {
    /// So long after everybody has gone on.
    pub(super) after: Duration,
    pub(super) name: &'static str,
    pub(super) harm: Harm,
    pub(super) kind: FaultKind,
    /// Zero where it is over when it has struck.
    pub(super) lasts: Duration,
}

impl Blow {
    pub(super) fn is_a_kill(&self) -> bool {
        self.kind == FaultKind::BrokerKilled
    }
}

/// As many kills and cuts as planned, of what this control offers, shuffled; one gap in four is a quiet phase.
pub(super) fn schedule(plan: &Plan, control: &dyn Control, random: &mut fastrand::Rng) -> Vec<Blow> {
    let cuts = [
        (HarmKind::Cut, "cut", Harm::Cut),
        (HarmKind::LoseReplies, "reply lost", Harm::LoseReplies(1)),
        (HarmKind::BreakPublishing, "cut within", Harm::BreakPublishing(1)),
    ];
    let cuts: Vec<_> = cuts.into_iter().filter(|(kind, ..)| control.offers(*kind)).collect();
    let kills = if control.offers(HarmKind::Restart) { plan.kills } else { 0 };
    let mut blows: Vec<Blow> = (0..kills).map(|_| blow("kill", Harm::Restart, FaultKind::BrokerKilled)).collect();
    if !cuts.is_empty() {
        // Every way of cutting has its turn, whatever is drawn.
        blows.extend((0..plan.cuts).map(|number| {
            let (_, name, harm) = &cuts[number % cuts.len()];
            blow(name, harm.clone(), FaultKind::Cut)
        }));
    }
    random.shuffle(&mut blows);
    for blow in &mut blows {
        let millis = if random.u8(..4) == 0 { random.u64(300..800) } else { random.u64(10..150) };
        blow.after = Duration::from_millis(millis);
    }
    blows
}

fn blow(name: &'static str, harm: Harm, kind: FaultKind) -> Blow {
    Blow { after: Duration::ZERO, name, harm, kind, lasts: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pontoon_core::Result;
    use pontoon_core::driver::BoxFuture;

    struct Offers(Vec<HarmKind>);

    impl Control for Offers {
        fn offers(&self, harm: HarmKind) -> bool {
            self.0.contains(&harm)
        }
        fn harm(&self, _: Harm) -> BoxFuture<'_, Result<()>> {
            Box::pin(async { Ok(()) })
        }
        fn heal(&self) -> BoxFuture<'_, Result<()>> {
            Box::pin(async { Ok(()) })
        }
    }

    #[test]
    fn one_number_is_one_schedule_and_only_what_is_offered_is_in_it() {
        let all = Offers(vec![HarmKind::Cut, HarmKind::LoseReplies, HarmKind::BreakPublishing, HarmKind::Restart]);
        let draw = |seed| schedule(&Plan::short(), &all, &mut fastrand::Rng::with_seed(seed));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let blows = draw(7);
        let count = |name| blows.iter().filter(|blow| blow.name == name).count();
        assert_eq!((count("kill"), count("cut"), count("reply lost"), count("cut within")), (5, 7, 7, 6));
        let few = schedule(&Plan::short(), &Offers(vec![HarmKind::Cut]), &mut fastrand::Rng::with_seed(7));
        assert!(few.len() == 20 && few.iter().all(|blow| blow.harm == Harm::Cut));
        assert_eq!(schedule(&Plan::short(), &Offers(vec![]), &mut fastrand::Rng::with_seed(7)), []);
    }
}
