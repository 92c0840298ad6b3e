//! The delivery tags of one channel: which are out, which were acknowledged here, and what to tell the broker.

use std::collections::VecDeque;

/// What is to be told about deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// This one, and with `multiple` all before it, are done.
    Ack { tag: u64, multiple: bool },
    /// This one goes back to its queue.
    Return { tag: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The broker gave it a tag, and it has not been handed out yet.
    Coming,
    Out,
    /// Recorded as done and not told yet.
    Done,
    /// Recorded as given back and not told yet.
    Back,
    /// Told.
    Told,
}

/// All deliveries from the oldest that is not told.
#[derive(Debug)]
pub(crate) struct Tags {
    /// The tag of the first state.
    first: u64,
    states: VecDeque<State>,
    /// How many states are `Done` or `Back`.
    untold: usize,
}

impl Tags {
    pub(crate) fn new() -> Self {
        // A channel's tags count from 1.
        Tags { first: 1, states: VecDeque::new(), untold: 0 }
    }

    /// A delivery was handed out. Where several consumers share the channel, their tags come in any order.
    pub(crate) fn delivered(&mut self, tag: u64) {
        let Some(at) = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else { return };
        if at >= self.states.len() {
            self.states.resize(at + 1, State::Coming);
        }
        self.states[at] = State::Out;
    }

    /// Records a settlement; `false` when this tag is not out.
    pub(crate) fn settle(&mut self, tag: u64, done: bool) -> bool {
        let state = tag.checked_sub(self.first).and_then(|at| self.states.get_mut(usize::try_from(at).ok()?));
        match state {
            Some(state @ State::Out) => {
                *state = if done { State::Done } else { State::Back };
                self.untold += 1;
                true
            }
            _ => false,
        }
    }

    /// What the broker is to be told now, in this order: the longest run of settled ones in one word, never past a
    /// delivery that is out; what is done beyond it one by one.
    pub(crate) fn tell(&mut self, to: &mut Vec<Tell>) {
        if self.untold == 0 {
            return;
        }
        let tag = |at: usize| self.first + at as u64;
        for (at, state) in self.states.iter_mut().enumerate() {
            if *state == State::Back {
                to.push(Tell::Return { tag: tag(at) });
                *state = State::Told;
            }
        }
        let run = self.states.iter().take_while(|state| !matches!(state, State::Out | State::Coming)).count();
        let done = |state: &State| *state == State::Done;
        if let Some(last) = self.states.iter().take(run).rposition(done) {
            let more = self.states.iter().take(last).any(done);
            to.push(Tell::Ack { tag: tag(last), multiple: more });
        }
        for (at, state) in self.states.iter().enumerate().skip(run) {
            if *state == State::Done {
                to.push(Tell::Ack { tag: tag(at), multiple: false });
            }
        }
        self.states.drain(..run);
        self.first += run as u64;
        self.states.iter_mut().filter(|state| **state == State::Done).for_each(|state| *state = State::Told);
        self.untold = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The broker's side: what is out, and what each word does to it.
    #[derive(Default)]
    struct Broker {
        out: BTreeSet<u64>,
        acked: BTreeSet<u64>,
        returned: BTreeSet<u64>,
    }

    impl Broker {
        fn hear(&mut self, tell: Tell) {
            match tell {
                Tell::Ack { tag, multiple } => {
                    let all: Vec<u64> = if multiple { self.out.range(..=tag).copied().collect() } else { vec![tag] };
                    for tag in all {
                        assert!(self.out.remove(&tag), "{tag} is not out");
                        self.acked.insert(tag);
                    }
                }
                Tell::Return { tag } => {
                    assert!(self.out.remove(&tag), "{tag} is not out");
                    self.returned.insert(tag);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_broker_settles_what_was_settled_and_nothing_else(
            steps in proptest::collection::vec((0..4u8, 0..40u64, any::<bool>()), 1..400)
        ) {
            let (mut tags, mut broker) = (Tags::new(), Broker::default());
            let (mut next, mut done, mut back) = (1, BTreeSet::new(), BTreeSet::new());
            let mut coming = Vec::new();
            let mut words = Vec::new();
            for (step, which, ack) in steps {
                match step {
                    0 => {
                        broker.out.insert(next);
                        coming.push(next);
                        next += 1;
                        if ack {
                            tags.delivered(coming.swap_remove(which as usize % coming.len()));
                        }
                    }
                    1 | 2 => {
                        let tag = next.saturating_sub(which);
                        let known = tag >= 1 && tag < next && !coming.contains(&tag);
                        let fresh = known && !done.contains(&tag) && !back.contains(&tag);
                        prop_assert_eq!(tags.settle(tag, ack), fresh);
                        if fresh && ack { done.insert(tag); } else if fresh { back.insert(tag); }
                    }
                    _ => {
                        tags.tell(&mut words);
                        words.drain(..).for_each(|word| broker.hear(word));
                        prop_assert_eq!(&broker.acked, &done);
                        prop_assert_eq!(&broker.returned, &back);
                    }
                }
            }
        }
    }

    #[test]
    fn a_run_is_one_word() {
        let mut tags = Tags::new();
        (1..=100).for_each(|tag| tags.delivered(tag));
        (1..=64).for_each(|tag| assert!(tags.settle(tag, true)));
        assert!(tags.settle(70, true));
        let mut words = Vec::new();
        tags.tell(&mut words);
        assert_eq!(words, [Tell::Ack { tag: 64, multiple: true }, Tell::Ack { tag: 70, multiple: false }]);
        assert!(!tags.settle(64, true) && !tags.settle(70, false), "settled already");
        words.clear();
        tags.tell(&mut words);
        assert!(words.is_empty());
    }
}
