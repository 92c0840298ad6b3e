//! Large, bad and foreign input; handlers by type.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pontoon::{Attempt, Outcome, Queue, Raw, State, Topic, Worker, done};
use pontoon_core::{ErrorKind, EventKind, Message, ReasonKind, Retry};
use serde::{Deserialize, Serialize};

use super::Need::LargestBody;
use crate::scene::{Broken, Held, RawProducer, Scene, hold, names, with_channel};

checks! {
    "BIG-EDGE" the_limit_is_exact ["C1.15"] needs [LargestBody]
        "A body of the largest size passes, one byte more is refused, and publishing goes on";
        "one large message breaks the connection for all others";
    "BAD-DECODE" the_unreadable_is_dead_lettered ["C7.14", "W13"] needs []
        "A body that cannot be decoded is dead-lettered at once with its raw bytes, and the consumer goes on";
        "one broken message stops a worker, or goes round for ever";
    "BAD-FOREIGN" foreign_messages_are_delivered ["W12", "C3.4"] needs []
        "Messages of other programs, without any of our headers, are delivered, and what follows them too";
        "a message that somebody typed into the broker's console stops the worker";
    "BAD-PANIC" a_panic_is_a_failed_attempt ["C7.2"] needs []
        "A panic in a handler is a failed attempt, and the worker goes on";
        "one bug in one handler ends the whole worker";
    "TYP-ROUTE" types_reach_their_handlers ["C7.15", "W7"] needs []
        "Several types on one channel reach their handlers, and an unknown one is dead-lettered as `no-handler`";
        "messages of a new type disappear until every worker knows them";
}

