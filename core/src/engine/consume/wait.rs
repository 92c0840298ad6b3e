//! Who waits for a delivery, and how a receiver's wake-up finds them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Wakes the pump, from anywhere.
#[derive(Debug, Default)]
pub(super) struct Signal(Mutex<Option<Waker>>);

impl Signal {
    pub(super) fn register(&self, waker: &Waker) {
        let mut registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !registered.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *registered = Some(waker.clone());
        }
    }

    pub(super) fn notify(&self) {
        // Cloned, not taken: the pump stays registered between two of its polls.
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.notify();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

/// The users in `next()`: asleep in a line, or awake and about to look for themselves.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    line: Mutex<VecDeque<(u64, Waker)>>,
    asleep: AtomicUsize,
    looking: AtomicUsize,
}

impl Waiters {
    /// Puts a user in line, or renews its waker.
    pub(super) fn sleep(&self, id: u64, waker: &Waker) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        match line.iter_mut().find(|(other, _)| *other == id) {
            Some((_, old)) => {
                if !old.will_wake(waker) {
                    *old = waker.clone();
                }
            }
            None => line.push_back((id, waker.clone())),
        }
        self.asleep.store(line.len(), Ordering::SeqCst);
    }

    /// Takes a user out of line; whether it was still there, that is, had not been woken.
    pub(super) fn leave(&self, id: u64) -> bool {
        if self.asleep.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let before = line.len();
        line.retain(|(other, _)| *other != id);
        self.asleep.store(line.len(), Ordering::SeqCst);
        line.len() < before
    }

    /// Wakes up to this many; how many it woke.
    pub(super) fn wake(&self, count: usize) -> usize {
        let mut woken = 0;
        while woken < count && self.asleep.load(Ordering::SeqCst) > 0 {
            let next = {
                let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
                let next = line.pop_front();
                self.asleep.store(line.len(), Ordering::SeqCst);
                next
            };
            let Some((_, waker)) = next else { break };
            waker.wake();
            woken += 1;
        }
        woken
    }

    /// A user is awake and will look for itself.
    pub(super) fn looks(&self) {
        self.looking.fetch_add(1, Ordering::SeqCst);
    }

    /// It does not look any more.
    pub(super) fn looked(&self) {
        self.looking.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether anybody is in `next()`.
    pub(super) fn any(&self) -> bool {
        self.asleep.load(Ordering::SeqCst) > 0 || self.looking.load(Ordering::SeqCst) > 0
    }

    fn any_looking(&self) -> bool {
        self.looking.load(Ordering::SeqCst) > 0
    }
}

/// What a receiver wakes: a user in `next()`, so that a message costs no hop, else the pump.
#[derive(Debug)]
pub(super) struct ReceiveWake {
    pub(super) waiters: Arc<Waiters>,
    pub(super) pump: Arc<Signal>,
}

impl Wake for ReceiveWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        // Somebody who is looking polls the receiver before it sleeps, and hands on when it goes away.
        if self.waiters.wake(1) == 0 && !self.waiters.any_looking() {
            self.pump.notify();
        }
    }
}
