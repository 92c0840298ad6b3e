//! Channels, and what a transport says of itself.

use pontoon_core::Capability::{self, Depth, Purge};
use pontoon_core::driver::{Ensure, Settled, Transport};
use pontoon_core::engine::{Consumer, ConsumerOptions, Environment};
use pontoon_core::{
    Channel, ChannelKind, ChannelName, DeadLetterPolicy, Delay, DeliveryGuarantee, ErrorKind, Level, Order, Retry,
};
use std::time::Duration;

use super::Need::Has;
use crate::scene::{Broken, Held, Place, Scene, hold, refused};

checks! {
    "TOP-TWICE" declaring_twice_is_fine ["F1", "F2"] needs []
        "Declaring a channel again changes nothing, whatever it holds";
        "starting a second worker fails, or empties the queue";
    "TOP-CONFLICT" other_facts_are_refused ["F2"] needs []
        "Declaring a channel with other facts is a typed error that names the field, and its messages stay";
        "two programs believe different things of one queue, or one deletes it";
    "TOP-NAMES" look_alikes_are_apart ["C3.3", "W1", "W2"] needs []
        "Names that look alike are different channels, and no key or type leads elsewhere";
        "messages of `shop.eu` arrive in `shop-eu`";
    "PRG-READY" a_purge_spares_what_is_out ["C9.9"] needs [Has(Purge)]
        "A purge removes what is ready, nothing that is in flight, and says how many went";
        "emptying a queue makes running handlers fail";
    "INS-DEPTH" the_depth_is_true ["C9.8"] needs [Has(Depth)]
        "The depth tells ready, delayed and in-flight messages apart";
        "an autoscaler starts workers for messages that are being handled";
    "INS-HONEST" absent_is_refused ["C9.3", "C9.4", "C9.5", "C1.18"] needs []
        "What is declared absent is refused by name, and what is declared is there";
        "a priority, a delay or a guarantee is silently ignored";
}

async fn declaring_twice_is_fine(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    sender.put(sender.drafts(10, &["a"])).await?;
    let mut ensure = Ensure::new(place.channel.clone());
    ensure.subscriptions.extend(place.subscription.clone());
    for time in 1..=50 {
        let again = scene.transport().ensure(&ensure).await;
        hold!(again.is_ok(), "redeclare-refused", "declaring the same channel for the {time}. time: {again:?}");
    }
    let rest = scene.consumer(&place).await?.ack_all(10).await?;
    hold!(rest == 10, "lost-confirmed", "the channel held 10 messages, and {rest} after it was declared again");
    Ok(())
}

async fn other_facts_are_refused(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    sender.put(sender.drafts(5, &["a"])).await?;
    let mut ordered = place.channel.clone();
    ordered.order = Order::FallBehind;
    let mut other_kind = place.channel.clone();
    other_kind.kind = if scene.is_topic() { ChannelKind::Queue } else { ChannelKind::Topic };
    let mut other_dead = place.channel.clone();
    other_dead.dead_letter = DeadLetterPolicy::To(ChannelName::new(format!("{}.else", place.channel.name))?);
    for (channel, field) in [(ordered, "order"), (other_kind, "kind"), (other_dead, "dead")] {
        let declared = scene.transport().ensure(&Ensure::new(channel)).await;
        let error = refused(declared, ErrorKind::Conflict, "conflict-accepted", &format!("another {field}"))?;
        let words = error.to_string();
        hold!(words.contains(field), "unclear-error", "the error does not name the field `{field}`: {words}");
    }
    let rest = scene.consumer(&place).await?.ack_all(5).await?;
    hold!(rest == 5, "lost-confirmed", "the channel held 5 messages, and {rest} after others tried to change it");
    Ok(())
}

