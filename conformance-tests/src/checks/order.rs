//! Order per key.

use std::collections::HashMap;
use std::time::Duration;

use pontoon_core::Capability::{OrderPerKey, RetryDelay};
use pontoon_core::{EventKind, Order, ReasonKind, Retry, Spill};

use super::Need::{Control, Has};
use super::redelivery::fast_reconnect;
use crate::harness::{Harm, HarmKind};
use crate::scene::{End, Held, Scene, hold};

checks! {
    "ORD-KEY" keys_keep_their_order ["C6.1"] needs [Has(OrderPerKey)]
        "First deliveries of a key follow the order in which one publisher issued them";
        "a cancellation is handled before the order it cancels";
    "ORD-RETRY" order_survives_a_retry ["C6.4", "C6.5"] needs [Has(OrderPerKey)]
        "While a message of a key is in retry, its key waits under `Block` and flows under `FallBehind`; other keys flow";
        "a failed message is overtaken by the next of its key, or holds up everybody";
    "ORD-EXCL" one_lease_per_key ["C6.3"] needs [Has(OrderPerKey)]
        "A key has at most one valid lease in handlers' hands";
        "two workers change one account at the same time";
    "ORD-PIPE" resends_keep_the_order ["C6.1", "C6.2"] needs [Has(OrderPerKey), Control(HarmKind::BreakPublishing)]
        "Pipelined batches and resends after broken connections keep the order of each key";
        "after a short outage the updates of a customer arrive in the wrong order";
    "FAL-SPILL" keys_beyond_the_bounds_spill ["C6.6", "C6.7"] needs [Has(OrderPerKey)]
        "Keys that are blocked beyond the channel's bounds spill as declared, with an event";
        "one broken handler blocks every key until memory is full";
    "SHARD-MISMATCH" shard_counts_must_agree ["F6"] needs [Has(OrderPerKey)]
        "A channel that stands with another number of shards is refused when it is opened";
        "publisher and worker use different shards, and messages are stranded";
}

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn keys_keep_their_order(scene: Scene) -> Held {
    for order in scene.ordered() {
        let place = scene.place()?.ordered(order);
        let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
        for _ in 0..6 {
            sender.put(sender.drafts(100, &KEYS)).await?;
        }
        reader.ack_rest().await?;
    }
    Ok(())
}

const BACKOFF: Duration = Duration::from_millis(800);

async fn order_survives_a_retry(scene: Scene) -> Held {
    for order in scene.ordered() {
        let place = scene.place()?.ordered(order);
        let sender = scene.publisher(&place).await?;
        let retry = Retry::fixed(BACKOFF).jitter(0.0).attempts(5);
        let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
        sender.put(sender.drafts(6, &["bad", "bad", "good"])).await?;
        // bad.0 bad.1 good.2 bad.3 bad.4 good.5: the first fails twice.
        let (mut ends, mut failures, mut first) = (Vec::new(), 0, None);
        while ends.len() < 6 {
            let taken = reader.next().await?;
            let (id, key) = (taken.id(), taken.key());
            let poison = *first.get_or_insert_with(|| id.clone()) == id;
            if poison && failures < 2 {
                failures += 1;
                let _ = taken.retry();
                continue;
            }
            let blocked = matches!(order, Order::Block { .. }) && key == "bad" && !poison;
            let settled = first.as_ref().is_some_and(|first| ends.contains(first));
            hold!(
                !blocked || settled,
                "key-inversion",
                "{id} was delivered while {first:?}, before it in its key, was in retry on a channel that blocks"
            );
            ends.push(id);
            let _ = taken.ack();
        }
        if order == Order::FallBehind {
            let last = ends.last() == first.as_ref();
            hold!(
                last,
                "key-inversion",
                "the failed message must go behind what was queued: {ends:?}, failed {first:?}"
            );
        }
    }
    Ok(())
}

async fn one_lease_per_key(scene: Scene) -> Held {
    for order in scene.ordered() {
        let place = scene.place()?.ordered(order);
        let sender = scene.publisher(&place).await?;
        let mut workers = Vec::new();
        for _ in 0..3 {
            let reader = scene.consumer_with(&place, |options| options.prefetch = 8).await?;
            for _ in 0..2 {
                let (reader, quiet) = (reader.clone(), scene.timings().quiet());
                let mut random = scene.random();
                workers.push(tokio::spawn(async move {
                    while let Some(taken) = reader.next_within(quiet).await? {
                        tokio::time::sleep(Duration::from_millis(random.u64(1..8))).await;
                        let _ = taken.ack();
                    }
                    Held::Ok(())
                }));
            }
        }
        sender.put(sender.drafts(120, &["a", "b", "c"])).await?;
        for worker in workers {
            worker.await.map_err(|error| crate::scene::Broken::new("panic", error.to_string()))??;
        }
    }
    Ok(())
}

