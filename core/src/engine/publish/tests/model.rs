//! The machine against a model: random schedules of everything that can happen, with an adversarial broker.
//!
//! One interpreter runs both seeded schedules and those that proptest makes and shrinks. After each step the promises
//! are checked that must hold at all times, at the end those that must hold when everything is over.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::driver::{BatchSource, Ticket};
use crate::engine::publish::machine::{Config, Entry, Machine, Place};
use crate::engine::publish::outcome::{Outcome, PublishError};
use crate::engine::publish::slots::Owner;
use crate::*;

const WITHIN: Duration = Duration::from_secs(30);
const MAX_MESSAGES: usize = 12;
const MAX_BYTES: usize = 400;

/// The profiles under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Unordered,
    Pipelined,
    OneAtATime,
    Healing,
    NoResend,
}

const PROFILES: [Profile; 5] =
    [Profile::Unordered, Profile::Pipelined, Profile::OneAtATime, Profile::Healing, Profile::NoResend];

/// What the broker does with a message that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Confirm,
    UnknownStored,
    UnknownLost,
    TryAgain,
    Refuse,
    SilentStored,
    SilentLost,
}

impl Fate {
    fn stores(self) -> bool {
        matches!(self, Fate::Confirm | Fate::UnknownStored | Fate::SilentStored)
    }
    fn silent(self) -> bool {
        matches!(self, Fate::SilentStored | Fate::SilentLost)
    }
    /// What lets everything after it in its pipeline fail.
    fn breaks(self) -> bool {
        matches!(self, Fate::TryAgain | Fate::UnknownLost | Fate::SilentLost)
    }
}

struct InFlight {
    ticket: Ticket,
    number: usize,
    fate: Fate,
}

#[derive(Debug)]
enum Wanted {
    One(Place),
    Group(usize),
    Nobody,
}

struct Issued {
    key: Option<Key>,
    place: Place,
    wanted: Wanted,
    issued_at: Moment,
    outcome: Option<Outcome>,
    entered: bool,
    taken: usize,
    /// An attempt ended unknown, as far as the machine was told.
    unsure: bool,
}

struct Group {
    id: u32,
    members: Vec<usize>,
    finished: bool,
}

struct World {
    profile: Profile,
    machine: Machine<usize>,
    random: fastrand::Rng,
    now: Moment,
    up: bool,
    generation: u32,
    flying: Vec<InFlight>,
    closed_tickets: Vec<Ticket>,
    broken: HashSet<Key>,
    issued: Vec<Issued>,
    groups: Vec<Group>,
    stored: Vec<usize>,
    refused: HashSet<usize>,
    late: u64,
    calm: bool,
    stuck: bool,
    tracing: bool,
}

fn behaviour(profile: Profile) -> Behaviour {
    Behaviour {
        one_unresolved_per_key: profile == Profile::OneAtATime,
        heals_and_resends: profile == Profile::Healing,
        ..Behaviour::default()
    }
}

impl World {
    fn new(profile: Profile, seed: u64) -> Self {
        let mut channel = Channel::queue("q").unwrap();
        if profile != Profile::Unordered {
            channel.order = Order::FallBehind;
        }
        let machine = Machine::new(Config {
            channel,
            max_messages: MAX_MESSAGES,
            max_bytes: MAX_BYTES,
            deliver_within: WITHIN,
            resend: profile != Profile::NoResend,
            seed,
            hook_published: None,
            hook_failed: None,
        });
        let mut world = World {
            profile,
            machine,
            random: fastrand::Rng::with_seed(seed),
            now: Moment::ZERO,
            up: true,
            generation: 1,
            flying: Vec::new(),
            closed_tickets: Vec::new(),
            broken: HashSet::new(),
            issued: Vec::new(),
            groups: Vec::new(),
            stored: Vec::new(),
            refused: HashSet::new(),
            late: 0,
            calm: false,
            stuck: false,
            tracing: std::env::var_os("PONTOON_TRACE").is_some(),
        };
        world.machine.opened(1, &behaviour(profile));
        world
    }

    /// What happened, for whoever looks into a failure: `PONTOON_TRACE=1`.
    fn trace(&self, what: std::fmt::Arguments<'_>) {
        if self.tracing {
            println!("{:?} {what}", self.now.since(Moment::ZERO));
        }
    }

