//! Random schedules against a model that knows the rules and nothing of the implementation: a plain list of messages,
//! searched from the front each time.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::task::Poll;
use std::time::Duration;

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use tokio::time::{Instant, advance};

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Ready,
    /// Held back until then; in its place or beside its key.
    Held {
        until: Instant,
        blocks: bool,
    },
    Out {
        consumer: usize,
        until: Instant,
        token: Token,
    },
}

#[derive(Debug)]
struct Entry {
    id: u64,
    key: Option<u8>,
    place: u64,
    at: At,
    deliveries: u32,
    failures: u32,
}

#[derive(Debug)]
struct Model {
    order: Order,
    window: usize,
    lease: Duration,
    entries: Vec<Entry>,
    places: u64,
    lost: BTreeMap<usize, Vec<Token>>,
}

impl Model {
    fn place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }

    /// Lets happen what happens by itself until now, in the order of its time.
    fn pass_time(&mut self) {
        let now = Instant::now();
        loop {
            let due = self.entries.iter().enumerate().filter_map(|(n, e)| match e.at {
                At::Held { until, .. } | At::Out { until, .. } if until <= now => Some((until, e.place, n)),
                _ => None,
            });
            let Some((_, _, n)) = due.min() else { return };
            match self.entries[n].at {
                At::Out { consumer, token, .. } => self.lost.entry(consumer).or_default().push(token),
                At::Held { blocks: false, .. } if self.entries[n].deliveries == 0 => {
                    self.entries[n].place = self.place();
                }
                _ => {}
            }
            self.entries[n].at = At::Ready;
        }
    }

    fn publish(&mut self, id: u64, key: Option<u8>, delay: Option<Duration>) {
        let place = self.place();
        let at = match delay {
            Some(delay) => At::Held { until: Instant::now() + delay, blocks: false },
            None => At::Ready,
        };
        self.entries.push(Entry { id, key, place, at, deliveries: 0, failures: 0 });
    }

    /// Whether this consumer may be given this message now.
    fn may_have(&self, consumer: usize, n: usize) -> bool {
        let entry = &self.entries[n];
        if entry.at != At::Ready {
            return false;
        }
        let Some(key) = entry.key.filter(|_| self.order.is_ordered()) else { return true };
        let mut out = 0;
        for other in self.entries.iter().filter(|e| e.key == Some(key)) {
            match other.at {
                At::Out { consumer: holder, .. } if holder == consumer => out += 1,
                At::Out { .. } => return false,
                At::Held { blocks: false, .. } => {}
                _ if other.place < entry.place => return false,
                _ => {}
            }
        }
        out < self.window
    }

    fn something_for(&self, consumer: usize) -> bool {
        (0..self.entries.len()).any(|n| self.may_have(consumer, n))
    }

    fn give(&mut self, consumer: usize, incoming: &Incoming) {
        let id: u64 = body(incoming).parse().unwrap();
        let n = self.entries.iter().position(|e| e.id == id).unwrap_or_else(|| panic!("{id} from nowhere, or again"));
        assert!(self.may_have(consumer, n), "{consumer} was given {:?} out of turn", self.entries[n]);
        if !self.order.is_ordered() {
            let first = self.entries.iter().filter(|e| e.at == At::Ready).map(|e| e.place).min();
            assert_eq!(Some(self.entries[n].place), first, "not the first");
        }
        let entry = &mut self.entries[n];
        entry.deliveries += 1;
        assert_eq!((incoming.deliveries, incoming.failures), (Some(entry.deliveries), entry.failures));
        entry.at = At::Out { consumer, until: Instant::now() + self.lease, token: incoming.token };
    }

    /// The entry of a token whose lease is valid.
    fn leased(&self, consumer: usize, token: Token) -> Option<usize> {
        self.entries.iter().position(
            |e| matches!(e.at, At::Out { consumer: holder, token: known, .. } if holder == consumer && known == token),
        )
    }

    fn settle(&mut self, consumer: usize, token: Token, disposition: Disposition<'_>) -> Settled {
        let Some(n) = self.leased(consumer, token) else { return Settled::Stale };
        match disposition {
            Disposition::Ack => drop(self.entries.remove(n)),
            Disposition::Release => {
                self.entries[n].deliveries -= 1;
                self.entries[n].at = At::Ready;
            }
            Disposition::Retry { after, .. } => {
                self.entries[n].failures += 1;
                if self.order == Order::FallBehind {
                    self.entries[n].place = self.place();
                }
                let blocks = matches!(self.order, Order::Block { .. }) && self.entries[n].key.is_some();
                self.entries[n].at =
                    if after.is_zero() { At::Ready } else { At::Held { until: Instant::now() + after, blocks } };
            }
            Disposition::Extend { by } => {
                if let At::Out { until, .. } = &mut self.entries[n].at {
                    *until = Instant::now() + by;
                }
            }
            _ => unreachable!(),
        }
        Settled::Recorded
    }

    fn disconnect(&mut self, consumer: usize) {
        for entry in &mut self.entries {
            if matches!(entry.at, At::Out { consumer: holder, .. } if holder == consumer) {
                entry.at = At::Ready;
            }
        }
        self.lost.remove(&consumer);
    }

    fn depth(&self) -> (usize, usize, usize) {
        let count = |which: fn(&At) -> bool| self.entries.iter().filter(|e| which(&e.at)).count();
        (
            count(|at| *at == At::Ready),
            count(|at| matches!(at, At::Held { .. })),
            count(|at| matches!(at, At::Out { .. })),
        )
    }
}

