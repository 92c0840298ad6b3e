//! Histories as text, one event to a line: a time in milliseconds, a verb, and what it is about. `;` begins a comment.
//!
//! ```text
//!  0 topic t/a                   a subscription exists (`earliest`: with what the topic held)
//!  0 sub c1 q prefetch=2         consumer 1 reads queue q (or t/a: subscription a of topic t)
//!  1 pub 1.0 key=a to=q          publisher 1 issues its message 0 (due=MS ttl=MS priority=N)
//!  2 ok 1.0 id=7 at=5@0          confirmed (the broker's id, position 5 of partition 0); or: fail, unknown
//!  2 again 1.0                   the library sends it again after an unknown outcome
//!  3 got 1.0 L1 c1 n=1..2        lease 1 delivers it to consumer 1, attempt 1..2 (id= at= body= key= headers= from=)
//!  4 ack L1 stale                settled and answered; recorded unless it says done, stale, unknown, refused or begun
//!  4 answered L1                the answer to one that was begun: recorded
//!  4 retry L1 after=50           also: release, drop, reject, bury REASON
//!  5 late L1 stale               a recorded settlement turned out otherwise
//!  5 lost L1                     its handler is told that the lease is lost
//!  6 flush c1 stale=1            all recorded before is final, but for one; or in two steps: flushes, flushed
//!  7 buried 1.0 q rejected       the library tells that it stored a dead letter; also: dropped, spilled, redriven
//!  8 dead 1.0 q rejected n=2     a dead letter read from q.dead (body= headers= error= first= last= hops=)
//!  9 fault cut                   something goes wrong on purpose; heal cut
//!  9 cut c1                      consumer 1 (or publisher p1) loses its connection
//!  9 close c1                    consumer 1 is closed
//!  9 kill 0                      process 0 is killed
//!  9 given c1 0                  partition 0 is given to consumer 1; taken c1 0
//!  9 purged q 2                  two messages were removed on request
//! 10 left 1.0 q                  still held at the end
//! 11 end q                       the source is empty; or: quiet, deadline
//! ```

use std::collections::BTreeMap;

use pontoon_conformance::checker::{Promises, Verdict, judge};
use pontoon_conformance::history::{
    Answer, DeadLetter, Delivery, DrainEnd, End, Event, FaultKind, Handle, History, LeaseId, Name, Outcome, Position,
    Publish, PublishId, SourceName, Subscribe, Subscription, What,
};
use pontoon_core::{Order, ReasonKind};

const MS: u64 = 1_000_000;

/// What the history is held to, unless a test says more.
pub(crate) fn rules() -> Promises {
    let mut promises = Promises::default();
    promises.notice = std::time::Duration::ZERO;
    promises.expired_by = std::time::Duration::ZERO;
    promises
}

/// Words for what else is promised.
pub(crate) trait Fact: Sized {
    fn block(self) -> Self;
    fn fall_behind(self) -> Self;
    fn max(self, attempts: u32) -> Self;
    fn stale(self) -> Self;
    fn dlq(self) -> Self;
    fn set(self, change: impl FnOnce(&mut Promises)) -> Self;
}

impl Fact for Promises {
    fn block(self) -> Self {
        self.set(|p| p.order = Order::BLOCK)
    }
    fn fall_behind(self) -> Self {
        self.set(|p| p.order = Order::FallBehind)
    }
    fn max(self, attempts: u32) -> Self {
        self.set(|p| p.max_attempts = Some(attempts))
    }
    fn stale(self) -> Self {
        self.set(|p| p.stale_detection = true)
    }
    fn dlq(self) -> Self {
        self.set(|p| p.dead_letters = Some("q.dead".into()))
    }
    fn set(mut self, change: impl FnOnce(&mut Promises)) -> Self {
        change(&mut self);
        self
    }
}

