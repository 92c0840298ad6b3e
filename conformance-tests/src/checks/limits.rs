//! Concurrency, back-pressure.

use std::collections::HashMap;
use std::time::Duration;

use pontoon_core::BrokerId;
use pontoon_core::Capability::Depth;

use super::Need::{Has, Room};
use crate::scene::{Broken, Held, Scene, hold};

checks! {
    "CON-LIMIT" prefetch_is_the_limit ["C4.15"] needs []
        "A consumer holds no more unsettled deliveries than its prefetch says";
        "one worker takes the whole queue";
    "CON-STALL" a_stalled_handler_fetches_nothing ["C4.15"] needs [Has(Depth)]
        "While handlers stand still, no more is fetched than the prefetch says, whatever waits";
        "a slow database makes the worker's memory grow until it is killed";
    "CON-BLOCK" no_room_means_waiting ["C1.16"] needs [Room]
        "While the broker has no room publishing waits, and what waits is bounded";
        "a full broker makes every publisher's memory grow";
    "CON-MATCH" receipts_match_under_load ["C1.5", "C1.17"] needs []
        "With 64 tasks publishing at once each gets the receipt of its own message";
        "an order is confirmed that was not stored, and another is published twice";
}

async fn prefetch_is_the_limit(scene: Scene) -> Held {
    const PREFETCH: usize = 7;
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.prefetch = PREFETCH).await?;
    sender.put(sender.drafts(60, &["a", "b"])).await?;
    let mut held = Vec::new();
    while let Some(taken) = reader.next_within(scene.timings().quiet() / 4).await? {
        held.push(taken);
        hold!(
            held.len() <= PREFETCH,
            "prefetch-exceeded",
            "{} deliveries are out, the prefetch is {PREFETCH}",
            held.len()
        );
    }
    for taken in held {
        let _ = taken.ack();
    }
    reader.ack_rest().await?;
    Ok(())
}

/// What is fetched is counted at the broker, which is exact at any size: a backlog of thousands, as channels of a suite
/// have room for, shows it as well as one of a million. How much memory a process takes is not looked at here, where
/// many checks share one: the soak of `cargo xtask campaign` does.
async fn a_stalled_handler_fetches_nothing(scene: Scene) -> Held {
    const PREFETCH: usize = 16;
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.prefetch = PREFETCH).await?;
    for _ in 0..4 {
        sender.put(sender.drafts(500, &["a", "b"])).await?;
    }
    let stalled = reader.next().await?;
    scene.rest(Duration::from_secs(2)).await;
    let depth = scene.depth(&place).await?;
    let out = depth.in_flight.unwrap_or(2_000 - depth.ready.min(2_000));
    hold!(
        out <= PREFETCH as u64,
        "prefetch-exceeded",
        "one handler stands still and {out} messages are fetched: {depth:?}"
    );
    let _ = stalled.ack();
    reader.ack_rest().await?;
    Ok(())
}

/// A channel that is full stands for a broker without room, whatever the cause: what a disk alarm looks like is a
/// transport's own matter.
async fn no_room_means_waiting(scene: Scene) -> Held {
    const OUTSTANDING: usize = 20;
    let place = scene.place()?;
    let room = scene.profile().room.unwrap_or_default();
    let room = usize::try_from(room).map_err(|_| Broken::indeterminate("more room than can be counted"))?;
    let sender = scene.publisher_with(&place, |options| options.max_messages = OUTSTANDING).await?;
    sender.put(sender.drafts(room, &[])).await?;
    let mut accepted = Vec::new();
    let mut waiting = None;
    for _ in 0..OUTSTANDING * 3 {
        let mut entering = Box::pin(sender.enqueue(sender.draft(None)));
        match tokio::time::timeout(Duration::from_millis(100), entering.as_mut()).await {
            Ok(pending) => accepted.push(tokio::spawn(pending?)),
            Err(_) => {
                waiting = Some(entering);
                break;
            }
        }
    }
    let count = accepted.len();
    hold!(
        count <= OUTSTANDING,
        "unbounded",
        "the broker is full, and {count} more messages were taken, not {OUTSTANDING}"
    );
    let resolved = accepted.iter().filter(|outcome| outcome.is_finished()).count();
    hold!(resolved == 0, "confirmed-unstored", "the broker is full, and {resolved} more publishes have an outcome");
    // Room makes them go on.
    let reader = scene.consumer(&place).await?;
    reader.ack(room / 2).await?;
    for outcome in accepted {
        let outcome = scene.in_time("an outcome after there is room", outcome).await?;
        outcome.map_err(|error| Broken::new("panic", error.to_string()))??;
    }
    if let Some(entering) = waiting {
        let pending = scene.in_time("room", entering).await??;
        scene.in_time("an outcome after there is room", pending).await??;
    }
    reader.ack_rest().await?;
    Ok(())
}

async fn receipts_match_under_load(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let mut tasks = Vec::new();
    for at in 0..64u64 {
        let sender = sender.clone();
        tasks.push(tokio::spawn(async move {
            let mut told = Vec::new();
            for n in 0..5u64 {
                tokio::time::sleep(Duration::from_micros((at * 37 + n * 11) % 200)).await;
                let message = sender.draft(Some("match"));
                let id = message.id.to_string();
                told.push((id, sender.send(message).await?.broker_id));
            }
            Ok::<_, pontoon_core::engine::PublishError>(told)
        }));
    }
    let mut told: HashMap<String, BrokerId> = HashMap::new();
    for task in tasks {
        told.extend(task.await.map_err(|error| Broken::new("panic", error.to_string()))??);
    }
    for _ in 0..told.len() {
        let taken = reader.next().await?;
        let (id, shown) = (taken.id().to_string(), taken.broker_id().unwrap_or_default());
        let named = told.get(&id).cloned().unwrap_or_default();
        let right = named == BrokerId::None || named == shown;
        hold!(right, "receipt-mismatch", "{id} was confirmed as {named} and is delivered as {shown}");
        let _ = taken.ack();
    }
    Ok(())
}
