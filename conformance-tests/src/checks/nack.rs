//! Release and retry.

use std::time::Duration;

use pontoon_core::Capability::UncountedRelease;
use pontoon_core::{Level, ReasonKind, Retry};
use tokio::time::Instant;

use crate::scene::{Held, Scene, hold};

checks! {
    "NAK-RETURN" what_is_given_back_returns ["C7.1"] needs []
        "A delivery that is retried or released comes again within a bounded time";
        "a failed message is never tried again";
    "NAK-ONE" siblings_stay ["C4.10"] needs []
        "Giving one delivery back leaves those beside it alone";
        "one failure makes everything in flight come twice";
    "NAK-KIND" releases_are_not_failures ["C7.4", "C7.7"] needs []
        "A release is no failure: only failures use up the attempts, and releases are uncounted where that is declared";
        "deployments and back-pressure send good messages to the dead-letter channel";
    "NAK-PACE" releases_are_paced ["C7.5"] needs []
        "Releases and drops of one message are paced, from 100 ms doubling to 5 s";
        "a message that nobody can handle now keeps a processor and the broker busy";
}

async fn what_is_given_back_returns(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put(sender.drafts(20, &["a", "b"])).await?;
    for (at, taken) in reader.take(20).await?.into_iter().enumerate() {
        let _ = match at % 3 {
            0 => taken.release(),
            1 => taken.retry(),
            _ => taken.retry_after(Duration::from_millis(50)),
        };
    }
    let again = reader.ack_all(20).await?;
    hold!(again == 20, "lost-confirmed", "20 deliveries were given back, {again} came again");
    Ok(())
}

async fn siblings_stay(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put(sender.drafts(5, &[])).await?;
    let mut held = reader.take(5).await?;
    let third = held.remove(2);
    let id = third.id();
    let _ = third.release();
    let again = reader.next().await?;
    let found = again.id();
    hold!(found == id, "unexplained-duplicate", "{id} was given back, {found} came again");
    let _ = again.ack();
    reader.nothing(scene.timings().quiet() / 4, "unexplained-duplicate").await?;
    for taken in held {
        let _ = taken.ack();
    }
    Ok(())
}

async fn releases_are_not_failures(scene: Scene) -> Held {
    const MAX: u32 = 3;
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene
        .consumer_with(&place, |options| {
            options.retry = Retry::fixed(Duration::from_millis(20)).jitter(0.0).attempts(MAX);
            options.release_pace.first = Duration::from_millis(10);
        })
        .await?;
    let uncounted = scene.capabilities()?.level(UncountedRelease) > Level::Absent;
    sender.put_one(None).await?;
    for failures in 0..MAX {
        for releases in 0..3 {
            let taken = reader.next().await?;
            let attempt = taken.attempt();
            hold!(
                attempt.at_least == failures + 1,
                "release-counted",
                "{failures} failures and {releases} more releases make this attempt {attempt}"
            );
            let most = attempt.at_most.is_none_or(|most| !uncounted || most == failures + 1);
            hold!(most, "release-counted", "uncounted release is declared, and this attempt is {attempt}");
            let _ = taken.release();
        }
        let _ = reader.next().await?.retry();
    }
    reader.nothing(scene.timings().quiet() / 4, "missed-dlq").await?;
    let dead = scene.events().of(pontoon_core::EventKind::DeadLettered);
    let reasons: Vec<_> = dead.iter().map(|heard| heard.reason).collect();
    hold!(reasons == [Some(ReasonKind::MaxAttempts)], "missed-dlq", "after {MAX} failures: dead letters {reasons:?}");
    Ok(())
}

async fn releases_are_paced(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put_one(None).await?;
    let slack = scene.timings().slack();
    let mut taken = reader.next().await?;
    for (at, least) in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000].into_iter().enumerate() {
        let least = Duration::from_millis(least);
        let given_back = Instant::now();
        if at % 2 == 0 {
            let _ = taken.release();
        } else {
            drop(taken);
        }
        taken = reader.next().await?;
        let gap = given_back.elapsed();
        hold!(gap + slack >= least, "hot-loop", "release {} came again after {gap:?}, before {least:?}", at + 1);
        hold!(gap <= least + slack * 10, "late", "release {} came again only after {gap:?}, not {least:?}", at + 1);
    }
    let _ = taken.ack();
    Ok(())
}
