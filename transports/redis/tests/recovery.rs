//! What happens when consumers die, pause or come back, and what is left at the server: at the driver seam, on both
//! servers.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Consumer, Other, connect, declare, messages, publish, queue, urls};
use pontoon_core::driver::{Disposition, LateKind, Settled};
use pontoon_core::{Channel, ChannelKind, Delay, Message, PublishOutcome, Rejection, Source, Subscription};

/// One that runs out soon, and that a busy machine still keeps: an answer that takes as long ends a connection.
const LEASE: &str = "lease=2s&look_every=20ms";
/// One that no slow machine lets run out.
const LONG: &str = "lease=20s&look_every=20ms";
const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(20);

fn numbered(count: usize) -> Vec<Message> {
    messages((0..count).map(|n| n.to_string()))
}

#[tokio::test]
async fn an_owner_paused_beyond_its_lease_settles_nothing() {
    for url in urls() {
        for ordered in [false, true] {
            let mut channel = queue("zombie");
            if ordered {
                channel.order = pontoon_core::Order::FallBehind;
            }
            let transport = connect(&url, LEASE).await;
            declare(&transport, &channel, &[]).await;
            publish(&transport, &channel, numbered(3)).await;
            let mut paused = Consumer::of(&transport, &channel).await;
            let held = paused.take(3, LATE).await.unwrap();
            assert_eq!(held.len(), 3);
            // It is not polled any more: as a process that stands still.
            let mut heir = Consumer::of(&connect(&url, LEASE).await, &channel).await;
            let again = heir.take(3, LATE).await.unwrap();
            assert_eq!(again.len(), 3, "others get what it held");
            assert!(again.iter().all(|incoming| incoming.deliveries == Some(2)), "the delivery that was lost counts");

            let copy = Message::new("copy");
            for (incoming, how) in held.iter().zip([
                Disposition::Ack,
                Disposition::Release,
                Disposition::Replace { to: &channel, message: &copy },
            ]) {
                assert_eq!(paused.settle(incoming.token, how), Settled::Recorded, "it cannot know yet");
            }
            let late = paused.flush().await;
            assert_eq!(late.len(), 3);
            assert!(late.iter().all(|late| matches!(late.kind, LateKind::Stale)), "{late:?}");
            assert!(paused.take(1, SOON).await.is_err(), "its generation is over");

            for incoming in &again {
                assert_eq!(heir.settle(incoming.token, Disposition::Ack), Settled::Recorded);
            }
            assert!(heir.flush().await.is_empty());
            let left = heir.take(1, SOON).await.unwrap();
            assert!(left.is_empty(), "a late settlement made a copy: {left:?}");
            let mut other = Other::at(&url);
            assert_eq!(other.ask(&["XLEN", channel.name.as_str()]), "0");
            heir.close().await;
        }
    }
}

