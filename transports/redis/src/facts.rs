//! The facts of a channel as they are stored beside it.

use pontoon_core::{Channel, ChannelKind, DeadLetterPolicy, Order, Retention, Spill};

/// How many there are.
pub(crate) const COUNT: usize = 6;

/// Names and values, in the order in which they are compared.
pub(crate) fn of(channel: &Channel) -> [(&'static str, String); COUNT] {
    let kind = match channel.kind {
        ChannelKind::Queue => "queue",
        ChannelKind::Topic => "topic",
    };
    let order = match channel.order {
        Order::Unordered => "unordered".to_owned(),
        Order::FallBehind => "fall-behind".to_owned(),
        Order::Block { max_blocked_keys, longest_wait, spill } => {
            let spill = match spill {
                Spill::DeadLetter => "dead-letter",
                Spill::FallBehind => "fall-behind",
            };
            format!("block {max_blocked_keys} keys {} ms {spill}", longest_wait.as_millis())
        }
    };
    let dead_letter = match &channel.dead_letter {
        DeadLetterPolicy::Undeclared => "undeclared".to_owned(),
        DeadLetterPolicy::Discard => "discard".to_owned(),
        DeadLetterPolicy::To(name) => format!("to {name}"),
    };
    let retention = match channel.retention {
        Retention::UntilSettled => "until settled".to_owned(),
        Retention::For(keep) => format!("{} ms", keep.as_millis()),
    };
    [
        ("kind", kind.to_owned()),
        ("order", order),
        ("shards", shards(channel).to_string()),
        ("dead_letter", dead_letter),
        ("retention", retention),
        ("delivery_ceiling", channel.delivery_ceiling.to_string()),
    ]
}

/// How many streams carry a channel.
pub(crate) fn shards(channel: &Channel) -> u16 {
    channel.shards.unwrap_or(1).max(1)
}

/// How long a message is kept, in milliseconds; 0 until it is settled.
pub(crate) fn retention_ms(channel: &Channel) -> u64 {
    match channel.retention {
        Retention::UntilSettled => 0,
        // Less than a millisecond is one.
        Retention::For(keep) => u64::try_from(keep.as_millis()).unwrap_or(u64::MAX).max(1),
    }
}

/// Whether these are the facts with which a channel's dead-letter channel is declared along with it.
pub(crate) fn are_implied(channel: &Channel) -> bool {
    let mut implied = channel.clone();
    implied.dead_letter = DeadLetterPolicy::To(channel.name.clone());
    implied.dead_letter_channel().is_some_and(|mut form| {
        form.existing = channel.existing;
        form == *channel
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_tells_channels_apart() {
        let plain = Channel::queue("q").unwrap();
        let changed: [fn(&mut Channel); COUNT] = [
            |channel| channel.kind = ChannelKind::Topic,
            |channel| channel.order = Order::BLOCK,
            |channel| channel.shards = Some(2),
            |channel| channel.dead_letter = DeadLetterPolicy::Discard,
            |channel| channel.retention = Retention::For(std::time::Duration::from_secs(1)),
            |channel| channel.delivery_ceiling = 7,
        ];
        for (at, change) in changed.into_iter().enumerate() {
            let mut other = plain.clone();
            change(&mut other);
            let differing: Vec<usize> = (0..COUNT).filter(|fact| of(&plain)[*fact].1 != of(&other)[*fact].1).collect();
            assert_eq!(differing, [at]);
        }
    }

    #[test]
    fn a_dead_letter_channel_is_known_by_its_facts() {
        let mut queue = Channel::queue("q").unwrap();
        queue.dead_letter = DeadLetterPolicy::To(pontoon_core::ChannelName::new("q.dead").unwrap());
        assert!(are_implied(&queue.dead_letter_channel().unwrap()));
        assert!(!are_implied(&queue));
    }
}
