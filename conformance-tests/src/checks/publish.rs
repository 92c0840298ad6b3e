//! Publishing: what an outcome is worth.

use std::collections::HashSet;

use pontoon_core::{BrokerId, PublishOutcome, Rejection};

use super::Need::{Control, Has};
use crate::harness::{Harm, HarmKind};
use crate::scene::{Held, RawProducer, Scene, hold};
use pontoon_core::Capability::SurvivesProcessCrash;

checks! {
    "PUB-CONFIRM" confirmed_is_seen ["C1.2", "C2.1"] needs []
        "Every confirmed message is handled, dead-lettered or still there";
        "messages vanish although the broker said that it has them";
    "PUB-PHANTOM" nothing_from_nowhere ["C3.1"] needs []
        "Nothing is delivered that nobody published";
        "a handler runs for an order that nobody placed";
    "PUB-REJECT" rejected_is_never_seen ["C1.3", "C1.4"] needs [Control(HarmKind::LoseReplies)]
        "What was rejected is never delivered";
        "the application publishes again what it was told is not there, and the message is handled twice";
    "PUB-UNROUTABLE" unroutable_is_told ["C1.5", "C1.14"] needs []
        "Publishing to a queue that is not there is refused, and its neighbours are confirmed; a topic without \
         subscriptions says what it knows";
        "messages are confirmed into nowhere, or good ones are reported as lost";
    "PUB-RECEIPT" receipts_name_messages ["C1.17"] needs []
        "Receipts of distinct messages are distinct and equal the broker id that the delivery shows";
        "a receipt in a log leads to another message, or to none";
    "PUB-EARLY" confirmed_survives ["C1.2", "C9.6"]
        needs [Has(SurvivesProcessCrash), Control(HarmKind::Restart)]
        "What was confirmed when the broker was killed is there after its restart";
        "messages confirmed just before a crash of the broker are gone";
    "PUB-DROP" a_dropped_publish_is_sent ["C1.12"] needs []
        "Dropping the future of an accepted publish neither unsends it nor holds up others";
        "a time-out around `publish` loses the message, or blocks the ones behind it";
}

async fn confirmed_is_seen(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    for _ in 0..3 {
        sender.put(sender.drafts(400, &["a", "b", "c"])).await?;
    }
    for _ in 0..20 {
        sender.put_one(None).await?;
    }
    // Not by count: what is lost must be found in the history, not by waiting for it.
    reader.ack_rest().await?;
    Ok(())
}

async fn nothing_from_nowhere(scene: Scene) -> Held {
    let (place, other) = (scene.place()?, scene.place()?);
    let sender = scene.publisher(&place).await?;
    let stranger = scene.publisher(&other).await?;
    let (reader, at_other) = (scene.consumer(&place).await?, scene.consumer(&other).await?);
    for _ in 0..5 {
        sender.put(sender.drafts(40, &["a", "b"])).await?;
        stranger.put(stranger.drafts(40, &["a", "b"])).await?;
    }
    reader.ack_rest().await?;
    at_other.ack_rest().await?;
    Ok(())
}

async fn rejected_is_never_seen(scene: Scene) -> Held {
    let place = scene.place()?;
    let reader = scene.consumer(&place).await?;
    let sender = scene.publisher_with(&place, |options| options.resend = false).await?;
    scene.harm(Harm::LoseReplies(20)).await?;
    let outcomes = scene.in_time("outcomes", sender.send_all(sender.drafts(60, &["a", "b", "c"]))).await?;
    let unresolved = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    hold!(
        unresolved >= 1,
        "no-effect",
        "20 replies were to be lost, and all {} publishes were confirmed",
        outcomes.len()
    );
    scene.heal().await?;
    reader.ack_rest().await?;
    Ok(())
}

