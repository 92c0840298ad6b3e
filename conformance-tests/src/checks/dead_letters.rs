//! Dead letters: the limit that makes them, and the truth that is written on them.

use std::collections::HashMap;
use std::time::Duration;

use pontoon_core::Capability::{MessageTtl, OrderPerKey};
use pontoon_core::{EventKind, Level, Order, ReasonKind, Retry};

use crate::scene::{End, Held, Scene, hold};

checks! {
    "DLQ-LIMIT" the_last_attempt_dead_letters ["C7.8", "C7.11"] needs []
        "The failure number `max_attempts` dead-letters, no earlier one and no later one";
        "messages are given up too early, or tried for ever";
    "DLQ-ONCE" one_dead_letter ["C8.8"] needs []
        "Without faults there is one dead letter for each message, and no later delivery";
        "whoever repairs dead letters repairs them twice";
    "DLQ-META" dead_letters_tell_all ["C8.2", "C8.3"] needs []
        "A dead letter has its message whole, where it came from, why, after how many attempts, and when";
        "nobody can tell why a message failed, or put it back";
    "DLQ-REASON" reasons_are_true ["C8.4"] needs []
        "The reason of a dead letter is the true one";
        "expired and rejected messages look alike, and the wrong ones are put back";
    "DLQ-NONE" drops_are_events ["C8.6"] needs []
        "Where dead letters are discarded, each is an event with its reason";
        "messages disappear at a limit without a trace";
}

async fn the_last_attempt_dead_letters(scene: Scene) -> Held {
    for max in [1, 3] {
        let place = scene.place()?;
        let sender = scene.publisher(&place).await?;
        let retry = Retry::fixed(Duration::from_millis(50)).jitter(0.0).attempts(max);
        let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
        sender.put(sender.drafts(4, &[])).await?;
        let expected = max * 4;
        let mut failures = 0;
        while let Some(taken) = reader.next_of(failures as usize, expected as usize).await? {
            failures += 1;
            hold!(failures <= max * 20, "missed-dlq", "4 messages with {max} attempts failed {failures} times");
            let _ = taken.retry();
        }
        let anomaly = if failures > expected { "missed-dlq" } else { "premature-dlq" };
        hold!(failures == expected, anomaly, "4 messages with {max} attempts failed {failures} times in all");
    }
    Ok(())
}

async fn one_dead_letter(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put(sender.drafts(40, &["once"])).await?;
    for _ in 0..40 {
        let _ = reader.next().await?.reject();
    }
    reader.nothing(scene.timings().quiet(), "dlq-duplicate").await
}

async fn dead_letters_tell_all(scene: Scene) -> Held {
    let ordered = scene.capabilities()?.level(OrderPerKey) > Level::Absent;
    dead_letter_tells_all(&scene, Order::Unordered).await?;
    // On a channel that blocks, one consumer sees every failure.
    if ordered { dead_letter_tells_all(&scene, Order::BLOCK).await } else { Ok(()) }
}