/// A consumer in the schedule: what it was given, and whether it waits for a wake.
struct Reader {
    consumer: Consumer,
    number: usize,
    tokens: Vec<Token>,
    waits: bool,
    rung: bool,
}

struct Run {
    random: fastrand::Rng,
    stage: Stage,
    model: Model,
    readers: Vec<Reader>,
    numbers: usize,
    ids: u64,
}

impl Run {
    async fn new(seed: u64, order: Order, window: u32) -> Self {
        // Odd lengths, so that nothing ever ends at the very moment at which something is done.
        let settings = [("lease", "30050ms"), ("key_window", &window.to_string())];
        let stage = Stage::with(ordered("q", order), config(&settings)).await;
        let lease = Duration::from_millis(30_050);
        let model =
            Model { order, window: window as usize, lease, entries: Vec::new(), places: 0, lost: BTreeMap::new() };
        let mut run =
            Run { random: fastrand::Rng::with_seed(seed), stage, model, readers: Vec::new(), numbers: 0, ids: 0 };
        for _ in 0..3 {
            run.join().await;
        }
        run
    }

    async fn join(&mut self) {
        self.numbers += 1;
        let consumer = self.stage.another().await;
        self.readers.push(Reader { consumer, number: self.numbers, tokens: Vec::new(), waits: false, rung: false });
    }

    fn publish(&mut self) {
        let mut messages = Vec::new();
        for _ in 0..self.random.usize(1..5) {
            self.ids += 1;
            let key = (self.random.u8(..8) > 0).then(|| self.random.u8(..3));
            let delay = (self.random.u8(..6) == 0).then(|| Duration::from_millis(self.random.u64(0..50) * 100 + 50));
            self.model.publish(self.ids, key, delay);
            let mut message = message(&self.ids.to_string());
            message.key = key.map(|key| Key::from(u64::from(key)));
            messages.push(match delay {
                Some(delay) => message.with_delay(Delay::For(delay)),
                None => message,
            });
        }
        let mut batch = self.stage.publisher.batch(messages);
        assert!(matches!(self.stage.publisher.submit(&mut batch), Poll::Ready(Ok(_))));
        assert!(batch.is_empty());
        assert!(self.stage.publisher.outcomes().iter().all(|(_, o)| o.is_confirmed()));
    }

    fn receive(&mut self, which: usize, max: usize) {
        let reader = &mut self.readers[which];
        let number = reader.number;
        (reader.waits, reader.rung) = (false, false);
        let (given, mut lost) = reader.consumer.news(max);
        reader.consumer.bell.rung();
        reader.waits = given.is_empty() && lost.is_empty();
        for incoming in &given {
            self.model.give(number, incoming);
            reader.tokens.push(incoming.token);
        }
        let mut expected = self.model.lost.remove(&number).unwrap_or_default();
        lost.sort();
        expected.sort();
        assert_eq!(lost, expected, "lost leases that it is told of");
        assert!(given.len() == max || !self.model.something_for(number), "{number} was not given what it may have");
    }