async fn unroutable_is_told(scene: Scene) -> Held {
    scene.judge(|judgement| judgement.none = true);
    if scene.is_topic() {
        let mut place = scene.place()?;
        place.subscription = None;
        let sender = RawTopic::open(&scene, &place).await?;
        return sender.publish_to_nobody(&scene).await;
    }
    let (there, missing) = (scene.place()?, scene.place()?);
    let names = scene.publisher(&there).await?;
    let mut to_there = RawProducer::open(scene.transport(), &there.channel).await?;
    let mut to_nowhere = RawProducer::open(scene.transport(), &missing.channel).await?;
    for round in 0..10 {
        let lost = to_nowhere.publish(&scene, names.drafts(50, &[])).await?;
        let kept = to_there.publish(&scene, names.drafts(50, &[])).await?;
        for outcome in kept {
            let well = matches!(outcome, Some(PublishOutcome::Confirmed(_)));
            hold!(well, "routable-refused", "round {round}: a message to a queue that is there ended as {outcome:?}");
        }
        for outcome in lost {
            let told = matches!(outcome, Some(PublishOutcome::Rejected(Rejection::Refused(_))));
            hold!(told, "confirmed-unroutable", "round {round}: a message to no queue ended as {outcome:?}");
        }
    }
    Ok(())
}

struct RawTopic(RawProducer, crate::scene::Sender);

impl RawTopic {
    async fn open(scene: &Scene, place: &crate::scene::Place) -> Held<Self> {
        use pontoon_core::driver::{Ensure, Transport};
        scene.transport().ensure(&Ensure::new(place.channel.clone())).await?;
        let names = scene.publisher(&scene.place()?).await?;
        Ok(RawTopic(RawProducer::open(scene.transport(), &place.channel).await?, names))
    }

    async fn publish_to_nobody(mut self, scene: &Scene) -> Held {
        for outcome in self.0.publish(scene, self.1.drafts(50, &[])).await? {
            let Some(PublishOutcome::Confirmed(receipt)) = &outcome else {
                hold!(false, "routable-refused", "a topic without subscriptions answered {outcome:?}");
                continue;
            };
            let routed = receipt.routed;
            hold!(routed != Some(true), "confirmed-unroutable", "nobody subscribes, and the message was routed");
        }
        Ok(())
    }
}

async fn receipts_name_messages(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let drafts = sender.drafts(100, &["receipt"]);
    let ids: Vec<_> = drafts.iter().map(|message| message.id.clone()).collect();
    let receipts = sender.put(drafts).await?;
    let named: Vec<_> = receipts.iter().map(|r| &r.broker_id).filter(|id| **id != BrokerId::None).collect();
    let distinct: HashSet<_> = named.iter().collect();
    let (all, few) = (named.len(), distinct.len());
    hold!(all == few, "receipt-repeated", "{all} messages have {few} distinct receipts");
    for _ in 0..100 {
        let taken = reader.next().await?;
        let at = ids.iter().position(|id| *id == taken.id());
        let shown = taken.broker_id().unwrap_or_default();
        if let Some(told) = at.map(|at| &receipts[at].broker_id).filter(|told| **told != BrokerId::None) {
            let id = taken.id();
            hold!(*told == shown, "receipt-mismatch", "{id} was confirmed as {told} and is delivered as {shown}");
        }
        let _ = taken.ack();
    }
    Ok(())
}

async fn confirmed_survives(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let mut pending = Vec::new();
    for _ in 0..300 {
        pending.push(sender.enqueue(sender.draft(Some("early"))).await?);
    }
    let mut pending = pending.into_iter();
    if let Some(first) = pending.next() {
        scene.in_time("the first outcome", first).await??;
    }
    scene.harm(Harm::Restart).await?;
    for outcome in pending {
        // Whatever it is: the history is judged.
        let _ = scene.in_time("an outcome after the restart", outcome).await?;
    }
    let reader = scene.consumer(&place).await?;
    reader.ack_rest().await?;
    Ok(())
}

async fn a_dropped_publish_is_sent(scene: Scene) -> Held {
    let place = scene.place()?;
    let (sender, reader) = (scene.publisher(&place).await?, scene.consumer(&place).await?);
    let mut expected = HashSet::new();
    for at in 0..60 {
        let message = sender.draft(Some("k"));
        expected.insert(message.id.to_string());
        match at % 3 {
            0 => sender.drop_publish(message),
            1 => scene.in_time("room", sender.drop_outcome(message)).await??,
            _ => drop(scene.in_time("a publish behind dropped ones", sender.send(message)).await??),
        }
    }
    while let Some(taken) = reader.next_of(60 - expected.len(), 60).await? {
        expected.remove(&taken.id().to_string());
        let _ = taken.ack();
    }
    let missing = expected.len();
    hold!(
        missing == 0,
        "unsent",
        "{missing} of 60 accepted messages were not sent, such as {:?}",
        expected.iter().next()
    );
    Ok(())
}
