//! Batches: published, acknowledged and taken.

use std::time::Duration;

use pontoon_core::Capability::{Lease, OrderPerKey};
use pontoon_core::{Order, PublishOutcome, Rejection};

use super::Need::{Control, Has, LargestBody};
use crate::harness::{Harm, HarmKind};
use crate::scene::{Broken, Held, Place, RawProducer, Scene, hold};

checks! {
    "BAT-EACH" each_entry_has_its_outcome ["C1.5", "C1.6"] needs [LargestBody]
        "Each message of a batch has the outcome that is true for it";
        "a batch reports success while one of its messages was refused";
    "BAT-SPLIT" large_batches_are_whole ["C1.5", "C6.1"] needs []
        "A batch beyond the limits of broker and client is sent whole";
        "the end of a large import is missing";
    "BAT-ACK" failed_acks_are_repeated ["C4.3", "C4.4"] needs [Has(Lease), Control(HarmKind::FailSettlements)]
        "An ack that failed while its lease holds is done again, and its message does not return";
        "acks that a broker refused for a moment are forgotten, and their messages are handled twice";
    "BAT-TAKE" taken_together_is_taken_once ["C3.1", "C3.2", "C5.4", "C6.1"] needs []
        "Deliveries that are taken together are as many as are asked for at most, each a message that was published, once";
        "a worker that takes batches is handed messages that are none, or never sees some that are there";
}

async fn each_entry_has_its_outcome(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let largest = sender.capabilities().limits.max_body.unwrap_or_default();
    let largest = usize::try_from(largest).map_err(|_| Broken::indeterminate("the largest body does not fit here"))?;
    // Past the engine, which knows the limit and would not ask.
    let mut producer = RawProducer::open(scene.transport(), &place.channel).await?;
    let mut messages = sender.drafts(9, &[]);
    for at in [2, 5] {
        messages[at].body = vec![0; largest + 1].into();
    }
    let outcomes = producer.publish(&scene, messages).await?;
    for (at, outcome) in outcomes.into_iter().enumerate() {
        let too_large = at == 2 || at == 5;
        let right = match &outcome {
            Some(PublishOutcome::Confirmed(_)) => !too_large,
            Some(PublishOutcome::Rejected(Rejection::Refused(_))) => too_large,
            _ => false,
        };
        hold!(
            right,
            "batch-outcome",
            "entry {at} of 9, {}too large, ended as {outcome:?}",
            if too_large { "" } else { "not " }
        );
    }
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}

async fn large_batches_are_whole(scene: Scene) -> Held {
    let place = scene.place()?;
    let reader = scene.consumer(&place).await?;
    let sender = scene.publisher(&place).await?;
    let mut messages = sender.drafts(2_000, &["a", "b"]);
    messages.extend((0..120).map(|_| sender.draft_of(Some("a"), 60_000)));
    messages.extend(sender.drafts(800, &["a", "b"]));
    sender.put(messages).await?;
    reader.ack_rest().await?;
    Ok(())
}

async fn failed_acks_are_repeated(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put(sender.drafts(20, &["a", "b"])).await?;
    let held =
        reader.take(20).await.or_else(|broken| if broken.anomaly == "stall" { Ok(Vec::new()) } else { Err(broken) })?;
    hold!(held.len() == 20, "stall", "20 messages were not delivered");
    scene.harm(Harm::FailSettlements(7)).await?;
    for taken in held {
        let _ = taken.ack();
    }
    let report = reader.flush().await?;
    hold!(report.stale == 0, "ack-forgotten", "acks of valid leases came back stale: {report:?}");
    scene.heal().await?;
    let lease = scene.lease().await?.unwrap_or_default();
    reader.nothing(lease + scene.timings().quiet() / 4, "acked-redelivered").await
}

/// The most of one batch.
const MOST: usize = 7;

async fn taken_together_is_taken_once(scene: Scene) -> Held {
    let mut places = vec![scene.place()?];
    if scene.capabilities()?.has(OrderPerKey) {
        places.extend([scene.place()?.ordered(Order::BLOCK), scene.place()?.ordered(Order::FallBehind)]);
    }
    for place in places {
        together(&scene, &place).await?;
    }
    Ok(())
}

async fn together(scene: &Scene, place: &Place) -> Held {
    let (sender, reader) = (scene.publisher(place).await?, scene.consumer(place).await?);
    sender.put(sender.drafts(1, &["a"])).await?;
    let first = reader.next().await?;
    let waiting = tokio::spawn({
        let (reader, patience) = (reader.clone(), scene.timings().patience());
        async move { reader.batch_within(MOST, patience).await }
    });
    // What comes first may have to wait for the one that is held, so that whoever takes has to look again.
    for key in ["a", "b", "c"] {
        scene.rest(Duration::from_millis(20)).await;
        sender.put(sender.drafts(1, &[key])).await?;
    }
    let batch = waiting.await.map_err(|error| Broken::new("panic", error.to_string()))??;
    let _ = first.ack();
    for taken in batch.into_iter().flatten() {
        let _ = taken.ack();
    }
    sender.put(sender.drafts(200, &["a", "b", "c", "d", "e"])).await?;
    while let Some(batch) = reader.batch_within(MOST, scene.timings().quiet()).await? {
        hold!((1..=MOST).contains(&batch.len()), "batch-size", "a batch of at most {MOST} has {}", batch.len());
        for taken in batch {
            let _ = taken.ack();
        }
    }
    Ok(())
}
