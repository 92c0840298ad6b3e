//! Redelivery after crashes, lost leases and lost connections; attempts.

use std::collections::HashMap;
use std::time::Duration;

use pontoon_core::Capability::{
    AttemptCount, CrashLoopNet, Lease, LeaseExtension, StaleDetection, SurvivesProcessCrash,
};
use pontoon_core::driver::Settled;
use pontoon_core::{EventKind, ReasonKind, Retry};

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
    "ATT-FIRST" the_first_attempt_is_one ["C7.7"] needs []
        "The first delivery of a message is attempt 1";
        "`if attempt == 1` never runs, and every limit is off by one";
    "ATT-MONO" attempts_grow_across_processes ["C7.7"] needs [Has(AttemptCount)]
        "Failures in three processes add up: the attempt's lower bound never falls, its upper never lags";
        "a poisonous message is retried attempts × processes times";
    "ATT-DURABLE" attempts_survive_a_restart ["C7.12"]
        needs [Has(AttemptCount), Has(SurvivesProcessCrash), Control(HarmKind::Restart)]
        "Attempts counted before a restart of the broker count after it";
        "a restart gives every poisonous message all its attempts again";
    "CEIL-LOOP" crash_loops_end ["C7.9"] needs [Has(CrashLoopNet)]
        "A message that kills its process is dead-lettered at the delivery ceiling, and its neighbours are unharmed";
        "one message crashes every worker, for ever";
}

async fn a_survivor_gets_it(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let connection = scene.connect().await?;
    let doomed = scene.consumer_on(&connection, &place, |_| {}).await?;
    let survivor = scene.consumer_with(&place, |options| options.prefetch = 1).await?;
    sender.put(sender.drafts(12, &["a", "b", "c"])).await?;
    let mut held = Vec::new();
    while let Some(taken) = doomed.next_within(scene.timings().slack()).await? {
        held.push(taken);
    }
    let in_hand = held.len();
    hold!(in_hand > 0, "no-effect", "the consumer that is killed got nothing");
    crash(&scene, &connection, held).await?;
    let seen = survivor.ack_rest().await?;
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
        let Some(taken) = reader.next_within(scene.timings().quiet()).await? else { break };
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

async fn the_first_attempt_is_one(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put(sender.drafts(10, &["first"])).await?;
    for taken in reader.take(10).await? {
        let attempt = taken.attempt();
        let one = attempt.at_least == 1 && attempt.at_most.is_none_or(|most| most == 1);
        hold!(one, "attempt-not-one", "the first delivery of {} is attempt {attempt}", taken.id());
        let _ = taken.ack();
    }
    Ok(())
}

async fn attempts_grow_across_processes(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    sender.put(sender.drafts(3, &[])).await?;
    for process in 0..3u32 {
        let connection = scene.connect().await?;
        let reader = scene.consumer_on(&connection, &place, |_| {}).await?;
        for failures in 0..2u32 {
            let before = process * 2 + failures;
            for taken in reader.take(3).await? {
                let attempt = taken.attempt();
                hold!(
                    attempt.at_least == before + 1 && attempt.at_most.is_none_or(|most| most > before),
                    "attempt-regression",
                    "after {before} failures, {failures} of them in this process, this is attempt {attempt}"
                );
                let _ = taken.retry();
            }
        }
        let _ = reader.drain(Duration::from_secs(5)).await?;
    }
    scene.consumer(&place).await?.ack_rest().await?;
    Ok(())
}

async fn attempts_survive_a_restart(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.reconnect = fast_reconnect()).await?;
    sender.put_one(None).await?;
    for _ in 0..3 {
        let _ = reader.next().await?.retry();
        let _ = reader.flush().await?;
    }
    let before = reader.next().await?;
    let attempt = before.attempt();
    hold!(attempt.at_least == 4, "attempt-regression", "after 3 failures this is attempt {attempt}");
    scene.harm(Harm::Restart).await?;
    drop(before);
    let after = reader.next().await?;
    let now = after.attempt();
    let kept = now.at_least >= attempt.at_least && now.at_most >= attempt.at_most;
    hold!(kept, "attempt-regression", "attempt {attempt} before the restart of the broker is {now} after it");
    let _ = after.ack();
    Ok(())
}

async fn crash_loops_end(scene: Scene) -> Held {
    const CEILING: u32 = 5;
    let place = scene.place()?.ceiling(CEILING);
    let sender = scene.publisher(&place).await?;
    let killer = sender.put_one(None).await?;
    let mut died = 0;
    for _ in 0..CEILING * 2 {
        let connection = scene.connect().await?;
        let reader = scene.consumer_on(&connection, &place, |options| options.prefetch = 1).await?;
        let Some(taken) = reader.next_within(scene.timings().quiet()).await? else {
            let _ = reader.drain(Duration::from_secs(5)).await?;
            break;
        };
        died += 1;
        crash(&scene, &connection, vec![taken]).await?;
    }
    hold!(died == CEILING, "no-ceiling", "{killer} killed {died} processes where the ceiling is {CEILING}");
    let dead = scene.events().of(EventKind::DeadLettered);
    let reasons: Vec<_> = dead.iter().map(|heard| heard.reason).collect();
    let right = reasons == [Some(ReasonKind::DeliveryCeiling)];
    hold!(right, "dlq-metadata", "at the ceiling the message was dead-lettered as {reasons:?}");
    let reader = scene.consumer(&place).await?;
    sender.put(sender.drafts(5, &[])).await?;
    let rest = reader.ack_rest().await?;
    hold!(rest == 5, "lost-confirmed", "of 5 neighbours {rest} were delivered");
    Ok(())
}
