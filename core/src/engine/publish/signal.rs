//! Wakes the pump.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::lock;

/// A flag that one task waits for and anyone raises: users, foreign threads, and the driver through its waker.
#[derive(Debug, Default)]
pub(super) struct Signal {
    raised: AtomicBool,
    waiter: Mutex<Option<Waker>>,
}

impl Signal {
    /// Raises the flag. Only the first of several raises wakes.
    pub(super) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            let waiter = lock(&self.waiter).take();
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        }
    }

    /// Takes the flag down, or waits for it.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.raised.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        let old = lock(&self.waiter).replace(cx.waker().clone());
        drop(old);
        // It may have been raised before the waiter was there.
        if self.raised.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raises_are_joined_and_none_is_lost() {
        let (signal, seen) = (Signal::default(), Arc::new(Signal::default()));
        let waker = Waker::from(Arc::clone(&seen));
        let mut cx = Context::from_waker(&waker);
        signal.raise();
        signal.raise();
        assert_eq!(signal.poll(&mut cx), Poll::Ready(()));
        assert_eq!(signal.poll(&mut cx), Poll::Pending);
        assert!(!seen.raised.load(Ordering::Acquire));
        signal.raise();
        assert!(seen.raised.load(Ordering::Acquire), "the waiter was woken");
        assert_eq!(signal.poll(&mut cx), Poll::Ready(()));
        assert_eq!(signal.poll(&mut cx), Poll::Pending);
    }
}
