//! Shutting down.

use std::time::Duration;

use pontoon_core::driver::Transport;
use pontoon_core::engine::PublishError;
use pontoon_core::{Capability, ErrorKind, Level};
use tokio::time::Instant;

use crate::scene::{Broken, Held, Scene, hold};

checks! {
    "SHD-DRAIN" a_drain_leaves_nothing_open ["C10.1", "C10.4"] needs []
        "A drain lets running handlers settle, gives back the rest, and brings no duplicates afterwards";
        "every deployment handles some messages twice";
    "SHD-DEADLINE" a_drain_ends_by_its_deadline ["C10.2", "C10.3"] needs []
        "A drain returns by its deadline, names what it abandoned, and that comes again";
        "a stuck handler keeps the process from ending until it is killed";
    "SHD-FLUSH" every_publish_has_its_outcome ["C10.5"] needs []
        "When closing a publisher returns, every publish that was begun has its outcome";
        "the last messages before a shutdown are gone without a word";
    "SHD-AGAIN" closing_twice_is_fine ["C10.6"] needs []
        "Closing twice is fine, and using a closed handle is a typed error";
        "cleaning up after an error panics or hangs";
}

async fn a_drain_leaves_nothing_open(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.prefetch = 10).await?;
    sender.put(sender.drafts(30, &["a", "b"])).await?;
    let running = reader.next().await?;
    let handler = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        running.ack()
    });
    let report = reader.drain(Duration::from_secs(10)).await?;
    hold!(report.is_clean(), "not-drained", "a handler needs 600 ms, the drain had 10 s: {report}");
    hold!(handler.is_finished(), "not-drained", "the drain ended before the running handler");
    let answer = handler.await.map_err(|error| Broken::new("panic", error.to_string()))?;
    hold!(answer == pontoon_core::driver::Settled::Recorded, "not-drained", "the running handler's ack was {answer:?}");
    if scene.capabilities()?.level(Capability::Depth) > Level::Absent {
        let depth = scene.depth(&place).await?;
        hold!(depth.in_flight.unwrap_or(0) == 0, "open-lease", "after a clean drain: {depth:?}");
    }
    let again = scene.consumer(&place).await?;
    let rest = again.ack_all(29).await?;
    hold!(rest == 29, "unexplained-duplicate", "one of 30 was settled before the drain, {rest} came after it");
    Ok(())
}

async fn a_drain_ends_by_its_deadline(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put(sender.drafts(5, &[])).await?;
    let stuck = reader.next().await?;
    let within = Duration::from_secs(2);
    let began = Instant::now();
    let report = reader.drain(within).await?;
    let took = began.elapsed();
    let most = within + scene.timings().slack() * 4;
    hold!(took <= most, "late-drain", "a drain with a deadline of {within:?} took {took:?}");
    let named = report.abandoned == [stuck.id()];
    hold!(named, "unnamed", "{} was in a handler's hands at the deadline, the report says {report:?}", stuck.id());
    let id = stuck.id();
    let _ = stuck.forget();
    scene.killed_reader(&reader);
    let again = scene.consumer(&place).await?;
    let mut seen = Vec::new();
    while let Some(taken) = again.next_of(seen.len(), 5).await? {
        seen.push(taken.id());
        let _ = taken.ack();
    }
    hold!(seen.contains(&id) && seen.len() == 5, "lost-confirmed", "{id} was abandoned; afterwards came {seen:?}");
    Ok(())
}

async fn every_publish_has_its_outcome(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let mut pending = Vec::new();
    for _ in 0..300 {
        let outcome = scene.in_time("room", sender.enqueue(sender.draft(Some("flush")))).await??;
        pending.push(tokio::spawn(outcome));
    }
    let report = scene.in_time("closing a publisher", sender.close(Duration::from_secs(10))).await?;
    let stats = report.stats;
    hold!(stats.unresolved() == 0, "no-outcome", "closing returned with {} publishes unresolved", stats.unresolved());
    let mut confirmed = 0;
    for outcome in pending {
        let outcome = scene.in_time("an outcome", outcome).await?;
        confirmed += usize::from(outcome.map_err(|error| Broken::new("panic", error.to_string()))?.is_ok());
    }
    hold!(
        confirmed == 300,
        "needless-unknown",
        "nothing went wrong, and {confirmed} of 300 publishes are confirmed: {report}"
    );
    scene.consumer(&place).await?.ack_rest().await?;
    Ok(())
}

async fn closing_twice_is_fine(scene: Scene) -> Held {
    let place = scene.place()?;
    let connection = scene.connect().await?;
    let sender = scene.publisher_on(&connection, &place, |_| {}).await?;
    let reader = scene.consumer_on(&connection, &place, |_| {}).await?;
    sender.put(sender.drafts(3, &[])).await?;
    reader.ack(3).await?;
    for _ in 0..2 {
        let _ = reader.drain(Duration::from_secs(5)).await?;
        let _ = scene.in_time("closing a publisher", sender.close(Duration::from_secs(5))).await?;
    }
    let ended = reader.end().await?;
    hold!(ended.is_none(), "close-again", "a drained consumer ends with {ended:?}");
    match scene.in_time("a publish after closing", sender.publisher().publish(sender.draft(None))).await? {
        Err(PublishError::Rejected { error, .. }) if error.kind() == ErrorKind::Closed => {}
        other => {
            return Err(Broken::new("close-again", format!("publishing on a closed publisher ended as {other:?}")));
        }
    }
    for time in 1..=3 {
        let closed = scene.in_time("closing a connection", connection.close()).await?;
        hold!(closed.is_ok(), "close-again", "closing a connection for the {time}. time: {closed:?}");
    }
    let opened = connection.open_consumer(pontoon_core::driver::OpenConsumer::new(place.source()?, 1)).await;
    let kind = opened.as_ref().err().map(pontoon_core::Error::kind);
    hold!(kind == Some(ErrorKind::Closed), "close-again", "opening on a closed connection: {kind:?}, not Closed");
    Ok(())
}