async fn resends_keep_the_order(scene: Scene) -> Held {
    for order in scene.ordered() {
        let place = scene.place()?.ordered(order);
        // The waits between connections are not what is tested here, and 24 of them in a row grow long.
        let sender = scene.publisher_with(&place, |options| options.reconnect = fast_reconnect()).await?;
        let reader = scene.consumer_with(&place, |options| options.reconnect = fast_reconnect()).await?;
        for _ in 0..6 {
            scene.harm(Harm::BreakPublishing(4)).await?;
            let outcomes = scene.in_time("outcomes", sender.send_all(sender.drafts(80, &KEYS))).await?;
            let confirmed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            hold!(confirmed > 0, "no-effect", "nothing at all was confirmed");
        }
        scene.heal().await?;
        reader.ack_rest().await?;
    }
    Ok(())
}

async fn keys_beyond_the_bounds_spill(scene: Scene) -> Held {
    for spill in [Spill::DeadLetter, Spill::FallBehind] {
        if spill == Spill::FallBehind && scene.capabilities()?.level(RetryDelay) == pontoon_core::Level::Absent {
            continue;
        }
        let longest_wait = Duration::from_secs(3);
        let place = scene.place()?.ordered(Order::Block { max_blocked_keys: 2, longest_wait, spill });
        let sender = scene.publisher(&place).await?;
        let retry = Retry::fixed(Duration::from_secs(1)).jitter(0.0).attempts(20);
        let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
        let mut ids = HashMap::new();
        for key in ["a", "b", "c"] {
            ids.insert(sender.put_one(Some(key)).await?.to_string(), key);
        }
        let spilled_before = scene.events().of(EventKind::OrderSpilled).len();
        // Three keys fail: the third is one too many. Then the two that wait go on failing until their wait is over.
        let mut failures = 0;
        let spilled = || scene.events().of(EventKind::OrderSpilled).len() - spilled_before;
        while spilled() < 3 && failures < 24 {
            let Some(taken) = reader.next_of(spilled(), 3).await? else { break };
            failures += 1;
            let _ = taken.end(End::Retry(None, "always".into()));
            if failures == 3 {
                let now = spilled();
                hold!(now == 1, "no-spill", "three keys are blocked where two may be: {now} spilled ({spill:?})");
            }
        }
        let all = spilled();
        hold!(
            all == 3,
            "no-spill",
            "after {failures} failures {all} of 3 keys spilled, although none may wait over 3 s"
        );
        if spill == Spill::DeadLetter {
            let dead = || scene.events().of(EventKind::DeadLettered);
            scene.until("three dead letters", || dead().len() >= 3).await?;
            let reasons = dead();
            let right = reasons.iter().all(|heard| heard.reason == Some(ReasonKind::OrderSpill));
            hold!(right && reasons.len() == 3, "dlq-metadata", "spilled messages were dead-lettered as {reasons:?}");
        } else {
            let rest = reader.ack_all(3).await?;
            hold!(rest == 3, "no-spill", "three messages fell behind, {rest} came again");
        }
    }
    Ok(())
}

async fn shard_counts_must_agree(scene: Scene) -> Held {
    let mut place = scene.place()?.ordered(Order::BLOCK);
    place.channel.shards = Some(8);
    scene.publisher(&place).await?;
    let mut other = place.clone();
    other.channel.shards = Some(4);
    let opened = pontoon_core::engine::Consumer::open(
        scene.transport(),
        other.source()?,
        pontoon_core::engine::ConsumerOptions::default(),
        &pontoon_core::engine::Environment::new(),
    )
    .await;
    let error = crate::scene::refused(
        opened,
        pontoon_core::ErrorKind::Conflict,
        "conflict-accepted",
        "a consumer with 4 shards on a channel with 8",
    )?;
    hold!(error.to_string().contains("shards"), "unclear-error", "the error does not name the field: {error}");
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}
