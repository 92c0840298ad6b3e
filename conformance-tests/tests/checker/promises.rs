//! What a profile, a channel and a policy promise together.

use pontoon_conformance::checker::{Attempts, Promises};
use pontoon_core::{Capabilities, Capability, Channel, ChannelName, DeadLetterPolicy, Level, Order, Retry};

fn of(order: Order, counts: bool, capabilities: &[Capability]) -> Promises {
    let mut channel = Channel::queue("work").unwrap();
    channel.order = order;
    channel.delivery_ceiling = 7;
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("dead").unwrap());
    let mut profile = Capabilities::new("profile");
    profile.behaviour.counts_failures = counts;
    for capability in capabilities {
        profile.set(*capability, Level::Native);
    }
    Promises::of(&channel, &profile, &Retry::never().attempts(3))
}

#[test]
fn facts_of_the_channel_and_the_policy() {
    let promises = of(Order::FallBehind, true, &[]);
    assert_eq!((promises.order, promises.max_attempts), (Order::FallBehind, Some(3)));
    assert_eq!(promises.delivery_ceiling, Some(7));
    assert_eq!(promises.dead_letters, Some("dead".into()));
    let mut discards = Channel::queue("work").unwrap();
    discards.dead_letter = DeadLetterPolicy::Discard;
    assert_eq!(Promises::of(&discards, &Capabilities::new("profile"), &Retry::DEFAULT).dead_letters, None);
}

#[test]
fn capabilities_of_the_profile() {
    let none = of(Order::Unordered, true, &[]);
    assert_eq!((none.stale_detection, none.durable), (false, false));
    assert!(of(Order::Unordered, true, &[Capability::StaleDetection]).stale_detection);
    assert!(of(Order::Unordered, true, &[Capability::SurvivesProcessCrash]).durable);
    assert!(none.copies_first && !of(Order::Unordered, true, &[Capability::AtomicReplace]).copies_first);
}

#[test]
fn attempts_are_as_exact_as_they_are_counted() {
    let counted = [Capability::AttemptCount];
    assert_eq!(of(Order::Unordered, true, &counted).attempts, Attempts::Exact);
    assert_eq!(of(Order::FallBehind, false, &counted).attempts, Attempts::Range);
    assert_eq!(of(Order::BLOCK, true, &counted).attempts, Attempts::Volatile);
    assert_eq!(of(Order::Unordered, true, &[]).attempts, Attempts::Volatile);
}
