//! Delay, TTL, priority.

use std::time::{Duration, SystemTime};

use pontoon_core::Capability::{MessageTtl, Priority, PublishDelay, RetryDelay, SurvivesProcessCrash};
use pontoon_core::{Delay, EventKind, MAX_DURATION, ReasonKind, Retry};
use tokio::time::Instant;

use super::Need::{Control, Has};
use crate::harness::{Harm, HarmKind};
use crate::scene::{Held, Scene, hold};

checks! {
    "DLY-EARLY" never_early ["C7.13", "C2.5"] needs [Has(PublishDelay)]
        "A message with a delay is never delivered before it is due";
        "a reminder arrives before its time";
    "DLY-LATE" late_only_as_declared ["C9.5"] needs [Has(PublishDelay)]
        "Mixed delays are each kept: a short one does not wait behind a long one";
        "one message that is due next week holds up all that are due now";
    "DLY-MAX" beyond_the_longest_is_refused ["C1.18", "W4"] needs [Has(PublishDelay)]
        "A delay beyond the profile's limit is refused, never cut short";
        "a message for next month is delivered in 15 minutes";
    "DLY-RESTART" delays_survive_a_restart ["C2.5", "C9.2"]
        needs [Has(PublishDelay), Has(SurvivesProcessCrash), Control(HarmKind::Restart)]
        "Delayed messages survive a restart of the broker and come when they are due";
        "a deployment deletes every reminder";
    "DLY-BACKOFF" retries_follow_their_curve ["C7.13"] needs [Has(RetryDelay)]
        "Waits between attempts follow the handler's curve up to its cap";
        "retries hammer a service that is down";
    "TTL-DEAD" expired_is_not_delivered ["C7.16"] needs [Has(MessageTtl)]
        "A message that was not handed over within its TTL is not delivered any more";
        "a price of yesterday is acted on";
    "TTL-ACCOUNT" expiry_is_seen_once ["C7.16", "C8.4"] needs [Has(MessageTtl)]
        "Expiry is seen exactly once: as a dead letter, or as an event where these are discarded";
        "messages expire and nobody knows";
    "TTL-EDGE" impossible_ttls_are_refused ["W4"] needs [Has(MessageTtl)]
        "A TTL of zero or beyond 100 years is refused; the shortest and the longest are taken";
        "a TTL wraps around, and messages expire at once or never";
    "PRI-ORDER" higher_goes_first ["W4"] needs [Has(Priority)]
        "Of what waits, higher priorities are delivered first";
        "urgent messages wait behind bulk ones";
    "PRI-STARVE" low_is_served_in_the_end ["W4", "C2.3"] needs [Has(Priority)]
        "Low priorities are served when the higher ones are done, and never before them";
        "low priorities are forgotten, or take the place of the high ones";
}

async fn never_early(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let delays = [1_500, 40, 700, 5, 1_000, 250, 2_500];
    let messages = delays.map(|ms| sender.draft(None).with_delay(Delay::For(Duration::from_millis(ms)))).to_vec();
    sender.put(messages).await?;
    reader.ack_rest().await?;
    Ok(())
}

async fn late_only_as_declared(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let mut due = Vec::new();
    let mut messages = Vec::new();
    let now = Instant::now();
    for ms in [3_000, 200, 1_000, 50, 2_000, 400] {
        let delay = Duration::from_millis(ms);
        let message = sender.draft(None).with_delay(Delay::For(delay));
        due.push((message.id.clone(), now + delay));
        messages.push(message);
    }
    sender.put(messages).await?;
    let stored = now.elapsed();
    for _ in 0..due.len() {
        let taken = reader.next().await?;
        let late = due.iter().find(|(id, _)| *id == taken.id()).map(|(_, due)| due.elapsed());
        let most = stored + scene.timings().slack() * 4;
        hold!(late.is_some_and(|late| late <= most), "late", "{} came {late:?} after it was due", taken.id());
        let _ = taken.ack();
    }
    Ok(())
}

async fn beyond_the_longest_is_refused(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let longest = sender.capabilities().limits.max_delay.unwrap_or(MAX_DURATION).min(MAX_DURATION);
    let beyond = longest + Duration::from_secs(3_600);
    let refused = [Delay::For(beyond), Delay::Until(SystemTime::now() + beyond)];
    for delay in refused {
        let outcome = scene.in_time("an outcome", sender.send(sender.draft(None).with_delay(delay))).await?;
        let kind = outcome.as_ref().err().filter(|error| !error.is_unknown()).map(|error| error.error().kind());
        hold!(
            kind.is_some(),
            "accepted-invalid",
            "a delay of {delay:?} where the longest is {longest:?} ended as {outcome:?}"
        );
    }
    let reader = scene.consumer(&place).await?;
    let soon = Delay::Until(SystemTime::UNIX_EPOCH);
    sender.put(vec![sender.draft(None).with_delay(soon)]).await?;
    let taken = reader.next().await?;
    let _ = taken.ack();
    Ok(())
}

async fn delays_survive_a_restart(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let delays = [2_000, 4_000, 3_000, 6_000];
    let messages = delays.map(|ms| sender.draft(None).with_delay(Delay::For(Duration::from_millis(ms)))).to_vec();
    sender.put(messages).await?;
    scene.harm(Harm::Restart).await?;
    let mut seen = 0;
    while seen < delays.len() {
        let Some(taken) = reader.next_within(scene.timings().patience()).await? else { break };
        seen += 1;
        let _ = taken.ack();
    }
    reader.ack_rest().await?;
    Ok(())
}

