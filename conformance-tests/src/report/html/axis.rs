//! From times to places: a pause of a minute must not push a millisecond's events into one dot.

use crate::history::Nanos;

/// A time axis. Between two moments at which something happens there is room that grows with the logarithm of the pause:
/// order and simultaneity are kept, scale is not.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Moments, ascending, and their places in percent.
    stops: Vec<(Nanos, f64)>,
}

impl Axis {
    /// An axis on which all these moments have their places.
    pub(super) fn over(moments: impl IntoIterator<Item = Nanos>) -> Self {
        let mut moments: Vec<Nanos> = moments.into_iter().collect();
        moments.sort_unstable();
        moments.dedup();
        let mut gaps: Vec<Nanos> = moments.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let widths: Vec<f64> = {
            let mut sorted = gaps.clone();
            sorted.sort_unstable();
            let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(1).max(1);
            gaps.drain(..).map(|gap| (1.0 + gap as f64 / usual as f64).ln().clamp(0.4, 2.5)).collect()
        };
        let whole: f64 = widths.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        // A margin at both ends, so that marks are not cut off.
        let (mut at, left, room) = (0.0, 2.0, 96.0);
        let mut stops = Vec::with_capacity(moments.len());
        for (place, moment) in moments.into_iter().enumerate() {
            stops.push((moment, left + room * at / whole));
            at += widths.get(place).copied().unwrap_or_default();
        }
        Axis { stops }
    }

    /// Where this moment is, in percent.
    pub(super) fn at(&self, moment: Nanos) -> f64 {
        match self.stops.binary_search_by_key(&moment, |(at, _)| *at) {
            Ok(place) => self.stops[place].1,
            Err(0) => 0.0,
            Err(place) if place == self.stops.len() => 100.0,
            Err(place) => f64::midpoint(self.stops[place - 1].1, self.stops[place].1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_long_pauses_are_short() {
        let axis = Axis::over([0, 1_000, 2_000, 60_000_000_000, 60_000_001_000]);
        let places: Vec<f64> = [0, 1_000, 2_000, 60_000_000_000, 60_000_001_000].map(|at| axis.at(at)).into();
        assert!(places.is_sorted() && places.windows(2).all(|pair| pair[1] - pair[0] > 1.0), "{places:?}");
        assert!((places[0] - 2.0).abs() < 1e-9 && (places[4] - 98.0).abs() < 1e-9, "{places:?}");
        assert!(axis.at(1_500) > places[1] && axis.at(1_500) < places[2]);
        assert!(axis.at(u64::MAX) > places[4]);
    }

    #[test]
    fn nothing_and_one_moment_have_their_places_too() {
        assert!(Axis::over([]).at(5).is_finite());
        assert!((Axis::over([5]).at(5) - 2.0).abs() < 1e-9);
    }
}
