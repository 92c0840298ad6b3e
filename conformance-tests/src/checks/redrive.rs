//! Redrive: dead letters go back to where they came from.

use pontoon::MAX_REDRIVES;
use pontoon_core::EventKind;

use crate::scene::{Broken, Held, Scene, hold, with_channel};

checks! {
    "DLQ-REDRIVE" redrive_starts_anew ["C8.9"] needs []
        "Redrive puts a message back whole, with attempts at 1, and at most so often";
        "a repaired message is given up at once, or goes round for ever";
    "RDR-DEDUP" a_redrive_is_no_duplicate ["C8.10"] needs []
        "Rejected, redriven and rejected again, a message arrives each time";
        "a broker that removes duplicates swallows redriven messages";
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
            let taken = reader.next_of(0, 1).await?;
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
