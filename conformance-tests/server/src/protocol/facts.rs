//! A channel's facts and subscriptions, in a frame or a record.

use std::time::Duration;

use pontoon_core::driver::Ensure;
use pontoon_core::{Channel, ChannelKind, ChannelName, DeadLetterPolicy, Order, Retention, Spill, Start, Subscription};

use super::{Malformed, Put, Take};

pub(crate) fn put_ensure(to: &mut Vec<u8>, ensure: &Ensure) {
    let channel = &ensure.channel;
    to.put_text(channel.name.as_str());
    to.push(u8::from(channel.kind == ChannelKind::Topic));
    match channel.order {
        Order::Unordered => to.push(0),
        Order::FallBehind => to.push(1),
        Order::Block { max_blocked_keys, longest_wait, spill } => {
            to.push(2);
            to.put_u32(max_blocked_keys);
            put_duration(to, longest_wait);
            to.push(u8::from(spill == Spill::FallBehind));
        }
    }
    to.put_u32(channel.shards.map_or(0, u32::from));
    match &channel.dead_letter {
        DeadLetterPolicy::Undeclared => to.push(0),
        DeadLetterPolicy::Discard => to.push(1),
        DeadLetterPolicy::To(name) => {
            to.push(2);
            to.put_text(name.as_str());
        }
    }
    match channel.retention {
        Retention::UntilSettled => to.push(0),
        Retention::For(keep) => {
            to.push(1);
            put_duration(to, keep);
        }
    }
    to.put_u32(channel.delivery_ceiling);
    to.push(u8::from(channel.existing));
    to.put_u32(ensure.subscriptions.len() as u32);
    for subscription in &ensure.subscriptions {
        to.put_text(subscription.name.as_str());
        to.push(u8::from(subscription.start == Start::Earliest));
    }
}

pub(crate) fn take_ensure(from: &mut Take) -> Result<Ensure, Malformed> {
    let name = from.text()?;
    let kind = if from.flag()? { ChannelKind::Topic } else { ChannelKind::Queue };
    let wrong = |_| Malformed("a name cannot be one");
    // A native name may be any that is not refused; whether it is declared as one is a fact of its own.
    let mut channel = Channel::existing(name, kind).map_err(wrong)?;
    channel.order = match from.u8()? {
        0 => Order::Unordered,
        1 => Order::FallBehind,
        2 => Order::Block {
            max_blocked_keys: from.u32()?,
            longest_wait: take_duration(from)?,
            spill: if from.flag()? { Spill::FallBehind } else { Spill::DeadLetter },
        },
        _ => return Err(Malformed("an order is unknown")),
    };
    channel.shards = match u16::try_from(from.u32()?) {
        Ok(0) => None,
        Ok(shards) => Some(shards),
        Err(_) => return Err(Malformed("a number of shards is too large")),
    };
    channel.dead_letter = match from.u8()? {
        0 => DeadLetterPolicy::Undeclared,
        1 => DeadLetterPolicy::Discard,
        2 => DeadLetterPolicy::To(ChannelName::native(from.text()?).map_err(wrong)?),
        _ => return Err(Malformed("a dead-letter policy is unknown")),
    };
    channel.retention = if from.flag()? { Retention::For(take_duration(from)?) } else { Retention::UntilSettled };
    channel.delivery_ceiling = from.u32()?;
    channel.existing = from.flag()?;
    let mut ensure = Ensure::new(channel);
    for _ in 0..from.u32()? {
        let mut subscription = Subscription::new(from.text()?).map_err(wrong)?;
        subscription.start = if from.flag()? { Start::Earliest } else { Start::Latest };
        ensure = ensure.with_subscription(subscription);
    }
    Ok(ensure)
}

fn put_duration(to: &mut Vec<u8>, duration: Duration) {
    to.put_u64(duration.as_secs());
    to.put_u32(duration.subsec_nanos());
}

fn take_duration(from: &mut Take) -> Result<Duration, Malformed> {
    let (seconds, nanos) = (from.u64()?, from.u32()?);
    if nanos >= 1_000_000_000 {
        return Err(Malformed("a duration has more than a second of nanoseconds"));
    }
    Ok(Duration::new(seconds, nanos))
}
