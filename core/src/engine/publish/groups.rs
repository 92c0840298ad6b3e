//! Messages published together: one counter, their outcomes, one wake.

use super::outcome::Outcome;

#[derive(Debug)]
struct Group<W> {
    outcomes: Vec<Option<Outcome>>,
    open: usize,
    queued: usize,
    waiter: Option<W>,
    abandoned: bool,
}

/// All groups under way.
#[derive(Debug)]
pub(super) struct Groups<W> {
    all: Vec<Group<W>>,
    free: Vec<u32>,
}

impl<W> Groups<W> {
    pub(super) fn new() -> Self {
        Groups { all: Vec::new(), free: Vec::new() }
    }

    /// Begins a group for about this many messages.
    pub(super) fn begin(&mut self, expected: usize) -> u32 {
        let outcomes = Vec::with_capacity(expected);
        let group = Group { outcomes, open: 0, queued: 0, waiter: None, abandoned: false };
        match self.free.pop() {
            Some(index) => {
                self.all[index as usize] = group;
                index
            }
            None => {
                self.all.push(group);
                (self.all.len() - 1) as u32
            }
        }
    }

    /// The next place of a group, for a message on its way.
    pub(super) fn open_place(&mut self, group: u32) -> u32 {
        let group = &mut self.all[group as usize];
        group.outcomes.push(None);
        group.open += 1;
        group.queued += 1;
        (group.outcomes.len() - 1) as u32
    }

    /// The next place of a group, for a message that never set out.
    pub(super) fn add_outcome(&mut self, group: u32, outcome: Outcome) {
        self.all[group as usize].outcomes.push(Some(outcome));
    }

    /// One of the group's messages no longer waits for room. The last one wakes.
    pub(super) fn entered(&mut self, group: u32, woken: &mut Vec<W>) {
        let this = &mut self.all[group as usize];
        this.queued -= 1;
        if this.queued == 0 {
            woken.extend(this.waiter.take());
        }
    }

    /// Whether some of the group's messages wait for room.
    pub(super) fn queued(&self, group: u32) -> bool {
        self.all[group as usize].queued > 0
    }

    /// An outcome. The last one wakes.
    pub(super) fn resolve(&mut self, group: u32, index: u32, outcome: Outcome, woken: &mut Vec<W>) {
        let this = &mut self.all[group as usize];
        this.open -= 1;
        if !this.abandoned {
            this.outcomes[index as usize] = Some(outcome);
        }
        if this.open == 0 {
            woken.extend(this.waiter.take());
            if this.abandoned {
                self.free.push(group);
            }
        }
    }

    /// The outcomes, when there are all; ends the group.
    pub(super) fn finish(&mut self, group: u32) -> Option<Vec<Option<Outcome>>> {
        let this = &mut self.all[group as usize];
        if this.open > 0 {
            return None;
        }
        self.free.push(group);
        Some(std::mem::take(&mut this.outcomes))
    }

    /// Who is woken by the last outcome; the old waker is to be dropped outside any lock.
    pub(super) fn rewake(&mut self, group: u32, waiter: W) -> Option<W> {
        self.all[group as usize].waiter.replace(waiter)
    }

    /// Nobody wants the outcomes any more; the waker is to be dropped outside any lock.
    pub(super) fn abandon(&mut self, group: u32) -> Option<W> {
        let this = &mut self.all[group as usize];
        this.abandoned = true;
        this.outcomes = Vec::new();
        if this.open == 0 {
            self.free.push(group);
        }
        this.waiter.take()
    }

    /// Whether no group is under way.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.len() == self.free.len()
    }
}