async fn retries_follow_their_curve(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let retry = Retry::exponential(Duration::from_millis(200), Duration::from_millis(1_600)).jitter(0.2).attempts(7);
    let reader = scene.consumer_with(&place, |options| options.retry = retry).await?;
    sender.put_one(None).await?;
    let mut taken = reader.next().await?;
    for base in [200, 400, 800, 1_600, 1_600] {
        let failed = Instant::now();
        let _ = taken.retry();
        taken = reader.next().await?;
        let (gap, base) = (failed.elapsed(), Duration::from_millis(base));
        let (least, most) = (base.mul_f64(0.8), base.mul_f64(1.2) + scene.timings().slack() * 4);
        let least = least.saturating_sub(scene.timings().slack());
        hold!(gap >= least && gap <= most, "backoff", "a wait of {base:?} ± 20 % took {gap:?}");
    }
    let _ = taken.ack();
    Ok(())
}

async fn expired_is_not_delivered(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let ttl = Duration::from_millis(300);
    let short = sender.drafts(10, &[]).into_iter().map(|message| message.with_ttl(ttl)).collect();
    sender.put(short).await?;
    sender.put(sender.drafts(5, &[])).await?;
    scene.rest(ttl + Duration::from_secs(2) + scene.timings().slack()).await;
    let reader = scene.consumer(&place).await?;
    while let Some(taken) = reader.next_within(scene.timings().quiet() / 4).await? {
        let ttl = taken.message().ttl();
        hold!(ttl.is_none(), "expired-delivered", "{} was delivered although its TTL of {ttl:?} was over", taken.id());
        let _ = taken.ack();
    }
    Ok(())
}

async fn expiry_is_seen_once(scene: Scene) -> Held {
    for discarding in [false, true] {
        let place = if discarding { scene.place()?.discarding() } else { scene.place()? };
        let sender = scene.publisher(&place).await?;
        let mut ids = Vec::new();
        for _ in 0..5 {
            let message = sender.draft(None).with_ttl(Duration::from_millis(200));
            ids.push(message.id.clone());
            sender.put(vec![message]).await?;
        }
        scene.rest(Duration::from_millis(900) + scene.timings().slack()).await;
        let reader = scene.consumer(&place).await?;
        reader.nothing(scene.timings().quiet() / 4, "expired-delivered").await?;
        let kind = if discarding { EventKind::Dropped } else { EventKind::DeadLettered };
        let heard = scene.events().of(kind);
        for id in ids {
            let told = |event: &&crate::scene::Heard| {
                event.id.as_ref() == Some(&id) && event.reason == Some(ReasonKind::Expired)
            };
            let told = heard.iter().filter(told).count();
            hold!(told == 1, "expiry-unseen", "{id} expired, and that was told {told} times as {kind:?}");
        }
    }
    Ok(())
}

async fn impossible_ttls_are_refused(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    for ttl in [Duration::ZERO, MAX_DURATION + Duration::from_secs(1), Duration::MAX] {
        let outcome = scene.in_time("an outcome", sender.send(sender.draft(None).with_ttl(ttl))).await?;
        let refused = outcome.as_ref().is_err_and(|error| !error.is_unknown());
        hold!(refused, "accepted-invalid", "a TTL of {ttl:?} ended as {outcome:?}");
    }
    sender.put(vec![sender.draft(None).with_ttl(MAX_DURATION)]).await?;
    let taken = reader.next().await?;
    let _ = taken.ack();
    Ok(())
}

async fn higher_goes_first(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let mut random = scene.random();
    let count = sender.capabilities().limits.priorities.unwrap_or(10).min(10);
    let messages = (0..60).map(|_| sender.draft(None).with_priority(random.u16(0..count) as u8)).collect();
    sender.put(messages).await?;
    let reader = scene.consumer_with(&place, |options| options.prefetch = 1).await?;
    let mut last = u8::MAX;
    for at in 0..60 {
        let taken = reader.next().await?;
        let priority = taken.message().priority().unwrap_or(0);
        hold!(priority <= last, "priority-inversion", "delivery {at} has priority {priority}, after one of {last}");
        last = priority;
        let _ = taken.ack();
    }
    hold!(last < count as u8, "no-effect", "all priorities were the same");
    Ok(())
}

async fn low_is_served_in_the_end(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.prefetch = 1).await?;
    let top = (sender.capabilities().limits.priorities.unwrap_or(10).min(10) - 1) as u8;
    // One is in the consumer's hands already; all others are compared.
    sender.put(vec![sender.draft(None)]).await?;
    let first = reader.next().await?;
    sender.put((0..5).map(|_| sender.draft(None).with_priority(0)).collect()).await?;
    sender.put((0..30).map(|_| sender.draft(None).with_priority(top)).collect()).await?;
    let _ = first.ack();
    let (mut high, mut low) = (0, 0);
    while high + low < 35 {
        let taken = reader.next().await?;
        if taken.message().priority().unwrap_or(0) == 0 {
            low += 1;
            hold!(high >= 28, "priority-inversion", "a low one was served after {high} of 30 high ones");
        } else {
            high += 1;
        }
        let _ = taken.ack();
    }
    hold!((high, low) == (30, 5), "starved", "{high} of 30 high and {low} of 5 low ones were served");
    Ok(())
}
