//! Lost connections.

use std::collections::HashMap;
use std::time::Duration;

use pontoon_core::EventKind;
use pontoon_core::engine::PublishError;
use tokio::time::Instant;

use super::Need::{Control, SilenceBound};
use super::redelivery::fast_reconnect;
use crate::harness::{Harm, HarmKind};
use crate::history::{Handle, What};
use crate::scene::{Broken, Held, Scene, hold};

checks! {
    "REC-RESTART" work_resumes_unaided ["C2.3", "C2.6"] needs [Control(HarmKind::Cut)]
        "After a lost connection, or a restart of the broker, publishing and consuming go on without help";
        "after a short outage the workers stand still until somebody restarts them";
    "REC-HALFOPEN" silence_is_noticed ["C2.6", "C4.9"] needs [Control(HarmKind::HalfOpen), SilenceBound]
        "A connection that carries nothing any more is noticed, and nothing is confirmed meanwhile";
        "after a network failure a worker waits on a dead connection for hours";
    "REC-AMBIG" a_cut_is_unknown ["C1.3", "C1.4", "C1.9"] needs [Control(HarmKind::BreakPublishing)]
        "What was under way when the connection broke is Unknown: neither confirmed nor rejected";
        "after a network failure the application believes what is not so";
    "REC-SAMEID" resends_keep_their_id ["C1.7", "C1.8", "C5.1"] needs [Control(HarmKind::LoseReplies)]
        "A resend after an Unknown goes under the same id and is marked as a possible duplicate";
        "a retry of the library looks like a second order";
    "REC-CANCEL" a_deleted_queue_is_told ["C2.6"] needs [Control(HarmKind::Delete)]
        "A consumer whose queue is deleted ends with a typed error, or says so by an event";
        "a worker waits for ever on a queue that is gone";
}

async fn work_resumes_unaided(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher_with(&place, |options| options.reconnect = fast_reconnect()).await?;
    let reader = scene.consumer_with(&place, |options| options.reconnect = fast_reconnect()).await?;
    for round in 0..4 {
        let published = sender.put(sender.drafts(10, &["a", "b"])).await;
        let published = published.map_err(|broken| Broken::new("not-resumed", format!("publishing: {broken}")));
        published?;
        let mut seen = 0;
        while seen < 10 {
            let Some(taken) = reader.next_within(scene.timings().patience()).await? else {
                let words = format!("after {round} lost connections, {seen} of 10 messages were delivered");
                return Err(Broken::new("not-resumed", words));
            };
            seen += 1;
            let _ = taken.ack();
        }
        let _ = reader.flush().await?;
        let harm = if round % 2 == 1 && scene.control().offers(HarmKind::Restart) { Harm::Restart } else { Harm::Cut };
        scene.harm(harm).await?;
    }
    reader.ack_rest().await?;
    Ok(())
}

async fn silence_is_noticed(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher_with(&place, |options| options.reconnect = fast_reconnect()).await?;
    let reader = scene.consumer_with(&place, |options| options.reconnect = fast_reconnect()).await?;
    sender.put(sender.drafts(5, &[])).await?;
    reader.ack(5).await?;
    let _ = reader.flush().await?;
    let within = scene.control().silence_noticed_within().unwrap_or(scene.timings().patience());
    scene.harm(Harm::HalfOpen).await?;
    let began = Instant::now();
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send(sender.draft(None)).await }
    });
    while let Some(handle) = unaware(&scene, &[reader.handle(), sender.handle()]) {
        let silent = began.elapsed();
        let words = format!("the connection of {handle:?} was silent for {silent:?}, the bound is {within:?}");
        hold!(silent <= within, "silence-unnoticed", "{words}");
        hold!(!waiting.is_finished(), "confirmed-unstored", "a publish ended while nothing passed");
        scene.rest(Duration::from_millis(10)).await;
    }
    scene.heal().await?;
    let outcome = scene.in_time("an outcome after the silence", waiting).await?;
    outcome.map_err(|error| Broken::new("panic", error.to_string()))??;
    reader.ack_rest().await?;
    Ok(())
}

/// The first of these that has not heard that its connection is lost.
fn unaware(scene: &Scene, handles: &[Handle]) -> Option<Handle> {
    let history = scene.recorder().history();
    let heard = |one: &Handle| {
        history.events().iter().any(|event| matches!(&event.what, What::Disconnected { handle } if handle == one))
    };
    handles.iter().find(|handle| !heard(handle)).copied()
}

async fn a_cut_is_unknown(scene: Scene) -> Held {
    let place = scene.place()?;
    let reader = scene.consumer(&place).await?;
    let sender = scene
        .publisher_with(&place, |options| {
            options.resend = false;
            options.reconnect = fast_reconnect();
        })
        .await?;
    let mut unknown = 0;
    for _ in 0..50 {
        scene.harm(Harm::BreakPublishing(1)).await?;
        let outcomes = scene.in_time("outcomes", sender.send_all(sender.drafts(12, &["a", "b", "c"]))).await?;
        unknown += outcomes.iter().filter(|o| o.as_ref().is_err_and(PublishError::is_unknown)).count();
        scene.heal().await?;
    }
    reader.ack_rest().await?;
    hold!(unknown > 0, "no-effect", "50 connections broke while messages were under way, and no outcome was unknown");
    Ok(())
}

async fn resends_keep_their_id(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher_with(&place, |options| options.reconnect = fast_reconnect()).await?;
    let reader = scene.consumer(&place).await?;
    scene.harm(Harm::LoseReplies(10)).await?;
    sender.put(sender.drafts(30, &["a", "b", "c"])).await?;
    scene.heal().await?;
    let mut seen: HashMap<String, (usize, usize)> = HashMap::new();
    while let Some(taken) = reader.next_of(seen.len(), 30).await? {
        let (count, marked) = seen.entry(taken.id().to_string()).or_default();
        *count += 1;
        *marked += usize::from(taken.message().history().maybe_duplicate);
        let _ = taken.ack();
    }
    let count = seen.len();
    hold!(count == 30, "identity-changed", "30 messages were published, {count} distinct ids arrived");
    let twice: Vec<_> = seen.iter().filter(|(_, (count, _))| *count > 1).collect();
    hold!(!twice.is_empty(), "no-effect", "10 replies were lost, and nothing was sent again");
    for (id, (count, marked)) in twice {
        hold!(
            *marked + 1 >= *count,
            "unmarked",
            "{id} arrived {count} times, {marked} times marked as possibly sent twice"
        );
    }
    Ok(())
}

async fn a_deleted_queue_is_told(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.reconnect = fast_reconnect()).await?;
    sender.put(sender.drafts(3, &[])).await?;
    reader.ack(3).await?;
    // Nothing is under way that would tell instead.
    let _ = reader.flush().await?;
    let before = scene.events().of(EventKind::Disconnected).len();
    scene.harm(Harm::Delete(place.channel.name.as_str().to_owned())).await?;
    let waited = tokio::time::timeout(scene.timings().quiet(), reader.consumer().next()).await;
    let heard = scene.events().of(EventKind::Disconnected).len() - before;
    let error = match waited {
        Ok(Some(Err(error))) => Some(error),
        Ok(Some(Ok(_))) => return Err(Broken::new("phantom", "a deleted queue delivers")),
        Ok(None) | Err(_) => None,
    };
    let told = error.is_some() || heard > 0;
    hold!(told, "not-told", "the queue was deleted, and the consumer neither ended with an error nor said a word");
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}
