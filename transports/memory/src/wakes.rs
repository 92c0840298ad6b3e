//! Wakers gathered under a lock and woken after it.

use std::task::Waker;

/// Whom to wake once the lock is released. Nearly always none or one, so the vector nearly never allocates.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Wakes {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    pub(crate) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.more.push(waker);
        }
    }

    /// Wakes them all. Never under a lock: a waker may run what it wakes.
    #[inline]
    pub(crate) fn wake(self) {
        if self.first.is_some() {
            self.wake_all();
        }
    }

    fn wake_all(self) {
        self.first.into_iter().chain(self.more).for_each(Waker::wake);
    }
}

/// Keeps the last waker, without cloning it again when it is the same.
pub(crate) fn keep(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) if known.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}
