//! Which flights fail, and how often: decided by the seed before anything is sent.

/// How often a flight may be tried before it is dead-lettered.
pub(crate) const MAX_ATTEMPTS: u32 = 5;

/// Failures per flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan(Vec<Fate>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Fails this often, fewer times than the limit.
    Fails(u32),
    /// Fails always.
    Poison,
}

impl Plan {
    /// A share of the flights fails 1 to `MAX_ATTEMPTS - 1` times, and `poison` of them fail always.
    #[must_use]
    pub(crate) fn new(flights: usize, fail_rate: f64, poison: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut fates = vec![Fate::Fails(0); flights];
        // An exact share of a shuffled deck instead of a coin per flight: the share asked for is the share that fails.
        let mut deck: Vec<usize> = (0..flights).collect();
        random.shuffle(&mut deck);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let failing = (flights as f64 * fail_rate).round() as usize;
        for &seq in deck.iter().take(failing) {
            fates[seq] = Fate::Fails(random.u32(1..MAX_ATTEMPTS));
        }
        random.shuffle(&mut deck);
        for &seq in deck.iter().take(poison) {
            fates[seq] = Fate::Poison;
        }
        Plan(fates)
    }

    /// Whether this attempt (1 is the first) of this flight fails.
    #[must_use]
    pub(crate) fn fails(&self, seq: usize, attempt: u32) -> bool {
        match self.0[seq] {
            Fate::Fails(times) => attempt <= times,
            Fate::Poison => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_and_the_poison_are_exact_and_seeded() {
        let plan = Plan::new(1_000, 0.3, 7, 11);
        assert_eq!(plan.0.iter().filter(|fate| **fate == Fate::Poison).count(), 7);
        let failing = plan.0.iter().filter(|fate| matches!(fate, Fate::Fails(1..))).count();
        // Poison falls on any flight, failing ones included.
        assert!((293..=300).contains(&failing), "{failing}");
        assert!(plan.0.iter().all(|fate| matches!(fate, Fate::Poison | Fate::Fails(0..MAX_ATTEMPTS))));
        assert_eq!(plan, Plan::new(1_000, 0.3, 7, 11));
        assert_ne!(plan, Plan::new(1_000, 0.3, 7, 12));
    }

    #[test]
    fn a_failing_flight_succeeds_below_the_limit_and_poison_never_does() {
        let plan = Plan(vec![Fate::Fails(0), Fate::Fails(4), Fate::Poison]);
        assert!(!plan.fails(0, 1));
        assert!(plan.fails(1, 4) && !plan.fails(1, MAX_ATTEMPTS));
        assert!(plan.fails(2, MAX_ATTEMPTS) && plan.fails(2, 1_000));
        assert_eq!(Plan::new(3, 1.0, 0, 1).0.iter().filter(|fate| **fate == Fate::Fails(0)).count(), 0);
    }
}