#[tokio::test]
async fn who_lives_keeps_what_it_holds() {
    for url in urls() {
        let channel = queue("alive");
        let transport = connect(&url, LEASE).await;
        declare(&transport, &channel, &[]).await;
        publish(&transport, &channel, numbered(2)).await;
        let mut slow = Consumer::of(&transport, &channel).await;
        let held = slow.take(2, LATE).await.unwrap();
        let mut other = Consumer::of(&connect(&url, LEASE).await, &channel).await;
        // One of them is extended, and the lease is that of both; for more than two leases.
        for _ in 0..8 {
            let by = Duration::from_secs(2);
            assert_eq!(slow.settle(held[0].token, Disposition::Extend { by }), Settled::Recorded);
            assert!(slow.flush().await.is_empty());
            assert!(other.take(1, Duration::from_millis(600)).await.unwrap().is_empty(), "taken from the living");
        }
        for incoming in &held {
            assert_eq!(slow.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        }
        assert!(slow.flush().await.is_empty());
    }
}

#[tokio::test]
async fn a_generation_that_was_dropped_gives_back_at_once_and_one_that_left_leaves_nothing() {
    for url in urls() {
        let channel = queue("dropped");
        // The lease is too long to be waited for.
        let transport = connect(&url, "lease=60s").await;
        declare(&transport, &channel, &[]).await;
        publish(&transport, &channel, numbered(300)).await;
        let mut first = Consumer::of(&transport, &channel).await;
        assert_eq!(first.take(300, LATE).await.unwrap().len(), 300);
        drop(first);
        let mut second = Consumer::of(&transport, &channel).await;
        let again = second.take(300, LATE).await.unwrap();
        assert_eq!(again.len(), 300);
        // What it releases, and what it holds when it leaves, is free; released it was not counted.
        assert_eq!(second.settle(again[0].token, Disposition::Release), Settled::Recorded);
        assert!(second.flush().await.is_empty());
        second.close().await;
        let mut third = Consumer::of(&transport, &channel).await;
        let mut last = third.take(300, LATE).await.unwrap();
        last.sort_by_key(|incoming| incoming.deliveries);
        let counts: Vec<_> = last.iter().map(|incoming| incoming.deliveries.unwrap()).collect();
        assert_eq!((counts.len(), counts[0], counts[1], counts[299]), (300, 2, 3, 3));
        third.close().await;
        let mut other = Other::at(&url);
        let consumers = other.ask(&["XINFO", "CONSUMERS", channel.name.as_str(), "pontoon"]);
        assert_eq!(consumers.matches("pontoon-").count(), 1, "only the one that is none is left: {consumers}");
    }
}

#[tokio::test]
async fn a_channel_that_is_gone_is_refused_to_publishers_and_made_anew_for_consumers() {
    for url in urls() {
        let channel = queue("gone");
        let transport = connect(&url, "").await;
        declare(&transport, &channel, &[]).await;
        let mut other = Other::at(&url);
        let mut reader = Consumer::of(&transport, &channel).await;
        assert!(reader.take(1, SOON).await.unwrap().is_empty());
        other.ask(&["DEL", channel.name.as_str()]);
        let refused = publish(&transport, &channel, numbered(1)).await.remove(0);
        assert!(
            matches!(&refused, PublishOutcome::Rejected(Rejection::Refused(error))
            if error.kind() == pontoon_core::ErrorKind::NotFound),
            "{refused:?}"
        );
        let error = reader.take(1, LATE).await.unwrap_err();
        assert_eq!(error.status(), pontoon_core::ErrorStatus::Temporary, "the engine declares it again: {error:?}");
        declare(&transport, &channel, &[]).await;
        publish(&transport, &channel, numbered(1)).await;
        assert_eq!(Consumer::of(&transport, &channel).await.take(1, LATE).await.unwrap().len(), 1);

        other.ask(&["DEL", channel.name.as_str()]);
        other.ask(&["SET", channel.name.as_str(), "something else"]);
        let refused = publish(&transport, &channel, numbered(1)).await.remove(0);
        assert!(
            matches!(&refused, PublishOutcome::Rejected(Rejection::Refused(error))
            if error.kind() == pontoon_core::ErrorKind::Conflict),
            "{refused:?}"
        );
        let ensure = pontoon_core::driver::Ensure::new(channel);
        let ensured = pontoon_core::driver::Transport::ensure(&transport, &ensure);
        assert_eq!(ensured.await.unwrap_err().kind(), pontoon_core::ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_stream_of_another_program_is_read_through_its_group_and_keeps_its_entries() {
    for url in urls() {
        let mut other = Other::at(&url);
        for (number, name) in ["a{b}c", "{", "}x{", "*", "with space"].into_iter().enumerate() {
            let name = format!("{name}.{:x}", pontoon_core::os_seed());
            let channel = Channel::existing(name.clone(), ChannelKind::Queue).unwrap();
            let transport = connect(&url, "group=readers").await;
            let ensure = pontoon_core::driver::Ensure::new(channel.clone());
            let missing = pontoon_core::driver::Transport::ensure(&transport, &ensure).await.unwrap_err();
            assert_eq!(missing.kind(), pontoon_core::ErrorKind::NotFound);
            let id = other.ask(&["XADD", &name, "*", "temperature", "21", "body", "warm"]);
            let missing = pontoon_core::driver::Transport::ensure(&transport, &ensure).await.unwrap_err();
            assert!(missing.to_string().contains("group"), "{missing}");
            assert_eq!(other.ask(&["XGROUP", "CREATE", &name, "readers", "0"]), "OK");
            declare(&transport, &channel, &[]).await;
            let mut reader = Consumer::of(&transport, &channel).await;
            let incoming = reader.take(1, LATE).await.unwrap().remove(0);
            assert_eq!(incoming.message.body.as_ref(), b"warm", "stream {number}");
            assert_eq!(incoming.broker_id.to_string(), id);
            assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
            assert!(reader.flush().await.is_empty());
            let outcome = publish(&transport, &channel, numbered(1)).await.remove(0);
            assert!(outcome.is_confirmed());
            assert_eq!(reader.take(1, LATE).await.unwrap().len(), 1);
            assert_eq!(other.ask(&["XLEN", &name]), "2", "its entries are not ours to delete");
        }
    }
}

#[tokio::test]
async fn a_stream_of_another_program_is_not_trimmed() {
    for (url, ordered) in urls().iter().flat_map(|url| [(url, false), (url, true)]) {
        let mut other = Other::at(url);
        let name = format!("news.{:x}", pontoon_core::os_seed());
        for _ in 0..10 {
            other.ask(&["XADD", &name, "*", "body", "warm"]);
        }
        assert_eq!(other.ask(&["XGROUP", "CREATE", &name, "readers", "0"]), "OK");
        let mut channel = Channel::existing(name.clone(), ChannelKind::Topic).unwrap();
        if ordered {
            channel.order = pontoon_core::Order::FallBehind;
        }
        let transport = connect(url, "").await;
        declare(&transport, &channel, &["readers"]).await;
        let source = Source::new(channel, Some(Subscription::new("readers").unwrap())).unwrap();
        let mut reader = Consumer::open(&transport, source).await;
        for incoming in reader.take(10, LATE).await.unwrap() {
            assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        }
        assert!(reader.flush().await.is_empty());
        // A topic of ours is trimmed about once a second.
        assert!(reader.take(1, Duration::from_millis(2_500)).await.unwrap().is_empty());
        assert_eq!(other.ask(&["XLEN", &name]), "10", "its entries are not ours to remove");
    }
}

#[tokio::test]
async fn what_is_settled_leaves_no_memory() {
    for url in urls() {
        let mut other = Other::at(&url);
        let channel = queue("memory");
        let transport = connect(&url, LONG).await;
        declare(&transport, &channel, &[]).await;
        let mut delayed = numbered(20);
        delayed.iter_mut().for_each(|message| {
            *message = message.clone().with_delay(Delay::For(Duration::from_millis(30)));
        });
        publish(&transport, &channel, numbered(480)).await;
        publish(&transport, &channel, delayed).await;
        let mut reader = Consumer::of(&transport, &channel).await;
        for incoming in reader.take(500, LATE).await.unwrap() {
            assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        }
        assert!(reader.flush().await.is_empty());
        reader.close().await;
        let name = channel.name.as_str();
        assert_eq!(other.ask(&["XLEN", name]), "0");
        assert_eq!(other.ask(&["XLEN", &format!("{{{name}}}--held")]), "0");
        assert_eq!(other.ask(&["EXISTS", &format!("{{{name}}}--due")]), "0");
        let keys = other.ask(&["KEYS", &format!("{{{name}}}--lease--*")]);
        assert_eq!(keys, "[]", "no lease is left");
    }
}

#[tokio::test]
async fn a_topic_is_trimmed_behind_its_slowest_subscription() {
    for url in urls() {
        let mut other = Other::at(&url);
        let mut topic = Channel::topic(common::name("trim")).unwrap();
        topic.dead_letter = pontoon_core::DeadLetterPolicy::Discard;
        let transport = connect(&url, LONG).await;
        declare(&transport, &topic, &["fast", "slow"]).await;
        publish(&transport, &topic, numbered(400)).await;
        let source =
            |name: &str| Source::new(topic.clone(), Some(Subscription::new(name.to_owned()).unwrap())).unwrap();
        let (mut fast, mut slow) =
            (Consumer::open(&transport, source("fast")).await, Consumer::open(&transport, source("slow")).await);
        for incoming in fast.take(400, LATE).await.unwrap() {
            let _ = fast.settle(incoming.token, Disposition::Ack);
        }
        assert!(fast.flush().await.is_empty());
        let held = slow.take(100, LATE).await.unwrap();
        for incoming in &held[..50] {
            let _ = slow.settle(incoming.token, Disposition::Ack);
        }
        assert!(slow.flush().await.is_empty());
        // It trims now and then while it is read.
        let length = |other: &mut Other| other.ask(&["XLEN", topic.name.as_str()]).parse::<u64>().unwrap();
        let deadline = tokio::time::Instant::now() + LATE;
        while length(&mut other) != 350 {
            assert!(tokio::time::Instant::now() < deadline, "{} entries are left, not 350", length(&mut other));
            assert!(fast.take(1, SOON).await.unwrap().is_empty());
            // Its lease is kept up meanwhile.
            let _ = slow.settle(held[50].token, Disposition::Extend { by: Duration::from_millis(400) });
            assert!(slow.flush().await.is_empty());
        }
        let rest = slow.take(300, LATE).await.unwrap();
        assert_eq!(rest.len(), 300, "nothing that was not read is gone");
    }
}

#[tokio::test]
async fn equal_payloads_in_retry_at_once_all_arrive() {
    const COUNT: usize = 20_000;
    for url in urls() {
        let channel = queue("equal");
        let transport = connect(&url, "lease=10s&look_every=20ms").await;
        declare(&transport, &channel, &[]).await;
        let all = messages((0..COUNT).map(|_| "the same".to_owned()));
        let mut ids: Vec<_> = all.iter().map(|message| message.id.clone()).collect();
        for some in all.chunks(1_000) {
            publish(&transport, &channel, some.to_vec()).await;
        }
        let mut reader = Consumer::of(&transport, &channel).await;
        let mut in_retry = Vec::new();
        while in_retry.len() < COUNT {
            let some = reader.take(500, LATE).await.unwrap();
            for incoming in &some {
                let copy = incoming.message.clone().with_delay(Delay::For(Duration::from_secs(8)));
                let replace = Disposition::Replace { to: &channel, message: &copy };
                assert_eq!(reader.settle(incoming.token, replace), Settled::Recorded);
                in_retry.push(incoming.message.id.clone());
            }
            assert!(reader.flush().await.is_empty());
        }
        in_retry.sort();
        ids.sort();
        assert!(in_retry == ids, "no copy comes back before all are in retry");
        let mut seen = Vec::new();
        while let Some(incoming) = reader.take(1, Duration::from_secs(10)).await.unwrap().pop() {
            seen.push(incoming.message.id.clone());
            assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
            if seen.len() % 500 == 0 {
                assert!(reader.flush().await.is_empty());
            }
            if seen.len() == COUNT {
                break;
            }
        }
        // Nor does any come twice.
        assert!(reader.take(1, SOON).await.unwrap().is_empty());
        assert!(reader.flush().await.is_empty());
        seen.sort();
        assert_eq!(seen.len(), COUNT);
        assert!(seen == ids, "each arrives once");
        reader.close().await;
    }
}

#[tokio::test]
async fn shards_keep_the_order_of_each_key_also_for_the_next_owner() {
    const KEYS: usize = 40;
    for url in urls() {
        let mut channel = queue("shards");
        channel.order = pontoon_core::Order::FallBehind;
        channel.shards = Some(4);
        let transport = connect(&url, LONG).await;
        declare(&transport, &channel, &[]).await;
        let all = (0..KEYS * 10)
            .map(|n| Message::new(n.to_string()).with_id(format!("m{n}")).with_key(format!("k{}", n % KEYS)));
        assert!(publish(&transport, &channel, all.collect()).await.iter().all(PublishOutcome::is_confirmed));
        let mut other = Other::at(&url);
        let lengths: Vec<u64> = (0..4)
            .map(|shard| other.ask(&["XLEN", &format!("{{{}}}--shard-{shard}", channel.name)]).parse().unwrap())
            .collect();
        assert!(lengths.iter().all(|length| *length > 0) && lengths.iter().sum::<u64>() == 400, "{lengths:?}");

        let mut next = vec![0; KEYS];
        let mut see = |incoming: &pontoon_core::driver::Incoming| {
            let n: usize = std::str::from_utf8(&incoming.message.body).unwrap().parse().unwrap();
            assert_eq!(n / KEYS, next[n % KEYS], "key {}", n % KEYS);
            next[n % KEYS] += 1;
        };
        // The first owner takes all, settles a part, and goes; what it held comes first to its successor.
        let mut first = Consumer::of(&transport, &channel).await;
        let mut standby = Consumer::of(&connect(&url, LONG).await, &channel).await;
        let held = first.take(400, LATE).await.unwrap();
        assert!(standby.take(1, SOON).await.unwrap().is_empty(), "a stream has one owner");
        let mut settled = 0;
        for incoming in held.iter().filter(|incoming| incoming.token.source == 0).take(30) {
            see(incoming);
            settled += 1;
            assert_eq!(first.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        }
        assert!(first.flush().await.is_empty());
        first.close().await;
        for incoming in standby.take(400 - settled, LATE).await.unwrap() {
            see(&incoming);
            assert_eq!(standby.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        }
        assert!(standby.flush().await.is_empty());
        assert!(next.iter().all(|seen| *seen == 10), "{next:?}");
        standby.close().await;
    }
}
