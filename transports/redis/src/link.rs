//! One generation, as its transport sees it: it can be told to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Waker;

/// Ended by whoever closes the transport, noticed at the next poll.
#[derive(Debug, Default)]
pub(crate) struct Link {
    ended: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Link {
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Keeps whom to wake when it ends. Look at [`is_ended`](Self::is_ended) afterwards.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut kept = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.iter().any(|kept| kept.will_wake(waker)) {
            // Two halves poll it, each with the engine's wakers: more than a few are out of use.
            if kept.len() == 4 {
                kept.remove(0);
            }
            kept.push(waker.clone());
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The generations of one transport.
#[derive(Debug, Default)]
pub(crate) struct Links {
    closed: AtomicBool,
    all: Mutex<Vec<Weak<Link>>>,
}

impl Links {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// One more. It may have ended already, when the transport was closed meanwhile.
    pub(crate) fn link(&self) -> Arc<Link> {
        let link = Arc::new(Link::default());
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&link));
        drop(all);
        if self.is_closed() {
            link.end();
        }
        link
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let all = std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter_map(Weak::upgrade).for_each(|link| link.end());
    }
}
