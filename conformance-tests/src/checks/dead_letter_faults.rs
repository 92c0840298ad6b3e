//! Dead letters when something is wrong: nothing is lost on the way there, and nobody else is held up.

use std::time::Duration;

use pontoon_core::Capability::OrderPerKey;
use pontoon_core::{EventKind, Order, Retry};
use tokio::time::Instant;

use super::Need::{Control, Has};
use super::redelivery::fast_reconnect;
use crate::harness::{Harm, HarmKind};
use crate::scene::{Broken, Held, Scene, hold};

checks! {
    "DLQ-OUTAGE" an_outage_loses_nothing ["C8.1", "C8.7"] needs [Control(HarmKind::RefuseDeadLetters)]
        "While the dead-letter channel takes nothing, the source stays unsettled and is tried again";
        "every message that fails while the dead-letter channel is down is gone";
    "DLQ-CRASH" a_crash_loses_nothing ["C8.1"] needs [Control(HarmKind::Cut)]
        "A connection that breaks between dead letter and settlement makes a duplicate at most";
        "a crash at the wrong moment loses the message that failed";
    "DLQ-BLOCK" poison_delays_its_key_only ["C6.5", "C8.7"] needs [Has(OrderPerKey)]
        "A message that fails again and again delays only its own key";
        "one poisonous message holds up every customer";
    "TGT-GONE" a_missing_target_delays_nobody_else ["C8.7"] needs [Control(HarmKind::Delete)]
        "A dead-letter channel that is gone delays no other channel";
        "deleting one queue stops the retries of every other";
}

async fn an_outage_loses_nothing(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let retry = Retry::fixed(Duration::from_millis(20)).jitter(0.0).attempts(2);
    let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
    scene.harm(Harm::RefuseDeadLetters).await?;
    sender.put(sender.drafts(12, &["a", "b"])).await?;
    // Half are rejected at once, half fail twice.
    for _ in 0..18 {
        let taken = reader.next().await?;
        let _ = if taken.key() == "a" { taken.reject() } else { taken.retry() };
    }
    let refused = || scene.events().of(EventKind::SuccessorFailed).len();
    let outage = Instant::now();
    while refused() < 20 && outage.elapsed() < scene.timings().patience() {
        // The consumer goes on with other messages meanwhile.
        sender.put_one(Some("c")).await?;
        let taken = reader.next().await?;
        let _ = if taken.key() == "c" { taken.ack() } else { taken.reject() };
        scene.rest(Duration::from_millis(500)).await;
    }
    scene.heal().await?;
    while let Some(taken) = reader.next_within(scene.timings().quiet()).await? {
        let _ = taken.reject();
    }
    Ok(())
}

async fn a_crash_loses_nothing(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.reconnect = fast_reconnect()).await?;
    for at in 0..12u64 {
        sender.put_one(Some("crash")).await?;
        let taken = reader.next().await?;
        let _ = taken.reject();
        scene.rest(Duration::from_micros(at * 300)).await;
        scene.harm(Harm::Cut).await?;
        scene.heal().await?;
        while let Some(again) = reader.next_within(scene.timings().quiet() / 10).await? {
            let _ = again.reject();
        }
    }
    Ok(())
}

/// A key that holds up others costs them its whole backoff, so that is the bound: a ratio of two percentiles would say
/// more of the machine than of the transport.
async fn poison_delays_its_key_only(scene: Scene) -> Held {
    let place = scene.place()?.ordered(Order::BLOCK);
    let sender = scene.publisher(&place).await?;
    let backoff = Duration::from_secs(4);
    let retry = Retry::fixed(backoff).jitter(0.0).attempts(3);
    let reader = scene
        .consumer_with(&place, |options| {
            options.retry = retry;
            options.prefetch = 4;
        })
        .await?;
    sender.put(sender.drafts(40, &["poison", "a", "b", "c"])).await?;
    let began = Instant::now();
    let (mut others, mut failures) = (0, 0);
    while others < 30 {
        let taken = reader.next().await?;
        if taken.key() == "poison" {
            failures += 1;
            let _ = taken.retry();
        } else {
            others += 1;
            let _ = taken.ack();
        }
    }
    let took = began.elapsed();
    hold!(failures >= 1, "no-effect", "the poisonous message was never delivered");
    hold!(took < backoff, "head-of-line", "30 messages of other keys took {took:?} while one key was in its backoff");
    while let Some(taken) = reader.next_within(scene.timings().quiet()).await? {
        let _ = taken.reject();
    }
    Ok(())
}

async fn a_missing_target_delays_nobody_else(scene: Scene) -> Held {
    let (broken, well) = (scene.place()?, scene.place()?);
    let (to_broken, to_well) = (scene.publisher(&broken).await?, scene.publisher(&well).await?);
    let (at_broken, at_well) = (scene.consumer(&broken).await?, scene.consumer(&well).await?);
    // What stores dead letters stands by now: opening it later would declare its channel anew.
    to_broken.put_one(None).await?;
    let _ = at_broken.next().await?.reject();
    scene.bury(&broken, 1).await?;
    if let Some(dead) = broken.dead() {
        scene.harm(Harm::Delete(dead.channel.name.as_str().to_owned())).await?;
    }
    to_broken.put(to_broken.drafts(10, &[])).await?;
    for _ in 0..10 {
        let _ = at_broken.next().await?.reject();
    }
    scene.until("a refused dead letter", || !scene.events().of(EventKind::SuccessorFailed).is_empty()).await?;
    let began = Instant::now();
    to_well.put(to_well.drafts(20, &[])).await?;
    for at in 0..20 {
        let Some(taken) = at_well.next_within(scene.timings().quiet()).await? else {
            return Err(Broken::new(
                "held-up",
                format!("{at} of 20 messages came beside a channel without its target"),
            ));
        };
        let _ = if at % 2 == 0 { taken.reject() } else { taken.ack() };
    }
    let dead = || scene.events().of(EventKind::DeadLettered).len();
    while dead() < 10 {
        hold!(began.elapsed() < scene.timings().quiet(), "held-up", "{} of 10 dead letters got through", dead());
        scene.rest(Duration::from_millis(5)).await;
    }
    Ok(())
}
