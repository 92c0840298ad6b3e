//! A connection, and word of its loss. The client library answers nothing to what is asked of it after a connection
//! broke, so nobody here waits for its answers alone.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use lapin::{Channel, Connection};
use pontoon_core::{ErrorStatus, Result};

use crate::error;

/// How often the connection is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// One connection, until it is lost.
pub(crate) struct Live {
    pub(crate) connection: Arc<Connection>,
    lost: AtomicBool,
    links: Mutex<Vec<Weak<Link>>>,
}

/// Somebody who is woken when the connection is lost.
#[derive(Debug, Default)]
pub(crate) struct Link(AtomicWaker);

impl Link {
    /// Who is woken from now on. Ask afterwards whether it is lost already.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.0.register(waker);
    }
}

impl Live {
    /// Watches a connection that was just made, by one task that ends with it.
    pub(crate) fn new(connection: Connection) -> Arc<Self> {
        let connection = Arc::new(connection);
        let live = Arc::new(Live { connection, lost: AtomicBool::new(false), links: Mutex::default() });
        tokio::spawn(watch(Arc::downgrade(&live)));
        live
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(crate) fn link(&self) -> Arc<Link> {
        let link = Arc::new(Link::default());
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        link
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        let links = std::mem::take(&mut *self.links.lock().unwrap_or_else(PoisonError::into_inner));
        links.iter().filter_map(Weak::upgrade).for_each(|link| link.0.wake());
    }

    /// Works over this connection, and gives up when it is lost.
    pub(crate) async fn guarded<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let link = self.link();
        let mut work = pin!(work);
        poll_fn(|cx| {
            link.watch(cx.waker());
            match work.as_mut().poll(cx) {
                Poll::Pending if self.is_lost() => Poll::Ready(Err(
                    error::lost(operation, "the connection was lost").with_status(ErrorStatus::Temporary)
                )),
                polled => polled,
            }
        })
        .await
    }
}

/// A channel of its own. Dropping it closes it: what it held goes back to its queue. (The client library keeps a channel
/// open as long as any consumer was ever asked for on it.)
pub(crate) struct Line {
    pub(crate) channel: Channel,
    pub(crate) live: Arc<Live>,
}

impl Line {
    /// Whether it can be used.
    pub(crate) fn is_open(&self) -> bool {
        !self.live.is_lost() && self.channel.status().connected()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_open() {
            // The first look sends; nobody waits for the answer.
            let closing = pin!(self.channel.close(200, "closed".into()));
            let _ = closing.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

async fn watch(live: Weak<Live>) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let Some(live) = live.upgrade() else { return };
        if !live.connection.status().connected() {
            return live.lose();
        }
    }
}
