//! Attempts: what counts as a failure, across processes and restarts, and where it ends.

use std::time::Duration;

use pontoon_core::Capability::{AttemptCount, CrashLoopNet, SurvivesProcessCrash};
use pontoon_core::{EventKind, ReasonKind};

use super::Need::{Control, Has};
use super::ack::crash;
use super::redelivery::fast_reconnect;
use crate::harness::{Harm, HarmKind};
use crate::scene::{Held, Scene, hold};

checks! {
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
        let Some(taken) = reader.next_of(died as usize, CEILING as usize).await? else {
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
    let rest = reader.ack_all(5).await?;
    hold!(rest == 5, "lost-confirmed", "of 5 neighbours {rest} were delivered");
    Ok(())
}
