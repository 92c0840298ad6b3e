//! Which of many futures have something to say: a bit for each, and one waker for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// Set by the client's thread, taken by whoever drives.
#[derive(Debug)]
pub(crate) struct Ready {
    bits: Box<[AtomicU64]>,
    /// Whether somebody was woken since the bits were last taken: one wake for a burst of answers.
    woken: AtomicBool,
    driver: AtomicWaker,
}

struct One {
    all: Arc<Ready>,
    number: usize,
}

impl Ready {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let bits = (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Ready { bits, woken: AtomicBool::new(false), driver: AtomicWaker::new() })
    }

    /// The waker of one future.
    pub(crate) fn waker(self: &Arc<Self>, number: usize) -> Waker {
        Waker::from(Arc::new(One { all: self.clone(), number }))
    }

    /// Who is woken from now on. Take the bits afterwards.
    pub(crate) fn watch(&self, driver: &Waker) {
        self.driver.register(driver);
        self.woken.store(false, Ordering::SeqCst);
    }

    /// Wakes who drives, with nothing to say.
    pub(crate) fn again(&self) {
        self.driver.wake();
    }

    /// Calls `of` for each that was woken.
    pub(crate) fn take(&self, mut of: impl FnMut(usize)) {
        for (at, word) in self.bits.iter().enumerate() {
            let mut bits = if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::SeqCst) };
            while bits != 0 {
                of(at * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    fn set(&self, number: usize) {
        self.bits[number / 64].fetch_or(1 << (number % 64), Ordering::SeqCst);
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.driver.wake();
        }
    }
}

impl Wake for One {
    fn wake(self: Arc<Self>) {
        self.all.set(self.number);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.all.set(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_burst_wakes_once_and_loses_nothing() {
        let ready = Ready::new(130);
        let count = Arc::new(Count::default());
        ready.watch(&Waker::from(count.clone()));
        for number in [0, 63, 64, 129, 64] {
            ready.waker(number).wake();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        let mut taken = Vec::new();
        ready.take(|number| taken.push(number));
        assert_eq!(taken, [0, 63, 64, 129]);
        // Not watched anew: whoever took them looks again by itself.
        ready.watch(&Waker::from(count.clone()));
        ready.waker(5).wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
    }
}