    fn ordered(&self) -> bool {
        self.profile != Profile::Unordered
    }

    fn step(&mut self, op: u8, a: u16, b: u16) {
        match op % 16 {
            0..=3 => self.issue(a, b),
            4 => self.issue_group(a),
            5..=7 => self.offer(a, b),
            8..=10 => self.answer(a),
            11 => self.advance(Duration::from_millis(u64::from(a % 64))),
            12 => self.advance(Duration::from_millis(u64::from(a) / 4)),
            13 if a.is_multiple_of(4) => self.lose(),
            14 if a.is_multiple_of(4) => self.detach(b),
            15 => self.double(a),
            _ => self.collect(),
        }
        if !self.up && b.is_multiple_of(3) {
            self.reopen();
        }
        self.check();
    }

    fn make(&mut self, a: u16) -> (Message, Option<Key>) {
        let number = self.issued.len();
        let key = (!a.is_multiple_of(8)).then(|| Key::from(u64::from(a % 3)));
        let size = if a.is_multiple_of(97) { MAX_BYTES + 50 } else { usize::from(a % 90) };
        let mut message = Message::new(vec![0u8; size]).with_id(format!("m{number}"));
        message.key = key.clone();
        (message, key)
    }

    fn note(&mut self, key: Option<Key>, place: Place, wanted: Wanted, entered: bool) {
        let issued_at = self.now;
        self.issued.push(Issued { key, place, wanted, issued_at, outcome: None, entered, taken: 0, unsure: false });
    }

    fn issue(&mut self, a: u16, b: u16) {
        let number = self.issued.len();
        let (message, key) = self.make(a);
        let deadline = self.now + self.machine.deliver_within();
        let owner = if b.is_multiple_of(3) { Owner::Entering(Some(number)) } else { Owner::One(Some(number)) };
        let place = self.machine.issue(&mut Some(message), deadline, owner);
        let entered = self.machine.entry(place) == Entry::Accepted;
        self.note(key, place, Wanted::One(place), entered);
    }

    fn issue_group(&mut self, a: u16) {
        let id = self.machine.groups.begin(4);
        let mut members = Vec::new();
        for i in 0..a % 5 {
            let number = self.issued.len();
            let (message, key) = self.make(a.wrapping_add(i * 7));
            let deadline = self.now + self.machine.deliver_within();
            let index = self.machine.groups.open_place(id);
            let place = self.machine.issue(&mut Some(message), deadline, Owner::Group { group: id, index });
            self.note(key, place, Wanted::Group(self.groups.len()), false);
            members.push(number);
        }
        self.groups.push(Group { id, members, finished: false });
    }

    fn fate(&mut self, number: usize) -> Fate {
        let key = self.issued[number].key.clone().filter(|_| self.ordered());
        let independent = matches!(self.profile, Profile::OneAtATime | Profile::Unordered);
        if !independent
            && let Some(key) = &key
            && self.broken.contains(key)
        {
            return Fate::TryAgain;
        }
        let fate = match self.random.u32(..100) {
            // What is refused is refused every time.
            _ if self.refused.contains(&number) => Fate::Refuse,
            _ if self.calm => Fate::Confirm,
            0..6 => Fate::TryAgain,
            6..8 => Fate::Refuse,
            8..11 => Fate::UnknownStored,
            11..14 => Fate::UnknownLost,
            14 => Fate::SilentStored,
            15 => Fate::SilentLost,
            _ => Fate::Confirm,
        };
        if fate == Fate::Refuse {
            self.refused.insert(number);
        }
        if fate.breaks()
            && let Some(key) = key
        {
            self.broken.insert(key);
        }
        fate
    }

