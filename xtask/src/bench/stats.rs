//! Medians, intervals, and the little randomness that rounds need.

/// The middle and the ends of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The median.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Summary {
    /// Of these numbers; not a number of none.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Self {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        let end = |number: Option<&f64>| number.copied().unwrap_or(f64::NAN);
        Self { median, low: end(sorted.first()), high: end(sorted.last()) }
    }
}

/// The interval in which the median lies with 95 % confidence, by drawing from the numbers again and again.
#[must_use]
pub fn interval(numbers: &[f64], random: &mut Random) -> (f64, f64) {
    const DRAWS: usize = 1000;
    if numbers.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    let mut medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<f64> = numbers.iter().map(|_| numbers[random.below(numbers.len())]).collect();
            Summary::of(&drawn).median
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    (medians[DRAWS / 40], medians[DRAWS - 1 - DRAWS / 40])
}

/// A small generator; the order of rounds needs no better one.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Begun from the clock.
    #[must_use]
    pub fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::from_seed(now.as_nanos() as u64)
    }

    /// Begun from a number.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }

    /// The numbers below `count`, in random order.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for end in (1..count).rev() {
            order.swap(end, self.below(end + 1));
        }
        order
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
