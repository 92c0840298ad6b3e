//! A connection, and the producers and consumers (generations) that live on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Waker;

use pontoon_core::{Error, Result};

use crate::clock::lock;
use crate::error;
use crate::queue::{ConsumerId, Queue};
use crate::server::Shared;
use crate::wakes::{Wakes, keep};

/// One connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) server: Arc<Shared>,
    closed: AtomicBool,
    links: Mutex<Vec<Weak<Link>>>,
}

/// One generation of a producer or a consumer: alive until it is cut.
#[derive(Debug)]
pub(crate) struct Link {
    dead: OnceLock<Error>,
    waker: Mutex<Option<Waker>>,
    consumer: Option<(Arc<Queue>, ConsumerId)>,
}

impl Connection {
    pub(crate) fn open(server: Arc<Shared>) -> Arc<Self> {
        let connection = Arc::new(Connection { server, closed: AtomicBool::new(false), links: Mutex::default() });
        let mut all = lock(&connection.server.connections);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&connection));
        drop(all);
        connection
    }

    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(error::closed(operation)) } else { Ok(()) }
    }

    /// A new generation; of a consumer when one is named.
    ///
    /// # Errors
    /// `Closed`.
    pub(crate) fn link(
        &self,
        operation: &'static str,
        consumer: Option<(Arc<Queue>, ConsumerId)>,
    ) -> Result<Arc<Link>> {
        let link = Arc::new(Link { dead: OnceLock::new(), waker: Mutex::new(None), consumer });
        let mut links = lock(&self.links);
        links.retain(|known| known.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        drop(links);
        // After the link is listed, so that a concurrent close either sees it or is seen here.
        self.check(operation)?;
        Ok(link)
    }

    /// Cuts everything that lives on this connection.
    pub(crate) fn disconnect(&self, why: &Error) {
        let links: Vec<_> = lock(&self.links).drain(..).filter_map(|link| link.upgrade()).collect();
        for link in links {
            link.cut(why.clone());
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.disconnect(&error::closed("use connection"));
    }
}

impl Link {
    /// Why it is dead, if it is.
    pub(crate) fn dead(&self) -> Option<&Error> {
        self.dead.get()
    }

    /// Keeps the waker to wake when it is cut.
    pub(crate) fn watch(&self, waker: &Waker) {
        keep(&mut lock(&self.waker), waker);
    }

    /// Ends it: a consumer's unsettled messages go back. The first reason stays.
    pub(crate) fn cut(&self, why: Error) {
        let _ = self.dead.set(why);
        let mut wakes = Wakes::default();
        if let Some((queue, id)) = &self.consumer {
            queue.lock().detach(*id, &mut wakes);
        }
        if let Some(waker) = lock(&self.waker).take() {
            wakes.push(waker);
        }
        wakes.wake();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut(error::closed("use connection"));
    }
}
