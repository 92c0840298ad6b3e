//! Acknowledging: what is settled stays settled, and nothing else is.

use std::time::Duration;

use pontoon_core::Capability::AckConfirmed;
use pontoon_core::driver::{Disposition, Settled};

use super::Need::{Control, Has};
use crate::harness::{Harm, HarmKind};
use crate::scene::{Held, RawConsumer, Scene, hold};

checks! {
    "ACK-FINAL" acked_stays_acked ["C4.11"] needs []
        "What was acknowledged for good is not delivered again, not even after leases end or connections break";
        "handled messages come back days later";
    "ACK-SYNC" a_confirmed_ack_is_final ["C4.5"] needs [Has(AckConfirmed), Control(HarmKind::Cut)]
        "When `ack_confirmed` returns, the message is gone for good, whatever happens next";
        "a message that was certainly settled is handled again after a crash";
    "ACK-ISOLATE" acks_settle_only_themselves ["C4.10"] needs []
        "An ack settles its own delivery only, and none of those before it";
        "messages that were still being handled when a process crashed are gone";
    "ACK-STALE" the_second_settlement_is_stale ["C4.12"] needs []
        "At the driver seam a second settlement of one token is stale, and its siblings stay valid";
        "settling twice closes the connection or settles somebody else's message";
    "ACK-CROSS" old_tokens_settle_nothing ["C4.8"] needs []
        "A token of an earlier generation settles nothing";
        "a late ack after a reconnect removes a message that nobody handled";
    "ACK-DROP" dropped_deliveries_return ["C7.3"] needs []
        "A delivery that is dropped, or whose handler panics or is aborted, comes again";
        "a crash of a handler looks like success";
    "ACK-CANCEL" cancelled_calls_lose_nothing ["C2.1"] needs []
        "Cancelling a call for the next delivery loses nothing";
        "`select!` loops lose messages under load";
}

async fn acked_stays_acked(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    for _ in 0..5 {
        sender.put(sender.drafts(500, &["a", "b"])).await?;
        reader.ack(500).await?;
    }
    let _ = reader.flush().await?;
    if let Some(lease) = scene.lease().await? {
        scene.rest(lease + scene.timings().slack()).await;
    }
    if scene.control().offers(HarmKind::Restart)
        && scene.capabilities()?.has(pontoon_core::Capability::SurvivesProcessCrash)
    {
        scene.harm(Harm::Restart).await?;
    } else if scene.control().offers(HarmKind::Cut) {
        scene.harm(Harm::Cut).await?;
    }
    reader.nothing(scene.timings().quiet(), "acked-redelivered").await
}

async fn a_confirmed_ack_is_final(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    for _ in 0..10 {
        sender.put_one(None).await?;
        let taken = reader.next().await?;
        scene.in_time("a confirmed ack", taken.ack_confirmed()).await??;
        scene.harm(Harm::Cut).await?;
        reader.nothing(scene.timings().quiet() / 4, "acked-redelivered").await?;
    }
    Ok(())
}

async fn acks_settle_only_themselves(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let connection = scene.connect().await?;
    let crashes = scene.consumer_on(&connection, &place, |_| {}).await?;
    sender.put(sender.drafts(5, &["hole"])).await?;
    let mut held = crashes.take(5).await?;
    if let Some(last) = held.pop() {
        let _ = last.ack();
    }
    let _ = crashes.flush().await?;
    // The process dies: its connection is gone, and what it holds was not settled by anybody.
    crash(&scene, &connection, held).await?;
    let survivor = scene.consumer(&place).await?;
    let again = survivor.ack_all(4).await?;
    hold!(
        again == 4,
        "lost-confirmed",
        "one of five was acknowledged before the crash; {again} came again instead of 4"
    );
    Ok(())
}

/// Ends a consumer's process as far as the broker can tell: its connection is closed under it, with deliveries in hand.
pub(super) async fn crash(
    scene: &Scene,
    connection: &pontoon_core::driver::AnyTransport,
    held: Vec<crate::scene::Taken>,
) -> Held {
    use pontoon_core::driver::Transport;
    scene.killed(&held);
    scene.in_time("closing a connection", connection.close()).await??;
    for taken in held {
        drop(taken.forget());
    }
    Ok(())
}

