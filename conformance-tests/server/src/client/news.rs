//! Who of the two halves of a consumer has to hear what the other found on their connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Wakes both halves: the connection knows one waker, and either half may have been the last to poll.
#[derive(Default)]
pub(super) struct Both {
    pub(super) receiver: Mutex<Option<Waker>>,
    pub(super) settler: Mutex<Option<Waker>>,
}

impl Both {
    pub(super) fn keep(slot: &Mutex<Option<Waker>>, waker: &Waker) {
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    fn wake_one(slot: &Mutex<Option<Waker>>) {
        let waker = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Both {
    /// Wakes whom there is news for.
    pub(super) fn tell(&self, news: News) {
        if news.receiver || news.again {
            Both::wake_one(&self.receiver);
        }
        if news.settler || news.again {
            Both::wake_one(&self.settler);
        }
    }
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Both::wake_one(&self.receiver);
        Both::wake_one(&self.settler);
    }
}

/// For whom there is news.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub(super) struct News {
    pub(super) receiver: bool,
    pub(super) settler: bool,
    /// More has arrived than one poll takes: somebody has to poll again.
    pub(super) again: bool,
}

impl News {
    /// The connection has ended.
    pub(super) const FOR_BOTH: News = News { receiver: true, settler: true, again: false };

    /// What the settler still has to hear, of what the receiver found.
    pub(super) fn but_receiver(self) -> Self {
        News { receiver: false, ..self }
    }

    /// What the receiver still has to hear, of what the settler found.
    pub(super) fn but_settler(self) -> Self {
        News { settler: false, ..self }
    }
}