async fn the_limit_is_exact(scene: Scene) -> Held {
    let place = scene.place()?;
    let reader = scene.consumer_with(&place, |options| options.prefetch = 2).await?;
    let sender = scene.publisher(&place).await?;
    let capabilities = scene.capabilities()?;
    let largest = usize::try_from(capabilities.limits.max_body.unwrap_or_default()).unwrap_or(usize::MAX);
    hold!(largest < 1 << 30, "no-effect", "a largest body of {largest} bytes cannot be put to the test");
    let truth = sender.capabilities().limits.max_body;
    for (len, fits) in [(largest - 1, true), (largest, true), (largest + 1, false), (16, true)] {
        let outcome = scene.in_time("an outcome", sender.send(sender.draft_of(None, len))).await?;
        let kind = outcome.as_ref().err().map(|error| error.error().kind());
        let right = if fits { kind.is_none() } else { kind == Some(ErrorKind::TooLarge) };
        hold!(
            right,
            "edge",
            "{len} bytes where {truth:?} is the most ended as {:?}",
            outcome.map_err(|e| e.to_string())
        );
        if fits {
            let _ = reader.next().await?.ack();
        }
    }
    // The limit is declared where it is: the transport itself takes the largest and refuses one more.
    let mut producer = RawProducer::open(scene.transport(), &place.channel).await?;
    for (len, fits) in [(largest, true), (largest + 1, false)] {
        let message = Message::new(vec![7; len]).with_id("beside-the-history");
        let outcome = producer.publish(&scene, vec![message]).await?.remove(0);
        let stored = matches!(outcome, Some(pontoon_core::PublishOutcome::Confirmed(_)));
        hold!(stored == fits, "edge", "the transport declares {largest} and answers {len} bytes with {outcome:?}");
    }
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Cancelled {
    number: u64,
}

/// What handlers saw.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>);

impl Seen {
    fn note(&self, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const TWICE: Retry = Retry::fixed(Duration::from_millis(50)).jitter(0.0).attempts(3);

async fn the_unreadable_is_dead_lettered(scene: Scene) -> Held {
    async fn handle(order: Order, State(seen): State<Seen>) -> Outcome {
        seen.note(order.number.to_string());
        done()
    }
    let place = scene.place()?;
    scene.declare(&place).await?;
    let (seen, broker) = (Seen::default(), scene.broker());
    let garbage: &[u8] = b"\xff\x00{ no json";
    let publisher = scene.publisher(&place).await?;
    for body in [garbage, br#"{"number":7}"#] {
        publisher.publisher().publish(Message::new(body.to_vec()).with_type("Order")).await?;
    }
    let dead = || scene.events().of(EventKind::DeadLettered);
    let (watched, enough) = (scene.clone(), seen.clone());
    let both = async move {
        let both = || enough.all().len() == 1 && !watched.events().of(EventKind::DeadLettered).is_empty();
        let _ = watched.until("both messages", both).await;
    };
    with_channel!(scene, &place, Order, |channel| {
        let _ = Worker::new(broker).state(seen.clone()).handle(channel, handle, TWICE).run_until(both).await?;
    });
    let handed = scene.events().of(EventKind::Delivered).len();
    hold!(handed <= 2, "decode-loop", "two messages were handed over {handed} times");
    let read = seen.all();
    hold!(read == ["7"], "decode-loop", "the readable message behind the unreadable one: handlers saw {read:?}");
    let reasons: Vec<_> = dead().iter().map(|event| event.reason).collect();
    hold!(reasons == [Some(ReasonKind::Undecodable)], "dlq-metadata", "dead letters: {reasons:?}");
    for (letter, _) in scene.bury(&place, 1).await? {
        hold!(
            letter.body == garbage,
            "corrupt",
            "the raw bytes were {garbage:?}, the dead letter has {:?}",
            letter.body
        );
    }
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}

async fn foreign_messages_are_delivered(scene: Scene) -> Held {
    let place = scene.place()?;
    let reader = scene.consumer(&place).await?;
    let sender = scene.publisher(&place).await?;
    let mut producer = RawProducer::open(scene.transport(), &place.channel).await?;
    // Without an id, a type, a time: what another program knows nothing of.
    let outcome = producer.publish(&scene, vec![Message::new("typed by hand")]).await?;
    let stored = matches!(outcome.first(), Some(Some(pontoon_core::PublishOutcome::Confirmed(_))));
    hold!(stored, "foreign-lost", "a message without an id ended as {outcome:?}");
    let ours = sender.put_one(None).await?;
    let mut foreign = 0;
    let mut followed = false;
    while let Some(taken) = reader.next_of(foreign + usize::from(followed), 2).await? {
        let message = taken.message();
        if message.body.as_ref() == b"typed by hand" {
            foreign += 1;
            let empty = message.type_name.is_empty() && message.key.is_none() && message.correlation().is_none();
            hold!(empty, "invented", "what nobody wrote was filled in: {message:?}");
        }
        followed |= taken.id() == ours;
        let _ = taken.ack();
    }
    hold!(foreign == 1, "foreign-lost", "one foreign message was stored, {foreign} were delivered");
    hold!(followed, "foreign-lost", "the message behind the foreign one was not delivered");
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}

async fn a_panic_is_a_failed_attempt(scene: Scene) -> Held {
    async fn handle(order: Order, attempt: Attempt, State(seen): State<Seen>) -> Outcome {
        seen.note(format!("{} attempt {}", order.number, attempt.at_least));
        if order.number == 1 && seen.1.fetch_add(1, Ordering::SeqCst) == 0 {
            std::panic::resume_unwind(Box::new("a handler panics"));
        }
        done()
    }
    let place = scene.place()?;
    let (seen, broker) = (Seen::default(), scene.broker());
    let publisher = scene.publisher(&place).await?;
    for number in [1u64, 2] {
        let body = serde_json::to_vec(&Order { number }).unwrap_or_default();
        publisher.publisher().publish(Message::new(body).with_type("payment.v1")).await?;
    }
    let (watched, enough) = (scene.clone(), seen.clone());
    let three = async move {
        let _ = watched.until("three calls of the handler", || enough.all().len() >= 3).await;
    };
    let report = with_channel!(scene, &place, Order, |channel| {
        Worker::new(broker).state(seen.clone()).handle(channel, handle, TWICE).run_until(three).await?
    });
    let mut calls = seen.all();
    calls.sort();
    let right = calls == ["1 attempt 1", "1 attempt 2", "2 attempt 1"];
    hold!(right, "panic-uncounted", "one handler panicked once: calls {calls:?}, {report}");
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}

async fn types_reach_their_handlers(scene: Scene) -> Held {
    async fn on_order(order: Order, State(seen): State<Seen>) -> Outcome {
        seen.note(format!("order {}", order.number));
        done()
    }
    async fn on_cancelled(order: Cancelled, State(seen): State<Seen>) -> Outcome {
        seen.note(format!("cancelled {}", order.number));
        done()
    }
    let place = scene.place()?;
    let (seen, broker) = (Seen::default(), scene.broker());
    let publisher = scene.publisher(&place).await?;
    for (number, name) in [(1, "order.v1"), (2, "cancelled.v1"), (3, "unheard-of.v9"), (4, "order.v1")] {
        let body = serde_json::to_vec(&Order { number }).unwrap_or_default();
        publisher.publisher().publish(Message::new(body).with_type(name)).await?;
    }
    let (watched, enough) = (scene.clone(), seen.clone());
    let all = async move {
        // A message that is lost must be found below, not by waiting for it: a quiet time ends the run too.
        let all = || enough.all().len() == 3 && !watched.events().of(EventKind::DeadLettered).is_empty();
        let _ = tokio::time::timeout(watched.timings().quiet(), watched.until("all four", all)).await;
    };
    let worker = Worker::new(broker).state(seen.clone());
    let (name, dead) = names(&place);
    if scene.is_topic() {
        let topic = Topic::<Raw>::new(name).dead_letter(dead);
        let orders = topic.carrying::<Order>("order.v1").subscription("one");
        let cancelled = topic.carrying::<Cancelled>("cancelled.v1").subscription("one");
        let _ = worker.route(orders, on_order, TWICE).route(cancelled, on_cancelled, TWICE).run_until(all).await?;
    } else {
        let queue = Queue::<Raw>::new(name).dead_letter(dead);
        let (orders, cancelled) = (queue.carrying::<Order>("order.v1"), queue.carrying::<Cancelled>("cancelled.v1"));
        let _ = worker.route(orders, on_order, TWICE).route(cancelled, on_cancelled, TWICE).run_until(all).await?;
    }
    let mut calls = seen.all();
    calls.sort();
    hold!(calls == ["cancelled 2", "order 1", "order 4"], "misrouted", "handlers saw {calls:?}");
    let dead = scene.events().of(EventKind::DeadLettered);
    let reasons: Vec<_> = dead.iter().map(|event| event.reason).collect();
    hold!(
        reasons == [Some(ReasonKind::NoHandler)],
        "unrouted-lost",
        "a type without handler gave dead letters {reasons:?}"
    );
    let found = tokio::time::timeout(scene.timings().quiet(), scene.bury(&place, 1)).await;
    let kept = matches!(&found, Ok(Ok(letters)) if letters.len() == 1);
    hold!(kept, "unrouted-lost", "the message without a handler is in no dead-letter channel: {found:?}");
    scene.judge(|judgement| judgement.none = true);
    Ok::<(), Broken>(())
}