    fn offer(&mut self, a: u16, b: u16) {
        if !self.up {
            return;
        }
        let most = if self.calm { usize::MAX } else { usize::from(a % 8) + 1 };
        let take = if self.calm { usize::MAX } else { usize::from(b % 6) };
        let mut taken = Vec::new();
        {
            let mut offer = self.machine.offer(self.now, most);
            let promised = offer.len();
            while taken.len() < take
                && let Some((ticket, message)) = offer.peek()
            {
                taken.push((ticket, message.clone()));
                offer.pop();
                assert_eq!(offer.len(), promised - taken.len());
            }
            assert_eq!(taken.len(), take.min(promised), "a batch gives as many as it says");
        }
        for (ticket, message) in taken {
            let number: usize = message.id.to_string()[1..].parse().unwrap();
            assert!(!self.flying.iter().any(|other| other.number == number), "m{number} is under way twice");
            assert!(self.issued[number].outcome.is_none(), "m{number} was sent after its outcome");
            if let Some(key) = &self.issued[number].key
                && self.profile == Profile::OneAtATime
            {
                let same = self.flying.iter().find(|other| self.issued[other.number].key.as_ref() == Some(key));
                assert!(same.is_none(), "two of key {key} under way");
            }
            assert_eq!(message.history().maybe_duplicate, self.issued[number].unsure, "the mark of m{number}");
            self.issued[number].taken += 1;
            self.issued[number].entered = true;
            let fate = self.fate(number);
            if fate.stores() {
                self.stored.push(number);
            }
            self.trace(format_args!("take m{number} {:?} {fate:?}", self.issued[number].key));
            self.flying.push(InFlight { ticket, number, fate });
        }
    }

    fn answer(&mut self, a: u16) {
        let mut outcomes = Vec::new();
        let most = if self.calm { usize::MAX } else { usize::from(a % 6) + 1 };
        let mut at = 0;
        while outcomes.len() < most && at < self.flying.len() {
            let skip = !self.calm && self.random.u32(..4) == 0;
            if skip || self.flying[at].fate.silent() {
                at += 1;
                continue;
            }
            let done = self.flying.remove(at);
            self.trace(format_args!("answer m{} {:?}", done.number, done.fate));
            self.closed_tickets.push(done.ticket);
            if done.fate.breaks()
                && let Some(key) = &self.issued[done.number].key
            {
                // The publisher knows: from now on the broker takes the key again.
                self.broken.remove(key);
            }
            let error = || Error::new(ErrorKind::Connection, "sim", "fault");
            outcomes.push((
                done.ticket,
                match done.fate {
                    Fate::Confirm => PublishOutcome::Confirmed(Receipt::default()),
                    Fate::TryAgain => PublishOutcome::Rejected(Rejection::TryAgain(error())),
                    Fate::Refuse => PublishOutcome::Rejected(Rejection::Refused(error())),
                    _ => PublishOutcome::Unknown(error()),
                },
            ));
            if matches!(done.fate, Fate::UnknownStored | Fate::UnknownLost) {
                self.issued[done.number].unsure = true;
            }
        }
        if self.random.bool() {
            self.random.shuffle(&mut outcomes);
        }
        self.complete(outcomes);
    }

    fn complete(&mut self, mut outcomes: Vec<(Ticket, PublishOutcome)>) {
        let now = self.now;
        self.machine.complete(&mut outcomes, || now);
        assert!(outcomes.is_empty());
        self.collect();
    }

    /// The same outcome twice, or one for a ticket that never was: dropped and counted.
    fn double(&mut self, a: u16) {
        let ticket = if a.is_multiple_of(5) || self.closed_tickets.is_empty() {
            Ticket { slot: u32::from(a) + 10_000, generation: 0 }
        } else {
            self.closed_tickets[usize::from(a) % self.closed_tickets.len()]
        };
        self.late += 1;
        self.complete(vec![(ticket, PublishOutcome::Confirmed(Receipt::default()))]);
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        self.tick();
    }

    fn tick(&mut self) {
        self.stuck = self.machine.tick(self.now).is_err();
        if self.stuck && self.up {
            self.lose();
        }
        self.collect();
        assert!(self.machine.next_timer() > self.now, "what is due was not done");
    }

    fn lose(&mut self) {
        if !self.up {
            return;
        }
        self.up = false;
        self.trace(format_args!("lost"));
        for flying in self.flying.drain(..) {
            self.issued[flying.number].unsure = true;
        }
        self.closed_tickets.clear();
        self.broken.clear();
        self.machine.lost(&Error::new(ErrorKind::Connection, "sim", "gone"));
        self.collect();
    }

    fn reopen(&mut self) {
        self.generation += 1;
        self.up = true;
        self.machine.opened(self.generation, &behaviour(self.profile));
    }