/// Exactly these anomalies are found, names separated by spaces. What the verdict says.
#[track_caller]
pub(crate) fn fails(names: &str, promises: &Promises, text: &str) -> String {
    let verdict = verdict_of(promises, text);
    let mut expected: Vec<&str> = names.split_whitespace().collect();
    expected.sort_unstable();
    let mut found: Vec<&str> = verdict.kinds().into_iter().map(|kind| kind.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{verdict}\nof\n{text}");
    assert!(!verdict.is_passed(), "{verdict}");
    verdict.to_string()
}

/// Nothing is found, and the history is whole.
#[track_caller]
pub(crate) fn passes(promises: &Promises, text: &str) {
    let verdict = verdict_of(promises, text);
    assert!(verdict.is_passed(), "{verdict}\nof\n{text}");
}

/// Nothing is found, and that proves nothing.
#[track_caller]
pub(crate) fn undecided(reason: &str, promises: &Promises, text: &str) {
    match verdict_of(promises, text) {
        verdict @ Verdict::Indeterminate { .. } => {
            assert!(verdict.to_string().contains(reason) && !verdict.is_passed(), "{verdict}\nof\n{text}");
        }
        other => panic!("{other}\nof\n{text}"),
    }
}

fn verdict_of(promises: &Promises, text: &str) -> Verdict {
    let history = history(text);
    // What is judged is what would be read from a file.
    let read = History::parse(history.to_text().as_bytes()).unwrap();
    assert_eq!(read, history);
    judge(&read, promises)
}

/// Reads the notation.
pub(crate) fn history(text: &str) -> History {
    let mut reader = Reader::default();
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or("").trim();
        if !line.is_empty() {
            reader.line(line).unwrap_or_else(|| panic!("cannot read `{line}`"));
        }
    }
    History::new(reader.events)
}

#[derive(Default)]
struct Reader {
    events: Vec<Event>,
    sources: BTreeMap<u32, SourceName>,
    published: BTreeMap<PublishId, Publish>,
}

/// One line: its words, those of the form `name=value` apart.
struct Line<'a> {
    words: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn word(&self, at: usize) -> Option<&'a str> {
        self.words.get(at).copied()
    }
    fn name(&self, name: &str) -> Option<Name> {
        self.named.get(name).map(|value| Name::from(*value))
    }
    fn number(&self, name: &str) -> Option<u64> {
        self.named.get(name).map(|value| value.parse().unwrap())
    }
    fn after(&self, at: usize, letter: char) -> Option<u64> {
        self.word(at)?.strip_prefix(letter)?.parse().ok()
    }
    fn consumer(&self, at: usize) -> Option<u32> {
        self.after(at, 'c').map(|number| number as u32)
    }
    fn lease(&self) -> Option<LeaseId> {
        self.after(0, 'L').map(LeaseId)
    }
    fn position(&self) -> Option<Position> {
        self.named.get("at").map(|at| at.parse().unwrap())
    }
    /// `n=2` or `n=1..3`.
    fn attempt(&self) -> Option<(u32, Option<u32>)> {
        let text = self.named.get("n")?;
        Some(match text.split_once("..") {
            Some((least, "")) => (least.parse().unwrap(), None),
            Some((least, most)) => (least.parse().unwrap(), Some(most.parse().unwrap())),
            None => (text.parse().unwrap(), None),
        })
    }
}

