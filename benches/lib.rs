//! What the benchmarks share: cells, rounds, and the counting of allocations.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts every allocation of the process.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations and reallocations made while `run` ran, on every thread.
pub fn allocations(run: impl FnOnce()) -> u64 {
    let region = Region::new(ALLOCATOR);
    run();
    let change = region.change();
    (change.allocations + change.reallocations) as u64
}

/// Bytes that the process holds at this moment.
#[must_use]
pub fn bytes_in_use() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.bytes_allocated as i64 + stats.bytes_reallocated as i64 - stats.bytes_deallocated as i64).max(0) as u64
}

/// The median, with the least and the greatest.
#[must_use]
pub fn median(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [] => (0.0, 0.0, 0.0),
        [least, .., greatest] => (sorted[sorted.len() / 2], *least, *greatest),
        [only] => (*only, *only, *only),
    }
}
