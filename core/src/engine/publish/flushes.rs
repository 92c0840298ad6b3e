//! Who waits until everything accepted before has its outcome.

/// Waiting flushes. Each waits for all issue numbers below its own.
#[derive(Debug)]
pub(super) struct Flushes<W> {
    waiting: Vec<(u64, u64, W)>,
    next_id: u64,
}

impl<W> Flushes<W> {
    pub(super) fn new() -> Self {
        Flushes { waiting: Vec::new(), next_id: 0 }
    }

    /// Waits for everything issued before `until`.
    pub(super) fn wait(&mut self, until: u64, waker: W) -> u64 {
        self.next_id += 1;
        self.waiting.push((self.next_id, until, waker));
        self.next_id
    }

    /// Stops waiting, or replaces the waker; what is returned is to be dropped outside any lock.
    pub(super) fn give_up(&mut self, id: u64) -> Option<W> {
        let place = self.waiting.iter().position(|(other, ..)| *other == id)?;
        Some(self.waiting.swap_remove(place).2)
    }

    /// Wakes everyone whose messages are older than the oldest unresolved.
    pub(super) fn advance(&mut self, oldest: Option<u64>, woken: &mut Vec<W>) {
        if self.waiting.is_empty() {
            return;
        }
        let done = |until: u64| oldest.is_none_or(|oldest| oldest >= until);
        for (_, _, waker) in self.waiting.extract_if(.., |(_, until, _)| done(*until)) {
            woken.push(waker);
        }
    }
}