async fn look_alikes_are_apart(scene: Scene) -> Held {
    let base = scene.place()?.channel.name.as_str().replace('.', "-");
    let mut all = Vec::new();
    for suffix in ["a.b", "a-b", "a_b", "A.b", "ab", "a.b.c", "a-b-c"] {
        let place = Place::new(scene.profile().kind, &format!("{base}.{suffix}"))?;
        all.push((scene.publisher(&place).await?, scene.consumer(&place).await?, suffix));
    }
    for (round, key) in ["{k}", "a:b", "a/b", "nul\0", "*", "#", ".."].into_iter().enumerate() {
        // In turns, so that a broker that deals out in turns cannot keep apart what it took for one.
        all.rotate_left(round % 3);
        for (sender, ..) in &all {
            sender.put(vec![sender.draft(Some(key)).with_type("a/b:{c}*")]).await?;
        }
    }
    for (_, reader, suffix) in &all {
        let mut seen = 0;
        while let Some(taken) = reader.next_of(seen, 7).await? {
            seen += 1;
            let _ = taken.ack();
        }
        hold!(seen == 7, "phantom", "7 messages were published to `…{suffix}`, {seen} arrived there");
    }
    for bad in ["", "a..b", "a b", "-a", "a\0", "a/b", "ä"] {
        let name = Channel::queue(bad.to_owned());
        refused(name, ErrorKind::InvalidName, "accepted-invalid", &format!("the name {bad:?}"))?;
    }
    Ok(())
}

async fn a_purge_spares_what_is_out(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.prefetch = 3).await?;
    sender.put(sender.drafts(20, &["a", "b", "c"])).await?;
    let held = reader.take(3).await?;
    let Some(purge) = scene.transport().extensions().purge else {
        return Err(Broken::new(
            "lying-capability",
            "purge is declared, and the transport offers no way to ask for it",
        ));
    };
    let gone = purge.purge(&place.source()?).await?;
    scene.purged(&place, gone)?;
    hold!(gone == 17, "purge-count", "17 of 20 messages were ready, the purge says that {gone} went");
    for taken in held {
        let (id, answer) = (taken.id(), taken.ack());
        hold!(answer == Settled::Recorded, "purged-in-flight", "{id} was being handled; its ack was {answer:?}");
    }
    let late = reader.flush().await?;
    hold!(late.stale == 0, "purged-in-flight", "messages that were being handled are gone: {late:?}");
    reader.nothing(scene.timings().quiet() / 4, "purge-count").await
}

async fn the_depth_is_true(scene: Scene) -> Held {
    let place = scene.place()?;
    let sender = scene.publisher(&place).await?;
    let reader = scene.consumer_with(&place, |options| options.prefetch = 4).await?;
    sender.put(sender.drafts(15, &["a", "b", "c", "d"])).await?;
    let held = reader.take(4).await?;
    let delays = scene.capabilities()?.level(Capability::PublishDelay) > Level::Absent;
    if delays {
        let later = |_| sender.draft(None).with_delay(Delay::For(Duration::from_secs(3)));
        sender.put((0..2).map(later).collect()).await?;
    }
    let depth = scene.depth(&place).await?;
    let most = if depth.exact { 0 } else { 4 };
    let near = |found: u64, truth: u64| found.abs_diff(truth) <= most;
    hold!(near(depth.ready, 11), "depth", "11 messages are ready: {depth:?}");
    hold!(depth.in_flight.is_none_or(|out| near(out, 4)), "depth", "4 messages are in flight: {depth:?}");
    let delayed = if delays { 2 } else { 0 };
    hold!(depth.delayed.is_none_or(|held| near(held, delayed)), "depth", "{delayed} messages are delayed: {depth:?}");
    for taken in held {
        let _ = taken.ack();
    }
    reader.ack_rest().await?;
    Ok(())
}

/// Opens a consumer and says how that ended.
async fn open(scene: &Scene, place: &Place, options: ConsumerOptions) -> pontoon_core::Result<()> {
    let consumer = Consumer::open(scene.transport(), place.source()?, options, &Environment::new()).await?;
    let _ = consumer.drain(Duration::from_secs(5)).await;
    Ok(())
}

