//! How far the run is: for the progress line and for knowing when to end. No figure of the result comes from here.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts while the run goes on.
#[derive(Debug)]
pub(crate) struct Tally {
    ended: Vec<AtomicBool>,
    ends: AtomicUsize,
    failures: AtomicUsize,
    rejected: AtomicUsize,
    confirmed: AtomicUsize,
    foreign: AtomicUsize,
    /// Handlings begun and not ended, by flight.
    running: Vec<AtomicUsize>,
    all_sent: AtomicBool,
    last: Mutex<Instant>,
}

impl Tally {
    pub(crate) fn new(flights: usize) -> Self {
        Tally {
            ended: (0..flights).map(|_| AtomicBool::new(false)).collect(),
            ends: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
            rejected: AtomicUsize::new(0),
            confirmed: AtomicUsize::new(0),
            foreign: AtomicUsize::new(0),
            running: (0..flights).map(|_| AtomicUsize::new(0)).collect(),
            all_sent: AtomicBool::new(false),
            last: Mutex::new(Instant::now()),
        }
    }

    /// A flight was confirmed.
    pub(crate) fn confirmed(&self) {
        self.confirmed.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// A handling begins.
    pub(crate) fn begun(&self, seq: usize) {
        self.running[seq].fetch_add(1, Ordering::Relaxed);
    }

    /// It ended, and failed.
    pub(crate) fn failed(&self, seq: usize) {
        self.running[seq].fetch_sub(1, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// It ended, and was the flight's last.
    pub(crate) fn ended(&self, seq: usize, rejected: bool) {
        self.running[seq].fetch_sub(1, Ordering::Relaxed);
        self.rejected.fetch_add(usize::from(rejected), Ordering::Relaxed);
        self.close(seq);
    }

    /// The last attempt allowed failed: the flight will not come again.
    pub(crate) fn spent(&self, seq: usize) {
        self.failed(seq);
        self.close(seq);
    }

    /// A flight of another run came by.
    pub(crate) fn foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// How many flights of other runs came by.
    pub(crate) fn foreigners(&self) -> usize {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Publishing is over.
    pub(crate) fn all_sent(&self) {
        self.all_sent.store(true, Ordering::Relaxed);
    }

    /// Whether publishing is over.
    pub(crate) fn is_all_sent(&self) -> bool {
        self.all_sent.load(Ordering::Relaxed)
    }

    /// Whether no flight will come again.
    pub(crate) fn is_through(&self) -> bool {
        self.ends.load(Ordering::Relaxed) == self.ended.len()
    }

    /// Flights whose handling began and never ended.
    pub(crate) fn unended(&self) -> Vec<usize> {
        (0..self.running.len()).filter(|&seq| self.running[seq].load(Ordering::Relaxed) > 0).collect()
    }

    /// How long nothing has happened.
    pub(crate) fn quiet(&self) -> Duration {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// The progress line.
    pub(crate) fn line(&self) -> String {
        let [confirmed, ends, failures, rejected] =
            [&self.confirmed, &self.ends, &self.failures, &self.rejected].map(|count| count.load(Ordering::Relaxed));
        format!("published {confirmed}, finished {ends}, of these rejected {rejected}, failed attempts {failures}")
    }

    fn close(&self, seq: usize) {
        if !self.ended[seq].swap(true, Ordering::Relaxed) {
            self.ends.fetch_add(1, Ordering::Relaxed);
        }
        self.touch();
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}
