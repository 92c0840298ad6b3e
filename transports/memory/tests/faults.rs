//! Each fault can be seen, happens as often as it should, and breaks no promise but the one it is for.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;
use std::time::Duration;

use common::*;
use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory::*;
use tokio::time::advance;

async fn with_fault(channel: Channel, fault: Fault, chance: Chance) -> Stage {
    let stage = Stage::with(channel, config(&[("seed", "5")])).await;
    stage.server.faults().set(fault, chance);
    stage
}

#[tokio::test(start_paused = true)]
async fn a_lost_confirmation_is_unknown_and_the_message_is_there() {
    let mut stage = with_fault(queue("q"), Fault::LoseConfirm, Chance::ALWAYS.times(1)).await;
    let outcome = stage.publisher.publish(message("a"));
    assert!(matches!(outcome, PublishOutcome::Unknown(e) if e.status() == ErrorStatus::Unknown));
    stage.publisher.put(message("b"));
    assert_eq!(bodies(&stage.consumer.take(9)), "a b");
    assert_eq!(stage.server.faults().happened(Fault::LoseConfirm), 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_stored_beside_its_original() {
    for order in [Order::Unordered, Order::BLOCK] {
        let mut stage = with_fault(ordered("q", order), Fault::Duplicate, Chance::ALWAYS.times(1)).await;
        stage.publisher.put(keyed("k", "a"));
        stage.publisher.put(keyed("k", "b"));
        let mut seen = Vec::new();
        for _ in 0..3 {
            let got = stage.consumer.one();
            seen.push(body(&got));
            stage.consumer.ack(got.token);
        }
        assert_eq!(seen, ["a", "a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_delivery_keeps_its_place_in_its_key() {
    let mut stage = with_fault(ordered("q", Order::BLOCK), Fault::DelayDelivery, Chance::ALWAYS.times(1)).await;
    stage.server.faults().set_delivery_delay(secs(10));
    stage.publisher.put(keyed("k", "a"));
    stage.publisher.put(keyed("k", "b"));
    stage.publisher.put(keyed("other", "c"));
    assert_eq!(bodies(&stage.consumer.take(9)), "c");
    advance(Duration::from_millis(10_002)).await;
    let got = stage.consumer.one();
    assert_eq!(body(&got), "a");
    stage.consumer.ack(got.token);
    assert_eq!(bodies(&stage.consumer.take(9)), "b");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_stores_a_prefix_and_nothing_after() {
    let (mut lost_on_the_way, mut unconfirmed) = (0, 0);
    for seed in 0..200u64 {
        let server = MemoryServer::new(config(&[("seed", &seed.to_string()), ("drop_connection", "0.1*1")]));
        let transport = MemoryTransport::new(&server);
        let channel = queue("q");
        transport.ensure(&Ensure::new(channel.clone())).await.unwrap();
        let mut publisher = Publisher::open(&transport, &channel).await;
        let mut batch = publisher.batch((0..10).map(|n| message(&n.to_string())));
        assert!(matches!(publisher.submit(&mut batch), Poll::Ready(Ok(n)) if n > 0));
        let taken = 10 - batch.len();
        let confirmed = publisher.outcomes();
        let stored: Vec<String> = server
            .queue("q")
            .unwrap()
            .messages
            .iter()
            .map(|m| String::from_utf8_lossy(&m.message.body).into_owned())
            .collect();
        assert_eq!(stored, (0..stored.len()).map(|n| n.to_string()).collect::<Vec<_>>(), "a prefix");
        let names: Vec<u32> = confirmed.iter().map(|(ticket, _)| ticket.slot).collect();
        assert_eq!(names, (1..=names.len() as u32).collect::<Vec<_>>());
        assert!(names.len() <= stored.len() && stored.len() <= taken);
        if server.faults().happened(Fault::DropConnection) == 1 {
            assert!(matches!(publisher.drive(), Poll::Ready(e) if e.kind() == ErrorKind::Connection));
            let left = batch.len();
            assert!(matches!(publisher.submit(&mut batch), Poll::Ready(Err(_))) || left == 0);
            assert_eq!((batch.len(), server.queue("q").unwrap().messages.len()), (left, stored.len()));
            lost_on_the_way += usize::from(stored.len() < taken);
            unconfirmed += usize::from(names.len() < stored.len());
        } else {
            assert!(names.len() == 10 && publisher.drive().is_pending());
        }
    }
    assert!(lost_on_the_way > 10 && unconfirmed > 10, "{lost_on_the_way} {unconfirmed}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_takes_a_consumer_with_it() {
    let mut stage = Stage::new(queue("q")).await;
    for text in ["a", "b", "c"] {
        stage.publisher.put(message(text));
    }
    let got = stage.consumer.take(2);
    stage.server.faults().set(Fault::DropConnection, Chance::ALWAYS.times(1));
    assert!(matches!(stage.consumer.poll(1), Poll::Ready(Err(e)) if e.kind() == ErrorKind::Connection));
    assert_eq!(stage.consumer.settle(got[0].token, Disposition::Ack), Settled::Stale);
    assert!(matches!(stage.consumer.flush().0, Poll::Ready(Err(_))));
    assert_eq!(stage.depth(), (3, 0, 0));

    // While it settles: what it recorded may not have arrived, and it cannot know.
    let mut again = stage.another().await;
    let got = again.take(9);
    assert!(got.iter().take(2).all(|i| i.deliveries == Some(2)));
    stage.server.faults().set(Fault::DropConnection, Chance::ALWAYS.times(1));
    let what: Vec<_> = got.iter().map(|i| (i.token, Disposition::Ack)).collect();
    assert_eq!(again.settle_all(&what), [Settled::Recorded; 3]);
    assert!(matches!(again.flush().0, Poll::Ready(Err(_))));
    let (ready, _, out) = stage.depth();
    assert_eq!((ready as u64, out), (3 - stage.snapshot().totals.acknowledged, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_early_and_its_consumer_is_told() {
    let mut stage = Stage::new(queue("q")).await;
    stage.publisher.put(message("a"));
    let first = stage.consumer.one();
    stage.server.faults().set(Fault::ExpireLease, Chance::ALWAYS.times(1));
    let (again, lost) = stage.consumer.news(9);
    assert_eq!(lost, [first.token]);
    assert_eq!(again[0].deliveries, Some(2));
    assert_eq!(stage.consumer.settle(first.token, Disposition::Ack), Settled::Stale);
    stage.server.faults().set(Fault::ExpireLease, Chance::ALWAYS.times(1));
    assert_eq!(stage.consumer.settle(again[0].token, Disposition::Ack), Settled::Stale);
    assert_eq!(stage.depth(), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_channel_refuses_for_a_while() {
    let mut channel = queue("q");
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("dead").unwrap());
    let mut stage = with_fault(channel.clone(), Fault::RefuseDeadLetter, Chance::ALWAYS.times(2)).await;
    stage.publisher.put(message("a"));
    let got = stage.consumer.one();
    let target = channel.dead_letter_channel().unwrap();
    let mut dead = Publisher::open(&stage.transport, &target).await;
    let outcome = dead.publish(message("a"));
    assert!(matches!(outcome, PublishOutcome::Rejected(Rejection::TryAgain(e)) if e.kind() == ErrorKind::Full));
    let successor = message("a!");
    let what = Disposition::Replace { to: &target, message: &successor };
    assert_eq!(stage.consumer.settle(got.token, what), Settled::Recorded);
    let (_, late) = stage.consumer.flush();
    assert!(matches!(&late[..], [Late { token, kind: LateKind::Failed(_) }] if *token == got.token));
    assert_eq!(stage.server.queue("dead").unwrap().messages.len(), 0);
    assert_eq!(stage.consumer.settle(got.token, what), Settled::Recorded);
    assert!(stage.consumer.flush().1.is_empty());
    assert_eq!((stage.server.queue("dead").unwrap().messages.len(), stage.depth()), (1, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_settlement_comes_back_late_and_its_lease_holds() {
    let mut stage = with_fault(queue("q"), Fault::FailSettle, Chance::ALWAYS.times(1)).await;
    stage.publisher.put(message("a"));
    stage.publisher.put(message("b"));
    let got = stage.consumer.take(2);
    let what = [(got[0].token, Disposition::Ack), (got[1].token, Disposition::Ack)];
    assert_eq!(stage.consumer.settle_all(&what), [Settled::Recorded; 2]);
    let (end, late) = stage.consumer.flush();
    assert!(matches!(end, Poll::Ready(Ok(()))));
    assert!(matches!(&late[..], [Late { token, kind: LateKind::Failed(_) }] if *token == got[0].token));
    assert_eq!(stage.depth(), (0, 0, 1));
    stage.consumer.ack(got[0].token);
    assert!(stage.consumer.flush().1.is_empty());
    assert_eq!(stage.depth(), (0, 0, 0));
}

/// Every fault at once, at random, on a queue and through two subscriptions: what was confirmed is acknowledged in the
/// end, what was rejected is never seen, nothing comes from nowhere, first deliveries of a key keep the order they
/// were issued in.
async fn storm(seed: u64, order: Order, topic: bool) {
    let mut random = fastrand::Rng::with_seed(seed);
    let settings = [
        ("seed", seed.to_string()),
        ("lose_confirm", "0.05".into()),
        ("duplicate", "0.05".into()),
        ("delay_delivery", "0.05".into()),
        ("drop_connection", "0.02".into()),
        ("expire_lease", "0.05".into()),
        ("fail_settle", "0.05".into()),
        ("max_messages", "20".into()),
        ("max_body", "5".into()),
    ];
    let server =
        MemoryServer::new(MemoryConfig::from_pairs(settings.map(|(name, value)| (name.to_owned(), value))).unwrap());
    let transport = MemoryTransport::new(&server);
    let mut channel = ordered("q", order);
    let mut ensure = Ensure::new(channel.clone());
    let mut sources = Vec::new();
    if topic {
        channel.kind = ChannelKind::Topic;
        ensure = Ensure::new(channel.clone());
        for name in ["one", "two"] {
            let subscription = Subscription::new(name).unwrap();
            ensure = ensure.with_subscription(subscription.clone());
            sources.push(Source::new(channel.clone(), Some(subscription)).unwrap());
        }
    } else {
        sources.push(source(&channel));
    }
    transport.ensure(&ensure).await.unwrap();

    let mut publisher = Publisher::open(&transport, &channel).await;
    let mut confirmed = BTreeSet::new();
    let mut rejected = BTreeSet::new();
    let mut ids = BTreeMap::new();
    let mut issued = 0u64;
    // Two readers of each source; of each source: what was acknowledged, what was seen, and each key's last first
    // delivery.
    let mut readers = Vec::new();
    for at in 0..sources.len() * 2 {
        readers.push((at / 2, Consumer::open(&transport, &sources[at / 2]).await, Vec::<(Token, u64)>::new()));
    }
    let mut acked = vec![BTreeSet::new(); sources.len()];
    // Acknowledged while the connection broke: the client cannot know.
    let mut doubtful = vec![BTreeSet::new(); sources.len()];
    let mut seen = vec![BTreeSet::new(); sources.len()];
    let mut last = vec![BTreeMap::new(); sources.len()];

    for step in 0.. {
        let stormy = step < 120;
        if !stormy {
            server.faults().clear();
        }
        if stormy {
            let messages: Vec<Message> = (0..random.usize(1..6))
                .map(|_| {
                    issued += 1;
                    let text = if random.u8(..20) == 0 { format!("{issued:06}") } else { issued.to_string() };
                    keyed(&(issued % 3).to_string(), &text)
                })
                .collect();
            let first = issued - messages.len() as u64 + 1;
            let mut batch = publisher.batch(messages);
            let tickets = batch.len() as u32;
            let next = publisher.next_slot() - tickets;
            for n in 0..u64::from(tickets) {
                ids.insert(next + n as u32, first + n);
            }
            if let Poll::Ready(Err(_)) = publisher.submit(&mut batch) {
                publisher = Publisher::open(&transport, &channel).await;
            }
            for (ticket, outcome) in publisher.outcomes() {
                match outcome {
                    PublishOutcome::Confirmed(_) => confirmed.insert(ids[&ticket.slot]),
                    PublishOutcome::Rejected(_) => rejected.insert(ids[&ticket.slot]),
                    PublishOutcome::Unknown(_) => true,
                };
            }
            ids.clear();
        }
        for entry in &mut readers {
            let (at, reader, held) = &mut *entry;
            if stormy && random.bool() {
                continue;
            }
            let dead = match reader.poll(random.usize(1..5)) {
                Poll::Ready(Err(_)) => true,
                Poll::Ready(Ok(())) | Poll::Pending => false,
            };
            while let Some(arrival) = reader.inbox.pop() {
                match arrival {
                    Arrival::Message(incoming) => {
                        let id: u64 = body(&incoming).parse().unwrap();
                        assert!(id <= issued && !rejected.contains(&id), "{id} was rejected, or never sent");
                        if seen[*at].insert(id) && order.is_ordered() {
                            let before = last[*at].insert(id % 3, id);
                            assert!(before.is_none_or(|before| before < id), "{id} after {before:?}");
                        }
                        held.push((incoming.token, id));
                    }
                    Arrival::LeaseLost(token) => held.retain(|(known, _)| *known != token),
                    other => panic!("{other:?}"),
                }
            }
            let mut what = Vec::new();
            held.retain(|(token, id)| {
                let settles = !stormy || random.bool();
                if settles {
                    let disposition = match random.u8(..8) {
                        0 if stormy => Disposition::Release,
                        1 if stormy => {
                            Disposition::Retry { after: Duration::from_millis(random.u64(..900)), failures: 1 }
                        }
                        _ => Disposition::Ack,
                    };
                    what.push((*token, disposition, *id));
                }
                !settles
            });
            let slice: Vec<_> = what.iter().map(|(token, disposition, _)| (*token, *disposition)).collect();
            let answers = reader.settle_all(&slice);
            let (end, late) = reader.flush();
            for ((token, disposition, id), answer) in what.iter().zip(&answers) {
                if let Some(late) = late.iter().find(|late| late.token == *token) {
                    assert!(matches!(late.kind, LateKind::Failed(_)));
                    held.push((*token, *id));
                } else if *answer == Settled::Recorded
                    && matches!(disposition, Disposition::Ack)
                    && matches!(end, Poll::Ready(Ok(())))
                {
                    acked[*at].insert(*id);
                } else if *answer == Settled::Recorded && matches!(disposition, Disposition::Ack) {
                    doubtful[*at].insert(*id);
                }
            }
            if dead || matches!(end, Poll::Ready(Err(_))) {
                let at = *at;
                *entry = (at, Consumer::open(&transport, &sources[at]).await, Vec::new());
            }
        }
        advance(Duration::from_millis(random.u64(..400))).await;
        if !stormy {
            let left: usize = sources
                .iter()
                .map(|source| match &source.subscription {
                    None => server.queue("q").unwrap().messages.len(),
                    Some(name) => server.subscription("q", name.name.as_str()).unwrap().messages.len(),
                })
                .sum();
            if left == 0 {
                break;
            }
            assert!(step < 5_000, "never drained: {left} left");
        }
    }
    for (at, acked) in acked.iter().enumerate() {
        let lost: Vec<_> = confirmed.iter().filter(|id| !acked.contains(id) && !doubtful[at].contains(id)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
    assert!(rejected.is_disjoint(&seen[0]));
    assert!(confirmed.len() > 20);
}

fn storms(order: Order, topic: bool) {
    let seeds = std::env::var("PONTOON_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let outcome = std::panic::catch_unwind(|| runtime.block_on(storm(seed, order, topic)));
        if let Err(panic) = outcome {
            eprintln!("seed {seed}, {order:?}, topic {topic}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn storms_on_queues() {
    for order in [Order::Unordered, Order::BLOCK, Order::FallBehind] {
        storms(order, false);
    }
}

#[test]
fn storms_on_topics() {
    for order in [Order::Unordered, Order::BLOCK, Order::FallBehind] {
        storms(order, true);
    }
}