async fn dead_letter_tells_all(scene: &Scene, order: Order) -> Held {
    let place = scene.place()?.ordered(order);
    let sender = scene.publisher(&place).await?;
    let retry = Retry::fixed(Duration::from_millis(500)).jitter(0.0).attempts(3);
    let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
    let message = sender
        .draft_of(Some("meta"), 300)
        .with_type("Order")
        .with_content_type("application/x-test")
        .with_header("tenant", "acme")
        .with_header("count", 3);
    let published = message.clone();
    sender.put(vec![message]).await?;
    for _ in 0..3 {
        let _ = reader.next().await?.end(End::Retry(None, "é".repeat(1_000)));
    }
    let (letter, info) = scene.bury(&place, 1).await?.remove(0);
    let whole = letter.id == published.id
        && letter.key == published.key
        && letter.type_name == published.type_name
        && letter.content_type == published.content_type
        && letter.headers == published.headers
        && letter.body == published.body;
    hold!(whole, "dlq-metadata", "published {published:?}, dead-lettered {letter:?}");
    let error = info.error.as_deref().unwrap_or_default();
    let bounded = error.len() == pontoon_core::MAX_ERROR_TEXT && error.chars().all(|c| c == 'é');
    hold!(bounded, "dlq-metadata", "the error text of 2,000 bytes became one of {} bytes", error.len());
    let origin = info.channel.as_deref() == Some(place.channel.name.as_str());
    let through = info.subscription.as_deref() == place.subscription.as_ref().map(|s| s.name.as_str());
    hold!(origin && through, "dlq-metadata", "it does not say where it came from: {info:?}");
    let attempts = info.attempts.map(|attempts| attempts.at_least);
    hold!(attempts == Some(3), "dlq-metadata", "3 attempts were made, it says {:?}", info.attempts);
    let (first, last) = (info.first_failure_ms, info.last_failure_ms.unwrap_or_default());
    let apart = first.is_none_or(|first| first > 0 && last >= first + 900 && last <= first + 60_000);
    hold!(last > 0 && apart, "dlq-metadata", "first and last of three failures 500 ms apart: {first:?} and {last}");
    let dated = first.is_some() || !order.is_ordered();
    hold!(dated, "dlq-metadata", "all three failures were seen here, and the first has no time");
    let why = info.reason;
    hold!(why == Some(ReasonKind::MaxAttempts), "dlq-metadata", "it failed three times of three, and says {why:?}");
    Ok(())
}

async fn reasons_are_true(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let retry = Retry::fixed(Duration::from_millis(20)).jitter(0.0).attempts(2);
    let mut expected: HashMap<String, ReasonKind> = HashMap::new();
    if scene.capabilities()?.level(MessageTtl) > Level::Absent {
        let message = sender.draft(Some("reason")).with_ttl(Duration::from_millis(50));
        expected.insert(message.id.to_string(), ReasonKind::Expired);
        sender.put(vec![message]).await?;
        scene.rest(Duration::from_millis(100) + scene.timings().slack()).await;
    }
    let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
    for reason in [ReasonKind::Rejected, ReasonKind::MaxAttempts, ReasonKind::NoHandler, ReasonKind::Undecodable] {
        let id = sender.put_one(Some("reason")).await?;
        expected.insert(id.to_string(), reason);
        match reason {
            ReasonKind::MaxAttempts => {
                let _ = reader.next().await?.retry();
                let _ = reader.next().await?.retry();
            }
            ReasonKind::Rejected => {
                let _ = reader.next().await?.reject();
            }
            other => {
                let _ = reader.next().await?.end(End::DeadLetter(other, "by this handler".into()));
            }
        }
    }
    for (message, info) in scene.bury(&place, expected.len()).await? {
        let (id, found) = (message.id.to_string(), info.reason);
        let right = expected.get(&id).copied();
        hold!(found == right, "dlq-metadata", "{id} is dead because of {right:?} and says {found:?}");
    }
    Ok(())
}

async fn drops_are_events(scene: Scene) -> Held {
    let place = scene.place()?.discarding();
    let sender = scene.publisher(&place).await?;
    let retry = Retry::fixed(Duration::from_millis(20)).jitter(0.0).attempts(2);
    let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
    let rejected = sender.put_one(None).await?;
    let _ = reader.next().await?.reject();
    let failed = sender.put_one(None).await?;
    let _ = reader.next().await?.retry();
    let _ = reader.next().await?.retry();
    reader.nothing(scene.timings().quiet() / 4, "missed-dlq").await?;
    let heard = scene.events().of(EventKind::Dropped);
    for (id, reason) in [(rejected, ReasonKind::Rejected), (failed, ReasonKind::MaxAttempts)] {
        let told = heard.iter().filter(|event| event.id.as_ref() == Some(&id) && event.reason == Some(reason)).count();
        hold!(told == 1, "silent-drop", "{id} was dropped as {reason} with {told} events");
    }
    Ok(())
}