async fn the_second_settlement_is_stale(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    sender.put(sender.drafts(3, &[])).await?;
    let mut consumer = RawConsumer::open(scene.transport(), &place, 1).await?;
    let got = consumer.take(&scene, 3).await?;
    let mut ack = |at: usize| consumer.settle(got[at].token, Disposition::Ack);
    let first = ack(1)?;
    hold!(first == Settled::Recorded, "sibling-disturbed", "the first ack of a valid token was {first:?}");
    let second = ack(1)?;
    hold!(second == Settled::Stale, "stale-accepted", "the second ack of one token was {second:?}");
    for at in [0, 2] {
        let sibling = ack(at)?;
        hold!(sibling == Settled::Recorded, "sibling-disturbed", "a sibling's token was {sibling:?}");
    }
    for what in [Disposition::Ack, Disposition::Release] {
        let again = consumer.settle(got[1].token, what)?;
        hold!(again == Settled::Stale, "stale-accepted", "{what:?} of a settled token was {again:?}");
    }
    let late = consumer.flush(&scene).await?;
    hold!(late.is_empty(), "sibling-disturbed", "acks of valid tokens did not become final: {late:?}");
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}

async fn old_tokens_settle_nothing(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    sender.put(sender.drafts(3, &[])).await?;
    let mut before = RawConsumer::open(scene.transport(), &place, 1).await?;
    let old = before.take(&scene, 3).await?;
    drop(before);
    let mut after = RawConsumer::open(scene.transport(), &place, 2).await?;
    let new = after.take(&scene, 3).await?;
    for incoming in &old {
        let crossed = after.settle(incoming.token, Disposition::Ack)?;
        hold!(crossed == Settled::Stale, "stale-accepted", "a token of the generation before was {crossed:?}");
    }
    for incoming in &new {
        let own = after.settle(incoming.token, Disposition::Ack)?;
        hold!(own == Settled::Recorded, "cross-settled", "an old token settled what a new lease holds: {own:?}");
    }
    let late = after.flush(&scene).await?;
    hold!(late.is_empty(), "cross-settled", "acks of valid tokens did not become final: {late:?}");
    scene.judge(|judgement| judgement.none = true);
    Ok(())
}

async fn dropped_deliveries_return(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    sender.put(sender.drafts(3, &[])).await?;
    drop(reader.next().await?);
    let taken = reader.next().await?;
    let aborted = tokio::spawn(async move {
        let _held = taken;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    aborted.abort();
    let taken = reader.next().await?;
    let panicked = tokio::task::spawn(async move {
        let _held = taken;
        std::panic::resume_unwind(Box::new("a handler panics"));
    });
    let _ = (aborted.await, panicked.await);
    let again = reader.ack_all(3).await?;
    hold!(again == 3, "lost-confirmed", "three handlers ended without settling; {again} of their messages came again");
    Ok(())
}

async fn cancelled_calls_lose_nothing(scene: Scene) -> Held {
    const MESSAGES: usize = 300;
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let publishing = tokio::spawn({
        let sender = sender.clone();
        async move {
            for _ in 0..MESSAGES / 10 {
                sender.put(sender.drafts(10, &["a", "b"])).await?;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            Held::Ok(())
        }
    });
    let mut handled = 0;
    for _ in 0..10_000 {
        match reader.cancelled()? {
            Some(taken) => {
                handled += 1;
                let _ = taken.ack();
            }
            None => tokio::time::sleep(Duration::from_micros(if handled < MESSAGES { 100 } else { 10 })).await,
        }
        if handled == MESSAGES {
            break;
        }
    }
    publishing.await.map_err(|error| crate::scene::Broken::new("panic", error.to_string()))??;
    handled += reader.ack_all(MESSAGES - handled).await?;
    hold!(handled == MESSAGES, "undelivered", "{handled} of {MESSAGES} messages were delivered over cancelled calls");
    Ok(())
}
