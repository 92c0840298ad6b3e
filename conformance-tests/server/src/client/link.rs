//! One generation, as its transport sees it: it can be told to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Waker;

/// Ended by whoever closes the transport, noticed at the next poll.
#[derive(Debug, Default)]
pub(super) struct Link {
    ended: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Link {
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Keeps whom to wake when it ends. Look at [`is_ended`](Self::is_ended) afterwards.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut kept = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The generations of one transport.
#[derive(Debug, Default)]
pub(super) struct Links {
    closed: AtomicBool,
    all: Mutex<Vec<Weak<Link>>>,
}

impl Links {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// One more. It may have ended already, when the transport was closed meanwhile.
    pub(super) fn link(&self) -> Arc<Link> {
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

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let all = std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter_map(Weak::upgrade).for_each(|link| link.end());
    }
}
