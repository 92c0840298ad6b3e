//! Redelivery after crashes, lost leases and lost connections.

use std::collections::HashMap;
use std::time::Duration;

use pontoon_core::Capability::{Lease, LeaseExtension, StaleDetection};
use pontoon_core::driver::Settled;
use pontoon_core::{EventKind, Retry};

use super::Need::{Control, Has};
use super::ack::crash;
use crate::harness::{Harm, HarmKind};
use crate::scene::{Held, Scene, hold};

checks! {
    "RED-CRASH" a_survivor_gets_it ["C7.6"] needs []
        "What a killed consumer held is delivered to another one within its lease";
        "messages of a crashed worker are gone, or wait for ever";
    "RED-EXTEND" a_slow_handler_keeps_its_lease ["C4.13"] needs [Has(Lease), Has(LeaseExtension)]
        "A handler that takes three times its lease keeps it";
        "long jobs run twice, at the same time";
    "RED-ZOMBIE" a_lost_lease_is_told ["C4.7", "C4.9"] needs [Has(StaleDetection), Control(HarmKind::ExpireLeases)]
        "A handler learns in time that its lease is lost, and what it settles afterwards is stale and makes no copy";
        "a handler that lost its message goes on and makes a second dead letter or a second effect";
    "RED-INNOCENT" the_prefetched_are_innocent ["C7.6", "C7.10"] needs [Control(HarmKind::Cut)]
        "More lost connections than attempts dead-letter nothing that was merely prefetched";
        "a flapping network empties the queue into the dead-letter channel";
    "RED-BOUND" duplicates_are_bounded ["C5.2"] needs [Control(HarmKind::Cut)]
        "A fault brings at most what was in flight a second time";
        "one lost connection makes the whole backlog come again";
}

async fn a_survivor_gets_it(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let connection = scene.connect().await?;
    let doomed = scene.consumer_on(&connection, &place, |_| {}).await?;
    let survivor = scene.consumer_with(&place, |options| options.prefetch = 1).await?;
    sender.put(sender.drafts(12, &["a", "b", "c"])).await?;
    let mut held = Vec::new();
    while let Some(taken) = doomed.next_of(held.len(), 1).await? {
        held.push(taken);
    }
    let in_hand = held.len();
    hold!(in_hand > 0, "no-effect", "the consumer that is killed got nothing");
    crash(&scene, &connection, held).await?;
    let seen = survivor.ack_all(12).await?;
    hold!(seen == 12, "lost-confirmed", "{in_hand} of 12 messages were with the killed consumer; the other got {seen}");
    Ok(())
}

async fn a_slow_handler_keeps_its_lease(scene: Scene) -> Held {
    let place = scene.place()?;
    let lease = scene.lease().await?.unwrap_or_default();
    hold!(!lease.is_zero(), "lying-capability", "a lease is declared, and opening names no length of one");
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put_one(None).await?;
    let taken = reader.next().await?;
    reader.nothing(lease * 3, "unexplained-duplicate").await?;
    let lost = taken.lease().is_some_and(|lease| lease.is_lost());
    hold!(!lost, "lease-lost", "the lease was lost under a slow handler");
    let answer = taken.ack();
    hold!(answer == Settled::Recorded, "lease-lost", "the ack of a slow handler was {answer:?}");
    Ok(())
}

async fn a_lost_lease_is_told(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    for way in 0..3 {
        let reader = scene.consumer(&place).await?;
        sender.put_one(None).await?;
        let taken = reader.next().await?;
        let lease = taken.lease();
        scene.harm(Harm::ExpireLeases(1)).await?;
        // Something must happen at the broker for it to strike.
        sender.put_one(None).await?;
        let other = reader.next().await?;
        let (lost, second) = (lease.as_ref().is_some_and(|lease| lease.is_lost()), other.lease());
        if !lost {
            let either = async {
                match (lease, second) {
                    (Some(one), Some(two)) => {
                        futures_util::future::select(Box::pin(one.lost()), Box::pin(two.lost())).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            let told = tokio::time::timeout(scene.timings().quiet(), either).await;
            hold!(told.is_ok(), "unsignalled", "a lease ended early, and its handler was not told");
        }
        scene.heal().await?;
        let dead = scene.events().of(EventKind::DeadLettered).len();
        let mut stale = 0;
        for taken in [taken, other] {
            if taken.lease().is_some_and(|lease| lease.is_lost()) {
                let answer = match way {
                    0 => taken.reject(),
                    1 => taken.retry(),
                    _ => taken.release(),
                };
                hold!(answer == Settled::Stale, "stale-accepted", "a settlement after the loss was {answer:?}");
                stale += 1;
            } else {
                let _ = taken.ack();
            }
        }
        hold!(stale > 0, "unsignalled", "a lease ended early, and neither handler was told");
        reader.ack_rest().await?;
        let more = scene.events().of(EventKind::DeadLettered).len() - dead;
        hold!(more == 0, "stale-accepted", "a late settlement made a dead letter");
        // It would take the messages of the next round.
        let _ = reader.drain(scene.timings().patience()).await?;
    }
    Ok(())
}

async fn the_prefetched_are_innocent(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let retry = Retry::fixed(Duration::from_millis(100)).jitter(0.0).attempts(3);
    let reader = scene
        .consumer_with(&place, |options| {
            options.retry = retry;
            options.reconnect = fast_reconnect();
        })
        .await?;
    sender.put(sender.drafts(20, &["innocent"])).await?;
    for _ in 0..12 {
        // One is in a handler's hands, the others wait behind it.
        let taken = reader.next().await?;
        scene.harm(Harm::Cut).await?;
        drop(taken);
    }
    // Each may fail twice and then succeed: lost connections have cost none of these attempts.
    let mut failures: HashMap<String, u32> = HashMap::new();
    while let Some(taken) = reader.next_within(scene.timings().quiet()).await? {
        let count = failures.entry(taken.id().to_string()).or_default();
        if *count < 2 {
            *count += 1;
            let _ = taken.retry();
        } else {
            let _ = taken.ack();
        }
    }
    let punished = scene.events().of(EventKind::DeadLettered).len();
    hold!(punished == 0, "premature-dlq", "{punished} messages were dead-lettered for lost connections");
    Ok(())
}

pub(super) fn fast_reconnect() -> pontoon_core::engine::Reconnect {
    pontoon_core::engine::Reconnect::new(Duration::from_millis(10), Duration::from_millis(200))
}

async fn duplicates_are_bounded(scene: Scene) -> Held {
    const PREFETCH: usize = 10;
    const CUTS: usize = 3;
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene
        .consumer_with(&place, |options| {
            options.prefetch = PREFETCH;
            options.reconnect = fast_reconnect();
        })
        .await?;
    sender.put(sender.drafts(150, &["bound"])).await?;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for at in 0.. {
        let Some(taken) = reader.next_of(seen.len(), 150).await? else { break };
        *seen.entry(taken.id().to_string()).or_default() += 1;
        let _ = taken.ack();
        if [40, 80, 120].contains(&at) {
            let _ = reader.flush().await?;
            scene.harm(Harm::Cut).await?;
        }
    }
    let again: usize = seen.values().map(|count| count - 1).sum();
    let most = PREFETCH * CUTS;
    hold!(again <= most, "too-many-duplicates", "{CUTS} cuts with {PREFETCH} in flight made {again} duplicates");
    hold!(seen.len() == 150, "lost-confirmed", "{} of 150 messages were seen", seen.len());
    Ok(())
}
