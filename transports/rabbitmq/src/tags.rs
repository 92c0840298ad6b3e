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
    Out,
    /// Recorded as done and not told yet.
    Done,
    /// Recorded as given back and not told yet.
    Back,
    /// Given back by closing the channel: to the broker it is out until then.
    Kept,
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
    /// Words are on their way that the broker has not answered for.
    telling: bool,
    /// What is given back waits for the channel to be closed.
    leaving: bool,
    /// Nothing is settled any more.
    closed: bool,
}

impl Tags {
    pub(crate) fn new() -> Self {
        // A channel's tags count from 1.
        Tags { first: 1, states: VecDeque::new(), untold: 0, telling: false, leaving: false, closed: false }
    }

    /// A delivery was handed out; tags come in order.
    pub(crate) fn delivered(&mut self, tag: u64) {
        debug_assert_eq!(tag, self.first + self.states.len() as u64, "one consumer for each channel");
        self.states.push_back(State::Out);
    }

    /// Records a settlement; `false` when this tag is not out.
    pub(crate) fn settle(&mut self, tag: u64, done: bool) -> bool {
        let state = tag.checked_sub(self.first).and_then(|at| self.states.get_mut(usize::try_from(at).ok()?));
        match state {
            Some(state @ State::Out) if !self.closed => {
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
        let before = to.len();
        let tag = |at: usize| self.first + at as u64;
        for (at, state) in self.states.iter_mut().enumerate() {
            if *state == State::Back {
                // Told by itself, it would come back here at once.
                if !self.leaving {
                    to.push(Tell::Return { tag: tag(at) });
                }
                *state = if self.leaving { State::Kept } else { State::Told };
            }
        }
        let run = self.states.iter().take_while(|state| !matches!(state, State::Out | State::Kept)).count();
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
        self.telling |= to.len() > before;
    }

    /// The broker has heard all that was told.
    pub(crate) fn told(&mut self) {
        self.telling = false;
    }

    /// The channel will be closed, which gives back all that is out then: from now on nothing is given back before.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Ends settling once everything that was handed out is settled and told; with `at_once` also while some is out.
    /// Whether it has ended: then the channel may be closed.
    pub(crate) fn close(&mut self, at_once: bool) -> bool {
        let all = self.leaving && !self.states.contains(&State::Out);
        self.closed |= self.untold == 0 && !self.telling && (all || at_once);
        self.closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
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
            steps in proptest::collection::vec((0..5u8, 0..40u64, any::<bool>()), 1..400)
        ) {
            let (mut tags, mut broker) = (Tags::new(), Broker::default());
            let (mut next, mut done, mut back) = (1, BTreeSet::new(), BTreeSet::new());
            let (mut leaving, mut kept) = (false, BTreeSet::new());
            let mut words = Vec::new();
            for (step, which, ack) in steps {
                match step {
                    0 | 1 => {
                        broker.out.insert(next);
                        tags.delivered(next);
                        next += 1;
                    }
                    2 | 3 => {
                        let tag = next.saturating_sub(which);
                        let known = tag >= 1 && tag < next && !kept.contains(&tag);
                        let fresh = known && !done.contains(&tag) && !back.contains(&tag);
                        prop_assert_eq!(tags.settle(tag, ack), fresh);
                        if fresh {
                            let to = if ack { &mut done } else if leaving { &mut kept } else { &mut back };
                            to.insert(tag);
                        }
                    }
                    _ if which == 0 => {
                        // What was given back and not told by now is kept, too.
                        kept.extend(back.iter().filter(|tag| !broker.returned.contains(tag)));
                        back.retain(|tag| broker.returned.contains(tag));
                        leaving = true;
                        tags.leave();
                    }
                    _ => {
                        tags.tell(&mut words);
                        words.drain(..).for_each(|word| broker.hear(word));
                        prop_assert_eq!(&broker.acked, &done);
                        prop_assert_eq!(&broker.returned, &back);
                        prop_assert!(kept.iter().all(|tag| broker.out.contains(tag)), "closing gives these back");
                        tags.told();
                    }
                }
            }
            tags.tell(&mut words);
            words.drain(..).for_each(|word| broker.hear(word));
            tags.told();
            let out = (1..next).any(|tag| !done.contains(&tag) && !back.contains(&tag) && !kept.contains(&tag));
            prop_assert_eq!(tags.close(false), leaving && !out);
            prop_assert!(tags.close(true) && !(1..next).any(|tag| tags.settle(tag, true)));
        }
    }

    #[test]
    fn a_channel_stays_open_until_the_broker_has_heard() {
        let (mut tags, mut words) = (Tags::new(), Vec::new());
        tags.delivered(1);
        tags.leave();
        assert!(tags.settle(1, true) && !tags.close(true), "recorded and not told");
        tags.tell(&mut words);
        assert!(!tags.close(true), "told and not answered");
        tags.told();
        assert!(tags.close(false) && tags.is_closed());
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
