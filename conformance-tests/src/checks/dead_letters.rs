//! Dead letters: nothing is lost on the way there, and the truth is written on them.

use std::collections::HashMap;
use std::time::Duration;

use pontoon::MAX_REDRIVES;
use pontoon_core::Capability::{MessageTtl, OrderPerKey};
use pontoon_core::{EventKind, Level, Order, ReasonKind, Retry};
use tokio::time::Instant;

use super::Need::{Control, Has};
use super::redelivery::fast_reconnect;
use crate::harness::{Harm, HarmKind};
use crate::scene::{Broken, End, Held, Scene, hold, with_channel};

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
    "DLQ-OUTAGE" an_outage_loses_nothing ["C8.1", "C8.7"] needs [Control(HarmKind::RefuseDeadLetters)]
        "While the dead-letter channel takes nothing, the source stays unsettled and is tried again";
        "every message that fails while the dead-letter channel is down is gone";
    "DLQ-CRASH" a_crash_loses_nothing ["C8.1"] needs [Control(HarmKind::Cut)]
        "A connection that breaks between dead letter and settlement makes a duplicate at most";
        "a crash at the wrong moment loses the message that failed";
    "DLQ-BLOCK" poison_delays_its_key_only ["C6.5", "C8.7"] needs [Has(OrderPerKey)]
        "A message that fails again and again delays only its own key";
        "one poisonous message holds up every customer";
    "DLQ-REDRIVE" redrive_starts_anew ["C8.9"] needs []
        "Redrive puts a message back whole, with attempts at 1, and at most so often";
        "a repaired message is given up at once, or goes round for ever";
    "RDR-DEDUP" a_redrive_is_no_duplicate ["C8.10"] needs []
        "Rejected, redriven and rejected again, a message arrives each time";
        "a broker that removes duplicates swallows redriven messages";
    "DLQ-NONE" drops_are_events ["C8.6"] needs []
        "Where dead letters are discarded, each is an event with its reason";
        "messages disappear at a limit without a trace";
    "TGT-GONE" a_missing_target_delays_nobody_else ["C8.7"] needs [Control(HarmKind::Delete)]
        "A dead-letter channel that is gone delays no other channel";
        "deleting one queue stops the retries of every other";
}

async fn the_last_attempt_dead_letters(scene: Scene) -> Held {
    for max in [1, 3] {
        let place = scene.place()?;
        let sender = scene.publisher(&place).await?;
        let retry = Retry::fixed(Duration::from_millis(50)).jitter(0.0).attempts(max);
        let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
        sender.put(sender.drafts(4, &[])).await?;
        let mut failures = 0;
        while let Some(taken) = reader.next_within(scene.timings().quiet() / 4).await? {
            failures += 1;
            hold!(failures <= max * 20, "missed-dlq", "4 messages with {max} attempts failed {failures} times");
            let _ = taken.retry();
        }
        let expected = max * 4;
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

async fn redrive_starts_anew(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let published = sender.draft(Some("k")).with_header("tenant", "acme");
    sender.put(vec![published.clone()]).await?;
    let reader = scene.consumer(&place).await?;
    let broker = scene.broker();
    with_channel!(scene, &place, pontoon::Raw, |channel| {
        let dead = broker.dead_letters(channel).await?;
        for life in 0..=u32::from(MAX_REDRIVES) {
            let taken = reader.next().await?;
            let (attempt, hops) = (taken.attempt(), taken.message().history().hops);
            let same = taken.message().body == published.body && taken.message().headers == published.headers;
            hold!(same, "corrupt", "life {life}: a redriven message is not what was published");
            hold!(attempt.is_first(), "redrive-keeps-count", "life {life} begins with attempt {attempt}");
            hold!(u32::from(hops) == life, "redrive-keeps-count", "life {life} says {hops} hops");
            let _ = taken.reject();
            scene.until("a dead letter", || scene.events().of(EventKind::DeadLettered).len() as u32 > life).await?;
            let report = scene.in_time("redrive", dead.redrive_all()).await??;
            let last = life == u32::from(MAX_REDRIVES);
            let expected = if last { (0, 1) } else { (1, 0) };
            let found = (report.redriven, report.exhausted);
            hold!(found == expected, "redrive-endless", "after {life} redrives: {report}");
            if !last {
                scene.redriven(&place, &published.id)?;
            }
        }
    });
    Ok(())
}

async fn a_redrive_is_no_duplicate(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let id = sender.put_one(None).await?;
    let broker = scene.broker();
    with_channel!(scene, &place, pontoon::Raw, |channel| {
        let dead = broker.dead_letters(channel).await?;
        for life in 0..3 {
            let taken = reader.next_within(scene.timings().quiet()).await?;
            let Some(taken) = taken else {
                return Err(Broken::new("redrive-lost", format!("{id} was redriven {life} times and did not arrive")));
            };
            let _ = taken.reject();
            scene.until("a dead letter", || scene.events().of(EventKind::DeadLettered).len() > life).await?;
            let _ = scene.in_time("redrive", dead.redrive_all()).await??;
            scene.redriven(&place, &id)?;
        }
    });
    reader.ack_rest().await?;
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
