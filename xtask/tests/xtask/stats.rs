//! The numbers of `cargo xtask bench`.

use xtask::bench::stats::{Random, Summary, interval};

#[test]
fn the_median_lies_in_the_middle() {
    let odd = Summary::of(&[3.0, 1.0, 2.0]);
    assert_eq!(odd, Summary { median: 2.0, low: 1.0, high: 3.0 });
    assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
    assert!(Summary::of(&[]).median.is_nan());
}

#[test]
fn the_interval_is_narrow_where_the_numbers_agree_and_wide_where_not() {
    let mut random = Random::from_seed(7);
    assert_eq!(interval(&[1.0; 9], &mut random), (1.0, 1.0));
    let (low, high) = interval(&[0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.3, 1.4, 1.5], &mut random);
    assert!(low <= 0.8 && high >= 1.2, "{low} {high}");
    let (low, high) = interval(&[0.99, 1.0, 1.0, 1.0, 1.01, 1.0, 1.0, 0.99, 5.0], &mut random);
    assert!(low >= 0.95 && high <= 1.05, "one outlier decides nothing: {low} {high}");
}

#[test]
fn an_order_has_everybody_once() {
    let mut random = Random::from_seed(1);
    let orders: Vec<_> = (0..50).map(|_| random.order(4)).collect();
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
    }
    for place in 0..4 {
        assert!((0..4).all(|who| orders.iter().any(|order| order[place] == who)));
    }
}