    fn settle(&mut self, which: usize) {
        let reader = &mut self.readers[which];
        let mut what = Vec::new();
        for _ in 0..self.random.usize(1..4) {
            if reader.tokens.is_empty() {
                break;
            }
            let token = reader.tokens[self.random.usize(..reader.tokens.len())];
            what.push((
                token,
                match self.random.u8(..10) {
                    0..5 => Disposition::Ack,
                    5..7 => Disposition::Release,
                    7 => Disposition::Retry { after: Duration::ZERO, failures: 1 },
                    8 => Disposition::Retry {
                        after: Duration::from_millis(self.random.u64(0..60) * 100 + 50),
                        failures: 1,
                    },
                    _ => Disposition::Extend { by: Duration::from_millis(self.random.u64(0..600) * 100 + 50) },
                },
            ));
            if self.random.u8(..4) > 0 {
                reader.tokens.retain(|known| *known != token);
            }
        }
        let expected: Vec<_> = what.iter().map(|(t, d)| self.model.settle(reader.number, *t, *d)).collect();
        assert_eq!(reader.consumer.settle_all(&what), expected, "{what:?}");
    }

    /// Where somebody waits although there is something for it, somebody must have been woken to take it.
    fn check(&mut self) {
        assert_eq!(self.stage.depth(), self.model.depth());
        for reader in &mut self.readers {
            reader.rung |= reader.consumer.bell.rung() > 0;
        }
        let hungry = self.readers.iter().filter(|r| r.waits && self.model.something_for(r.number));
        let hungry: Vec<_> = hungry.map(|r| (r.number, r.rung)).collect();
        assert!(hungry.is_empty() || hungry.iter().any(|(_, rung)| *rung), "nobody was woken: {hungry:?}");
        for reader in &self.readers {
            let owed = self.model.lost.get(&reader.number).is_some_and(|lost| !lost.is_empty());
            assert!(!owed || !reader.waits || reader.rung, "{} is not told of a lost lease", reader.number);
        }
    }

    async fn step(&mut self) {
        let which = self.random.usize(..self.readers.len());
        match self.random.u8(..20) {
            0..5 => self.publish(),
            5..11 => self.receive(which, 1 + which),
            11..16 => self.settle(which),
            16 => {
                let reader = self.readers.swap_remove(which);
                self.model.disconnect(reader.number);
                drop(reader);
                self.check();
                self.join().await;
            }
            _ => {
                let step = [100, 1_000, 5_000, 31_000][self.random.usize(..4)];
                advance(Duration::from_millis(step)).await;
                // What the timers woke does its work.
                tokio::task::yield_now().await;
                self.model.pass_time();
            }
        }
        self.check();
    }

    /// Everything that was published and not yet acknowledged is still there.
    async fn drain(&mut self) {
        for _ in 0..10_000 {
            if self.model.entries.is_empty() {
                assert_eq!(self.stage.depth(), (0, 0, 0));
                return;
            }
            for which in 0..self.readers.len() {
                self.receive(which, 64);
                let reader = &mut self.readers[which];
                for token in std::mem::take(&mut reader.tokens) {
                    let expected = self.model.settle(reader.number, token, Disposition::Ack);
                    assert_eq!(reader.consumer.settle(token, Disposition::Ack), expected);
                }
            }
            self.check();
            advance(Duration::from_millis(7_000)).await;
            tokio::task::yield_now().await;
            self.model.pass_time();
        }
        panic!("never drained: {:?}", self.model.entries);
    }
}

fn schedules(order: Order, window: u32) {
    let seeds = std::env::var("PONTOON_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    for seed in 0..seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                let mut run = Run::new(seed, order, window).await;
                for _ in 0..80 {
                    run.step().await;
                }
                run.drain().await;
            });
        }));
        if let Err(panic) = outcome {
            eprintln!("seed {seed}, {order:?}, window {window}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn unordered() {
    schedules(Order::Unordered, 1);
}

#[test]
fn block() {
    schedules(Order::BLOCK, 1);
}

#[test]
fn block_with_a_window() {
    schedules(Order::BLOCK, 3);
}

#[test]
fn fall_behind() {
    schedules(Order::FallBehind, 1);
}

#[test]
fn fall_behind_with_a_window() {
    schedules(Order::FallBehind, 3);
}
