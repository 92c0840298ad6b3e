//! What waits to be sent on one connection, in order, each frame until the file is safe up to its position.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::journal::Journal;

/// A client that does not read what it asked for is not served beyond this.
const BOUND: usize = 8 << 20;

#[derive(Default)]
pub(super) struct Outbox {
    frames: RefCell<VecDeque<(u64, Vec<u8>)>>,
    bytes: Cell<usize>,
    ended: Cell<bool>,
    more: Notify,
    less: Notify,
}

impl Outbox {
    /// Adds bytes that may be sent when the file is safe up to this position.
    pub(super) fn push(&self, position: u64, bytes: Vec<u8>) {
        self.bytes.set(self.bytes.get() + bytes.len());
        self.frames.borrow_mut().push_back((position, bytes));
        self.more.notify_one();
    }

    /// Adds bytes that are needed only where nothing else waits to be sent.
    pub(super) fn push_if_idle(&self, bytes: Vec<u8>) {
        if self.bytes.get() == 0 {
            self.push(0, bytes);
        }
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.more.notify_one();
    }

    /// Waits until there is room.
    pub(super) async fn room(&self) {
        while self.bytes.get() > BOUND {
            self.less.notified().await;
        }
    }

    /// Sends until it has ended and is empty, or the connection is.
    pub(super) async fn send(&self, mut to: impl AsyncWrite + Unpin, journal: &Journal) -> io::Result<()> {
        loop {
            let first = self.frames.borrow_mut().pop_front();
            let Some((position, mut bytes)) = first else {
                if self.ended.get() {
                    return to.shutdown().await;
                }
                self.more.notified().await;
                continue;
            };
            journal.safe(position).await;
            self.add_what_is_safe(&mut bytes, journal);
            to.write_all(&bytes).await?;
            self.bytes.set(self.bytes.get() - bytes.len());
            self.less.notify_one();
        }
    }

    /// Whatever else may go by now goes with it.
    fn add_what_is_safe(&self, bytes: &mut Vec<u8>, journal: &Journal) {
        let mut frames = self.frames.borrow_mut();
        while let Some((_, more)) = frames.pop_front_if(|(position, _)| journal.is_safe(*position)) {
            bytes.extend_from_slice(&more);
        }
    }
}
