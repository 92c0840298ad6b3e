//! What the parts of a channel are called at the broker. By the naming rule no channel's name holds `--`.

use pontoon_core::{Channel, ChannelKind, Source};

/// What all channels share.
pub(crate) const DUE: &str = "pontoon--due";
/// Takes what is due for a target that is gone.
pub(crate) const UNDELIVERABLE: &str = "pontoon--undeliverable";
/// What names of delay buckets begin with; the milliseconds follow.
pub(crate) const DELAY: &str = "pontoon--delay-";

/// Between a topic and its subscription.
const SUBSCRIPTION: &str = "--sub-";
/// Between a queue and the number of its shard.
const SHARD: &str = "--shard-";

/// How many queues carry a channel, or each subscription of a topic.
pub(crate) fn shards(channel: &Channel) -> u16 {
    if channel.existing { 1 } else { channel.shards.unwrap_or(1) }
}

/// The exchange that records a channel's facts.
pub(crate) fn facts(channel: &Channel) -> String {
    format!("{}--facts", channel.name)
}

/// The queue of a channel, or of one subscription: for this shard. One of a topic that another program declared is a
/// queue of that name.
pub(crate) fn queue(channel: &Channel, subscription: Option<&str>, shard: u16) -> String {
    let name = channel.name.as_str();
    let whole = match subscription {
        Some(subscription) if channel.existing => subscription.to_owned(),
        Some(subscription) => format!("{name}{SUBSCRIPTION}{subscription}"),
        None => name.to_owned(),
    };
    if shards(channel) > 1 { format!("{whole}{SHARD}{shard}") } else { whole }
}

/// The queues that a consumer reads.
pub(crate) fn queues(source: &Source) -> Vec<String> {
    let subscription = source.subscription.as_ref().map(|subscription| subscription.name.as_str());
    (0..shards(&source.channel)).map(|shard| queue(&source.channel, subscription, shard)).collect()
}

/// The exchange through which the members of a source hear each other.
pub(crate) fn members(source: &Source) -> String {
    let name = &source.channel.name;
    match &source.subscription {
        Some(subscription) => format!("{name}{SUBSCRIPTION}{}--members", subscription.name),
        None => format!("{name}--members"),
    }
}

/// The key that leads to all subscriptions of a topic, in this shard.
pub(crate) fn topic_key(topic: &Channel, shard: u16) -> String {
    let name = &topic.name;
    if shards(topic) > 1 { format!("{name}--topic{SHARD}{shard}") } else { format!("{name}--topic") }
}

/// The channel and subscription that a queue belongs to.
pub(crate) fn owner(queue: &str) -> (&str, Option<&str>) {
    let whole = queue.split_once(SHARD).map_or(queue, |(whole, _)| whole);
    match whole.split_once(SUBSCRIPTION) {
        Some((topic, name)) => (topic, Some(name)),
        None => (whole, None),
    }
}

/// Which shard a message belongs to: all of one key to one of them. The hash is FNV-1a of 64 bits, so that any program
/// can find the shard; what has no key goes by its id.
pub(crate) fn shard(message: &pontoon_core::Message, shards: u16) -> u16 {
    if shards <= 1 {
        return 0;
    }
    let mut room = [0; 36];
    let bytes = match &message.key {
        Some(key) => key.as_bytes(),
        None => message.id.as_text(&mut room).as_bytes(),
    };
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    (hash % u64::from(shards)) as u16
}

/// Whether a channel goes through an exchange of its own.
pub(crate) fn is_topic(channel: &Channel) -> bool {
    channel.kind == ChannelKind::Topic
}

#[cfg(test)]
mod tests {
    use super::*;
    use pontoon_core::{Message, Order, Subscription};

    #[test]
    fn a_queue_leads_back_to_its_channel() {
        let mut topic = Channel::topic("shop.sales").unwrap();
        let read = |topic: &Channel| Source::new(topic.clone(), Some(Subscription::new("audit").unwrap())).unwrap();
        assert_eq!(queues(&read(&topic)), ["shop.sales--sub-audit"]);
        (topic.order, topic.shards) = (Order::FallBehind, Some(2));
        let queues = queues(&read(&topic));
        assert_eq!(queues, ["shop.sales--sub-audit--shard-0", "shop.sales--sub-audit--shard-1"]);
        assert_eq!(members(&read(&topic)), "shop.sales--sub-audit--members");
        assert_eq!(owner(&queues[1]), ("shop.sales", Some("audit")));
        assert_eq!(owner("shop.sales"), ("shop.sales", None));
        let other = Channel::existing("legacy", ChannelKind::Topic).unwrap();
        assert_eq!(queue(&other, Some("my queue"), 0), "my queue");
    }

    #[test]
    fn a_key_has_one_shard_and_shards_share() {
        // The published test vectors of FNV-1a: of "a" it is 0xaf63dc4c8601ec8c.
        assert_eq!(shard(&Message::new("").with_key("a"), 1000), (0xaf63_dc4c_8601_ec8c_u64 % 1000) as u16);
        let mut counts = [0; 8];
        for number in 0..8000 {
            counts[usize::from(shard(&Message::new("").with_key(format!("key-{number}")), 8))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