impl Reader {
    fn line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_whitespace();
        let at: f64 = words.next()?.parse().ok()?;
        let at = (at * MS as f64) as u64;
        let verb = words.next()?;
        let (named, words): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
        let named = named.iter().map(|word| word.split_once('=').unwrap()).collect();
        let line = Line { words, named };
        for what in self.events(verb, &line)? {
            self.events.push(Event { at, process: 0, what });
        }
        Some(())
    }

    fn events(&mut self, verb: &str, line: &Line<'_>) -> Option<Vec<What>> {
        let one = |what| Some(vec![what]);
        if let Some(end) = self.end(verb, line) {
            return Some(end);
        }
        match verb {
            "topic" => {
                let earliest = line.word(1) == Some("earliest");
                one(What::Subscription(Subscription { source: line.word(0)?.parse().ok()?, earliest }))
            }
            "sub" => {
                let (consumer, source) = (line.consumer(0)?, line.word(1)?.parse::<SourceName>().ok()?);
                self.sources.insert(consumer, source.clone());
                one(What::Subscribe(Subscribe { consumer, source, prefetch: line.number("prefetch") }))
            }
            "pub" => one(What::Publish(Box::new(self.publish(line)?))),
            "ok" => {
                let (broker_id, position) = (line.name("id"), line.position());
                let outcome = Outcome::Ok { broker_id, position, routed: None };
                one(What::Published { id: line.word(0)?.parse().ok()?, outcome })
            }
            "fail" => one(What::Published { id: line.word(0)?.parse().ok()?, outcome: Outcome::Fail }),
            "unknown" => one(What::Published { id: line.word(0)?.parse().ok()?, outcome: Outcome::Unknown }),
            "again" => {
                let unknown = line.word(1) != Some("full");
                one(What::Resent { message: message(line.word(0)?), unknown })
            }
            "got" => one(What::Deliver(Box::new(self.delivery(line)?))),
            "late" => one(What::Late { lease: line.lease()?, answer: answer(line.word(1)?)? }),
            "lost" => one(What::LeaseLost { lease: line.lease()? }),
            "extended" => one(What::Extended { lease: line.lease()?, by: line.number("by")? * MS }),
            "flush" => {
                let (consumer, count) = (line.consumer(0)?, |name| line.number(name).unwrap_or(0));
                let flushed = What::Flushed { consumer, stale: count("stale"), unknown: count("unknown") };
                Some(vec![What::Flush { consumer }, flushed])
            }
            "flushes" => one(What::Flush { consumer: line.consumer(0)? }),
            "flushed" => {
                let (consumer, count) = (line.consumer(0)?, |name| line.number(name).unwrap_or(0));
                one(What::Flushed { consumer, stale: count("stale"), unknown: count("unknown") })
            }
            "dead" => one(What::DeadLetter(Box::new(self.dead_letter(line)?))),
            "cut" => one(What::Disconnected {
                handle: match line.consumer(0) {
                    Some(consumer) => Handle::Consumer(consumer),
                    None => Handle::Publisher(line.after(0, 'p')? as u32),
                },
            }),
            "close" => one(What::Unsubscribe { consumer: line.consumer(0)? }),
            "kill" => one(What::ProcessKilled { process: line.word(0)?.parse().ok()? }),
            "fault" => one(What::Fault { kind: kind(line.word(0)?) }),
            "heal" => one(What::Heal { kind: kind(line.word(0)?) }),
            "given" => one(What::Assign { consumer: line.consumer(0)?, partition: line.word(1)?.parse().ok()? }),
            "taken" => one(What::Revoke { consumer: line.consumer(0)?, partition: line.word(1)?.parse().ok()? }),
            "answered" => one(What::Settled { lease: line.lease()?, answer: Answer::Recorded }),
            _ => self.about(verb, line).map(|what| vec![what]),
        }
    }

    /// What ends a delivery.
    fn end(&self, verb: &str, line: &Line<'_>) -> Option<Vec<What>> {
        let (end, answered) = match verb {
            "ack" => (End::Ack, 1),
            "retry" => (End::Retry { after: line.number("after").map(|after| after * MS) }, 1),
            "release" => (End::Release, 1),
            "drop" => (End::Drop, 1),
            "reject" => (End::DeadLetter(ReasonKind::Rejected), 1),
            "bury" => (End::DeadLetter(ReasonKind::parse(line.word(1)?)?), 2),
            _ => return None,
        };
        let lease = line.lease()?;
        let mut events = vec![What::Settle { lease, end }];
        match line.word(answered) {
            Some("begun") => {}
            Some(word) => events.push(What::Settled { lease, answer: answer(word)? }),
            None => events.push(What::Settled { lease, answer: Answer::Recorded }),
        }
        Some(events)
    }

    /// What is told of a message at a source, and of sources.
    fn about(&self, verb: &str, line: &Line<'_>) -> Option<What> {
        let of_source = |at: usize| line.word(at)?.parse::<SourceName>().ok();
        let drained = |end| Some(What::Drained { source: of_source(0)?, end });
        let reason = || line.word(2).map(|name| ReasonKind::parse(name).unwrap());
        let message = || message(line.word(0).unwrap());
        Some(match verb {
            "end" => return drained(DrainEnd::Empty),
            "quiet" => return drained(DrainEnd::Quiet),
            "deadline" => return drained(DrainEnd::Deadline),
            "purged" => What::Purged { source: of_source(0)?, count: line.word(1)?.parse().ok()? },
            "left" => What::Left { source: of_source(1)?, message: message() },
            "buried" => What::DeadLettered { source: of_source(1)?, message: message(), reason: reason() },
            "dropped" => What::Dropped { source: of_source(1)?, message: message(), reason: reason() },
            "spilled" => What::Spilled { source: of_source(1)?, message: message() },
            "redriven" => What::Redriven { source: of_source(1)?, message: message() },
            _ => return None,
        })
    }

    fn publish(&mut self, line: &Line<'_>) -> Option<Publish> {
        let id: PublishId = line.word(0)?.parse().ok()?;
        let publish = Publish {
            id,
            channel: line.name("to").unwrap_or_else(|| "q".into()),
            message: message(line.word(0)?),
            key: line.name("key"),
            hash: id.counter,
            headers: id.counter,
            due: line.number("due").map(|due| due * MS),
            ttl: line.number("ttl").map(|ttl| ttl * MS),
            priority: line.number("priority").map(|priority| priority as u8),
        };
        self.published.insert(id, publish.clone());
        Some(publish)
    }

    fn delivery(&self, line: &Line<'_>) -> Option<Delivery> {
        let id: Option<PublishId> = line.word(0)?.parse().ok();
        let published = id.and_then(|id| self.published.get(&id));
        let consumer = line.consumer(2)?;
        let from = line.named.get("from").map(|from| from.parse().unwrap());
        let (at_least, at_most) = line.attempt().unwrap_or((1, None));
        Some(Delivery {
            lease: LeaseId(line.after(1, 'L')?),
            source: from.or_else(|| self.sources.get(&consumer).cloned())?,
            consumer,
            id,
            message: line.name("message").unwrap_or_else(|| message(line.word(0).unwrap())),
            key: line.name("key").or_else(|| published?.key.clone()),
            hash: hash(line, "body", id),
            headers: hash(line, "headers", id),
            at_least,
            at_most,
            broker_id: line.name("id"),
            position: line.position(),
            maybe_duplicate: false,
        })
    }

    fn dead_letter(&self, line: &Line<'_>) -> Option<DeadLetter> {
        let id: Option<PublishId> = line.word(0)?.parse().ok();
        let source = line.word(1).filter(|source| *source != "?").map(|source| source.parse().unwrap());
        let reason = line.word(2).map(|name| ReasonKind::parse(name).unwrap());
        let (at_least, at_most) = line.attempt().unzip();
        // A failure has its times unless a history says otherwise.
        let time = |name| match line.named.get(name).copied() {
            Some("none") => None,
            Some(time) => time.parse().ok(),
            None => (reason == Some(ReasonKind::MaxAttempts)).then_some(1),
        };
        Some(DeadLetter {
            channel: line.name("in").unwrap_or_else(|| "q.dead".into()),
            source,
            id,
            message: message(line.word(0)?),
            key: line.name("key").or_else(|| self.published.get(&id?)?.key.clone()),
            hash: hash(line, "body", id),
            headers: hash(line, "headers", id),
            reason,
            error_len: line.number("error"),
            at_least: if line.named.get("n") == Some(&"0..") { None } else { at_least.or(Some(1)) },
            at_most: at_most.flatten(),
            first_failure_ms: time("first"),
            last_failure_ms: time("last"),
            hops: line.number("hops").unwrap_or(0) as u8,
        })
    }
}

fn message(id: &str) -> Name {
    format!("m{id}").as_str().into()
}

/// Equal to what was published, unless the line says something else of it.
fn hash(line: &Line<'_>, name: &str, id: Option<PublishId>) -> u64 {
    if line.named.contains_key(name) { u64::MAX } else { id.map_or(0, |id| id.counter) }
}

fn answer(word: &str) -> Option<Answer> {
    serde_json::from_value(serde_json::Value::from(word)).ok()
}

fn kind(word: &str) -> FaultKind {
    serde_json::from_value(serde_json::Value::from(word)).unwrap_or_else(|_| panic!("`{word}` is no fault"))
}