    fn detach(&mut self, b: u16) {
        let Some(number) = (!self.issued.is_empty()).then(|| usize::from(b) % self.issued.len()) else { return };
        match self.issued[number].wanted {
            Wanted::One(place) => {
                let never_entered = self.machine.entry(place) == Entry::Queued;
                self.machine.detach(place);
                assert!(self.machine.take(place).is_none());
                self.issued[number].wanted = Wanted::Nobody;
                if never_entered {
                    // It must never be sent: an outcome forbids it.
                    self.issued[number].outcome =
                        Some(Err(PublishError::rejected(Error::new(ErrorKind::Closed, "", ""), Message::new(""))));
                }
            }
            Wanted::Group(group) if b.is_multiple_of(7) && !self.groups[group].finished => {
                let members = self.groups[group].members.clone();
                let queued: Vec<bool> =
                    members.iter().map(|&m| self.machine.entry(self.issued[m].place) == Entry::Queued).collect();
                self.machine.abandon_group(self.groups[group].id);
                self.groups[group].finished = true;
                for (member, queued) in members.into_iter().zip(queued) {
                    self.issued[member].wanted = Wanted::Nobody;
                    if queued && self.issued[member].outcome.is_none() {
                        self.issued[member].outcome =
                            Some(Err(PublishError::rejected(Error::new(ErrorKind::Closed, "", ""), Message::new(""))));
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes every outcome that is there.
    fn collect(&mut self) {
        let woken: HashSet<usize> = self.machine.woken.drain(..).collect();
        for number in 0..self.issued.len() {
            if let Wanted::One(place) = self.issued[number].wanted
                && self.issued[number].outcome.is_none()
            {
                match self.machine.entry(place) {
                    Entry::Accepted => self.issued[number].entered = true,
                    Entry::Queued | Entry::Refused => {}
                }
                if let Some(outcome) = self.machine.take(place) {
                    assert!(self.machine.take(place).is_none(), "an outcome is given once");
                    self.resolved(number, outcome);
                }
            }
        }
        for number in woken {
            let this = &self.issued[number];
            let nobody = matches!(this.wanted, Wanted::Nobody);
            assert!(nobody || this.entered || this.outcome.is_some(), "m{number} was woken for nothing");
        }
        for group in 0..self.groups.len() {
            if !self.groups[group].finished
                && let Some(outcomes) = self.machine.groups.finish(self.groups[group].id)
            {
                self.groups[group].finished = true;
                let members = self.groups[group].members.clone();
                assert_eq!(members.len(), outcomes.len());
                for (member, outcome) in members.into_iter().zip(outcomes) {
                    self.resolved(member, outcome.expect("every place has its outcome"));
                }
            }
        }
    }

    fn resolved(&mut self, number: usize, outcome: Outcome) {
        let this = &mut self.issued[number];
        assert!(this.outcome.is_none(), "m{number} has two outcomes");
        if self.tracing {
            println!("{:?} outcome m{number} {outcome:?}", self.now.since(Moment::ZERO));
        }
        if let Err(error) = &outcome {
            assert_eq!(error.message().id.to_string(), format!("m{number}"), "the message is handed back");
        }
        let known_stored = self.stored.contains(&number);
        match &outcome {
            Ok(_) => assert!(known_stored, "m{number} confirmed and not stored"),
            Err(PublishError::Rejected { .. }) => assert!(!known_stored, "m{number} rejected and stored"),
            Err(PublishError::Unknown { .. }) => assert!(this.taken > 0, "m{number} unknown and never sent"),
        }
        if !matches!(this.wanted, Wanted::Group(_)) {
            let took = self.now.since(this.issued_at);
            let most = self.machine.deliver_within() + Duration::from_millis(17_000);
            assert!(took <= most, "m{number} took {took:?}");
        }
        this.outcome = Some(outcome);
    }

    fn check(&mut self) {
        let stats = self.machine.stats();
        assert_eq!(stats.late_completions, self.late);
        assert_eq!(stats.unresolved(), self.machine.unresolved() as u64);
        let (messages, bytes) = self.machine.room_taken();
        assert!(messages <= MAX_MESSAGES, "{messages} messages");
        assert!(bytes <= MAX_BYTES || messages == 1, "{bytes} bytes in {messages} messages");
        assert!(messages >= self.machine.unresolved());
        if matches!(self.profile, Profile::Healing | Profile::NoResend) {
            assert!(self.issued.iter().all(|issued| issued.taken <= 1), "sent again");
        }
    }

    fn check_order(&self) {
        if !self.ordered() {
            return;
        }
        let mut latest: HashMap<&Key, usize> = HashMap::new();
        let mut seen = HashSet::new();
        for &number in &self.stored {
            if seen.insert(number)
                && let Some(key) = &self.issued[number].key
                && let Some(before) = latest.insert(key, number)
            {
                assert!(before < number, "m{number} was first stored after m{before} of its key");
            }
        }
    }

    /// Faults stop: whatever has time left is confirmed soon.
    fn calm_down(&mut self) {
        self.calm = true;
        self.lose();
        self.reopen();
        let in_time: Vec<usize> = (0..self.issued.len())
            .filter(|&n| self.issued[n].outcome.is_none() && self.now.since(self.issued[n].issued_at) < WITHIN / 2)
            .collect();
        for _ in 0..400 {
            self.offer(0, 0);
            self.answer(0);
            self.advance(Duration::from_millis(25));
            self.check();
        }
        for number in in_time {
            if self.refused.contains(&number) {
                continue;
            }
            let this = &self.issued[number];
            if let Wanted::One(_) = this.wanted {
                let fine = this.outcome.as_ref().is_some_and(|outcome| match outcome {
                    Ok(_) => true,
                    // Its last attempt without resending, or a refusal that was under way.
                    Err(_) => matches!(self.profile, Profile::Healing | Profile::NoResend),
                });
                assert!(fine, "m{number} had time and got {:?}", this.outcome);
            }
        }
    }

    /// Time runs out: everything has its outcome, and nothing is left behind.
    fn finish(&mut self) {
        for _ in 0..8 {
            self.advance(WITHIN / 2);
            if !self.up {
                self.reopen();
            }
        }
        assert_eq!(self.machine.unresolved(), 0);
        assert_eq!(self.machine.room_taken(), (0, 0));
        assert_eq!(self.machine.sendable(), 0);
        assert_eq!(self.machine.next_timer(), Moment::NEVER);
        for (number, issued) in self.issued.iter().enumerate() {
            assert!(issued.outcome.is_some() || matches!(issued.wanted, Wanted::Nobody), "m{number} has no outcome");
        }
        assert!(self.groups.iter().all(|group| group.finished));
        assert!(self.machine.is_empty(), "slots, gates or groups are left");
        self.check();
        self.check_order();
    }
}

fn run(profile: Profile, seed: u64, calm: bool, ops: impl IntoIterator<Item = (u8, u16, u16)>) {
    let mut world = World::new(profile, seed);
    for (op, a, b) in ops {
        world.step(op, a, b);
    }
    world.check_order();
    if calm {
        world.calm_down();
    }
    world.finish();
}

fn number(variable: &str) -> Option<u32> {
    std::env::var(variable).ok().and_then(|n| n.parse().ok())
}

/// How many schedules; `PONTOON_SEEDS` says otherwise.
fn seeds(usual: u32) -> u32 {
    number("PONTOON_SEEDS").unwrap_or(usual)
}

#[test]
fn seeded_schedules_keep_every_promise() {
    // `PONTOON_SEED` runs a single one.
    let seeds = number("PONTOON_SEED").map_or(0..seeds(1_500), |seed| seed..seed + 1);
    for seed in seeds.map(u64::from) {
        let profile = PROFILES[(seed % 5) as usize];
        let mut random = fastrand::Rng::with_seed(seed);
        let ops: Vec<_> = (0..random.usize(20..400)).map(|_| (random.u8(..), random.u16(..), random.u16(..))).collect();
        let caught = std::panic::catch_unwind(|| run(profile, seed, seed % 2 == 0, ops));
        assert!(caught.is_ok(), "seed {seed}, {profile:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: seeds(300), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn generated_schedules_keep_every_promise(
        profile in 0usize..5,
        seed in any::<u64>(),
        calm in any::<bool>(),
        ops in proptest::collection::vec(any::<(u8, u16, u16)>(), 1..160),
    ) {
        run(PROFILES[profile], seed, calm, ops);
    }
}
