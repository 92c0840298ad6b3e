//! What all connections share: the model, the file, the clock.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pontoon_core::driver::Ensure;
use pontoon_core::{Error, Message, Result, os_seed};
use pontoon_memory::{MemoryServer, MemoryTransport};
use tokio::sync::{Notify, watch};

use crate::journal::{Image, Journal, Record};
use crate::protocol::put_ensure;

pub(super) struct Core {
    pub(super) memory: MemoryServer,
    /// How the connections use the model: as any client in its process would.
    pub(super) transport: MemoryTransport,
    pub(super) journal: Journal,
    pub(super) beat: Duration,
    /// What is in the file as declared.
    declared: RefCell<HashSet<(String, Vec<u8>)>>,
    latest: Cell<u64>,
    /// The number of the next connection. It begins anywhere, so that a token of an earlier process means nothing.
    next_connection: Cell<u32>,
    error: RefCell<Option<Error>>,
    failing: Notify,
    /// Raised to end, or to silence, every connection that publishes or consumes.
    pub(super) cut: watch::Sender<()>,
    pub(super) frozen: watch::Sender<()>,
}

impl Core {
    pub(super) fn new(memory: MemoryServer, journal: Journal, image: Image, beat: Duration) -> Result<Self> {
        let declared = image.declared().into_iter().map(|ensure| (name_of(ensure), spelled(ensure))).collect();
        let latest = Cell::new(image.latest());
        let now = now_after(&latest);
        image.restore(&memory, now)?;
        Ok(Core {
            transport: MemoryTransport::new(&memory),
            memory,
            journal,
            beat,
            declared: RefCell::new(declared),
            latest,
            next_connection: Cell::new(os_seed() as u32),
            error: RefCell::new(None),
            failing: Notify::new(),
            cut: watch::Sender::new(()),
            frozen: watch::Sender::new(()),
        })
    }

    /// The wall clock in nanoseconds since 1970; it never steps back.
    pub(super) fn now(&self) -> u64 {
        now_after(&self.latest)
    }

    /// The number of a new connection.
    pub(super) fn connection(&self) -> u32 {
        let number = self.next_connection.get();
        self.next_connection.set(number.wrapping_add(1));
        number
    }

    /// Notes a declaration that succeeded, once.
    pub(super) fn declared(&self, ensure: &Ensure) {
        let known = (name_of(ensure), spelled(ensure));
        if !ensure.channel.existing && self.declared.borrow_mut().insert(known) {
            self.journal.append(&Record::<&Message>::Declared(ensure.clone()));
        }
    }

    /// Deletes a channel with everything it holds.
    pub(super) fn delete(&self, channel: &str) {
        if self.memory.delete(channel) {
            self.declared.borrow_mut().retain(|(name, _)| name != channel);
            self.journal.append(&Record::<&Message>::Deleted { channel: channel.to_owned() });
        }
    }

    /// Writes the records of what was just done, without anything in between. The server ends where that fails.
    pub(super) fn write(&self) -> Result<u64> {
        self.journal.write().inspect_err(|error| {
            self.error.borrow_mut().get_or_insert_with(|| error.clone());
            self.failing.notify_one();
        })
    }

    /// Waits until the file cannot be written.
    pub(super) async fn failed(&self) -> Error {
        loop {
            self.failing.notified().await;
            if let Some(error) = self.error.borrow().clone() {
                return error;
            }
        }
    }
}

fn name_of(ensure: &Ensure) -> String {
    ensure.channel.name.as_str().to_owned()
}

fn spelled(ensure: &Ensure) -> Vec<u8> {
    let mut spelled = Vec::new();
    put_ensure(&mut spelled, ensure);
    spelled
}

fn now_after(latest: &Cell<u64>) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(latest.get());
    latest.set(now);
    now
}