async fn absent_is_refused(scene: Scene) -> Held {
    scene.judge(|judgement| judgement.none = true);
    let plain = scene.place()?;
    let mut at_most_once = scene.place()?;
    at_most_once.channel.dead_letter = DeadLetterPolicy::Undeclared;
    let ordered = scene.place()?.ordered(Order::FallBehind);
    let mut once = ConsumerOptions::default();
    once.guarantee = DeliveryGuarantee::AtMostOnce;
    once.retry = Retry::never();
    let mut exactly = ConsumerOptions::default();
    exactly.guarantee = DeliveryGuarantee::ExactlyOnce;
    agrees(&scene, &at_most_once, Capability::AtMostOnce, open(&scene, &at_most_once, once).await)?;
    agrees(&scene, &ordered, Capability::OrderPerKey, open(&scene, &ordered, ConsumerOptions::default()).await)?;
    agrees(&scene, &plain, Capability::RetryDelay, open(&scene, &plain, ConsumerOptions::default()).await)?;
    refused(
        open(&scene, &plain, exactly).await,
        ErrorKind::Unsupported,
        "silently-weaker",
        "exactly once without an inbox",
    )?;
    for place in [scene.place()?, scene.place()?.ordered(Order::FallBehind)] {
        asks(&scene, &place).await?;
    }
    let extensions = scene.transport().extensions();
    for (capability, there) in [(Depth, extensions.depth.is_some()), (Purge, extensions.purge.is_some())] {
        let level = scene.capabilities()?.level(capability);
        hold!(
            (level > Level::Absent) == there,
            "lying-capability",
            "{capability} is {level}, and asking is possible: {there}"
        );
    }
    Ok(())
}

/// An opening succeeds exactly where what it needs is declared, and is refused by name elsewhere.
fn agrees(scene: &Scene, place: &Place, capability: Capability, opened: pontoon_core::Result<()>) -> Held {
    let level = scene.transport().capabilities(&place.channel).level(capability);
    if level >= Level::Emulated {
        return opened.map_err(|error| Broken::new("lying-capability", format!("{capability} is {level}: {error:?}")));
    }
    let what = format!("opening with a need for {capability}, which is {level}");
    let error = refused(opened, ErrorKind::Unsupported, "silently-weaker", &what)?;
    let named = error.context("capability") == Some(capability.as_str());
    hold!(named, "unclear-error", "the error does not name {capability}: {error}");
    Ok(())
}

/// What single messages ask for, on this channel.
async fn asks(scene: &Scene, place: &Place) -> Held {
    let level = |capability| scene.transport().capabilities(&place.channel).level(capability);
    if place.channel.order.is_ordered() && level(Capability::OrderPerKey) == Level::Absent {
        return Ok(());
    }
    let sender = scene.publisher(place).await?;
    let reader = scene.consumer(place).await?;
    let asking = [
        (Capability::Priority, sender.draft(None).with_priority(1)),
        (Capability::PublishDelay, sender.draft(None).with_delay(Delay::For(Duration::from_millis(100)))),
        (Capability::MessageTtl, sender.draft(None).with_ttl(Duration::from_secs(60))),
    ];
    for (capability, message) in asking {
        let outcome = scene.in_time("an outcome", sender.send(message)).await?;
        let declared = level(capability);
        if declared > Level::Absent {
            hold!(outcome.is_ok(), "lying-capability", "{capability} is {declared}: {outcome:?}");
            let _ = reader.next().await?.ack();
            continue;
        }
        let kind = outcome.as_ref().err().map(|error| error.error().kind());
        let named = outcome.as_ref().is_err_and(|error| error.error().to_string().contains(capability.as_str()));
        let refused = kind == Some(ErrorKind::Unsupported) && named;
        hold!(
            refused,
            "silently-weaker",
            "{capability} is absent, and a message that asks for it ended as {outcome:?}"
        );
    }
    sender.put_one(None).await?;
    let taken = reader.next().await?;
    let confirmed = scene.in_time("a confirmed ack", taken.ack_confirmed()).await?;
    let declared = level(Capability::AckConfirmed) > Level::Absent;
    hold!(declared == confirmed.is_ok(), "lying-capability", "ack confirmed declared: {declared}; used: {confirmed:?}");
    Ok(())
}
