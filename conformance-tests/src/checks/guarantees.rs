//! Guarantees that an application names.

use std::collections::HashMap;

use pontoon_core::Capability::AtMostOnce;
use pontoon_core::{DeadLetterPolicy, DeliveryGuarantee, Retry};

use super::Need::{Control, Has};
use super::redelivery::fast_reconnect;
use crate::harness::{Harm, HarmKind};
use crate::scene::{Held, Place, Reader, Scene, hold};

checks! {
    "AMO-KILL" never_twice ["G1", "G2"] needs [Has(AtMostOnce), Control(HarmKind::Cut)]
        "At most once: a message whose handler was killed does not come again";
        "a payment that must not happen twice happens twice";
    "AMO-UNKNOWN" unsettled_is_not_handled ["G1"] needs [Has(AtMostOnce), Control(HarmKind::BreakPublishing)]
        "At most once: where the settlement is not certain the handler does not run";
        "a message is handled, and then again because its settlement had not arrived";
}

async fn at_most_once(scene: &Scene) -> Held<(Place, Reader)> {
    // What was settled before it was handled has no end in a history.
    scene.judge(|judgement| judgement.none = true);
    let mut place = scene.place()?;
    place.channel.dead_letter = DeadLetterPolicy::Undeclared;
    let reader = scene
        .consumer_with(&place, |options| {
            options.guarantee = DeliveryGuarantee::AtMostOnce;
            options.retry = Retry::never();
            options.reconnect = fast_reconnect();
        })
        .await?;
    Ok((place, reader))
}

async fn never_twice(scene: Scene) -> Held {
    let (place, reader) = at_most_once(&scene).await?;
    let sender = scene.publisher(&place).await?;
    sender.put(sender.drafts(10, &[])).await?;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut killed = 0;
    while let Some(taken) = reader.next_of(killed, 1).await? {
        *seen.entry(taken.id().to_string()).or_default() += 1;
        killed += 1;
        hold!(killed <= 30, "delivered-twice", "10 messages were delivered {killed} times");
        scene.harm(Harm::Cut).await?;
        drop(taken);
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    hold!(twice.is_empty(), "delivered-twice", "delivered more than once: {twice:?}");
    hold!(!seen.is_empty(), "no-effect", "nothing was delivered at all");
    Ok(())
}

async fn unsettled_is_not_handled(scene: Scene) -> Held {
    let (place, reader) = at_most_once(&scene).await?;
    let sender = scene.publisher(&place).await?;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for _ in 0..30 {
        sender.put(sender.drafts(4, &[])).await?;
        scene.harm(Harm::BreakPublishing(2)).await?;
        // While connections break, and then until what was not settled came again: else all that waits would be at stake
        // in the next round too, and hardly anything left in the end.
        for patience in [scene.timings().quiet() / 20, scene.timings().quiet() / 6] {
            while let Some(taken) = reader.next_within(patience).await? {
                *seen.entry(taken.id().to_string()).or_default() += 1;
                let _ = taken.ack();
            }
            scene.heal().await?;
        }
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    hold!(twice.is_empty(), "delivered-twice", "delivered more than once: {twice:?}");
    // Each break loses what was settled and not handed over: how much that is depends on where it strikes.
    hold!(seen.len() > 10, "no-effect", "of 120 messages {} were delivered", seen.len());
    Ok(())
}
