//! Channel constants: what they declare, and what is refused before anything is sent.

use std::time::Duration;

use pontoon::{
    Carries, ChannelKind, DeadLetterPolicy, ErrorKind, Key, Order, Plain, Queue, Raw, Retention, Spill, Subscribed,
    Topic,
};

#[derive(serde::Serialize, serde::Deserialize)]
struct Flight {
    origin: String,
    number: u64,
}

const FLIGHTS: Queue<Flight> =
    Queue::new("flights").ordered_by(|f: &Flight| f.origin.as_str()).dead_letter("flights.dead");
const NUMBERED: Topic<Flight> = Topic::new("numbered")
    .fall_behind()
    .ordered_by_key(|f: &Flight| Key::from(f.number))
    .shards(4)
    .discard_failed()
    .retention(Duration::from_secs(60))
    .delivery_ceiling(20)
    .type_name("flight.v1");
const AUDIT: Subscribed<Flight> = NUMBERED.subscription("audit").from_earliest();

#[test]
fn constants_say_what_is_declared() {
    let channel = FLIGHTS.channel().unwrap();
    assert_eq!((channel.name.as_str(), channel.kind, channel.existing), ("flights", ChannelKind::Queue, false));
    assert_eq!(channel.order, Order::BLOCK);
    assert!(matches!(&channel.dead_letter, DeadLetterPolicy::To(name) if name.as_str() == "flights.dead"));
    assert_eq!((channel.shards, channel.retention, channel.delivery_ceiling), (None, Retention::UntilSettled, 100));

    let channel = NUMBERED.channel().unwrap();
    assert_eq!((channel.kind, channel.order), (ChannelKind::Topic, Order::FallBehind));
    assert_eq!(channel.shards, Some(4));
    assert_eq!(channel.dead_letter, DeadLetterPolicy::Discard);
    assert_eq!(channel.retention, Retention::For(Duration::from_secs(60)));
    assert_eq!(channel.delivery_ceiling, 20);
    assert_eq!(AUDIT.channel().unwrap(), channel, "publisher and consumer declare the same");
}

#[test]
fn a_profile_and_a_key_may_come_in_any_order() {
    let behind = Queue::<Raw>::new("a").ordered_by_key(|raw: &Raw| Key::new(raw)).fall_behind();
    assert_eq!(behind.channel().unwrap().order, Order::FallBehind);
    let block = Queue::<Raw>::new("a").block(5, Duration::from_secs(1), Spill::FallBehind).ordered();
    let expected = Order::Block { max_blocked_keys: 5, longest_wait: Duration::from_secs(1), spill: Spill::FallBehind };
    assert_eq!(block.channel().unwrap().order, expected);
    assert_eq!(Queue::<Raw>::new("a").channel().unwrap().order, Order::Unordered);
}

#[test]
fn type_names_are_stable_or_chosen() {
    assert_eq!(FLIGHTS.wire_type().as_str(), "Flight");
    assert_eq!(NUMBERED.wire_type().as_str(), "flight.v1");
    assert_eq!(AUDIT.wire_type().as_str(), "flight.v1");
    assert_eq!(Queue::<Raw>::new("a").wire_type().as_str(), "");
    assert_eq!(Queue::<String, Plain>::new("a").wire_type().as_str(), "String");
}

#[test]
fn several_types_share_one_channel() {
    const EVENTS: Queue<Raw> = Queue::new("events").ordered().dead_letter("events.dead");
    const FLIGHT: Queue<Flight> = EVENTS.carrying::<Flight>("flight").ordered_by(|f: &Flight| f.origin.as_str());
    assert_eq!(FLIGHT.channel().unwrap(), EVENTS.channel().unwrap());
    assert_eq!(FLIGHT.wire_type().as_str(), "flight");
}

#[test]
fn names_made_at_run_time_keep_the_facts() {
    let channel = FLIGHTS.named(format!("flights-{}", 7)).channel().unwrap();
    assert_eq!((channel.name.as_str(), channel.order), ("flights-7", Order::BLOCK));
    let audit = NUMBERED.named("other").subscription("audit");
    assert_eq!((audit.channel().unwrap().name.as_str(), audit.wire_type().as_str()), ("other", "flight.v1"));
}

#[test]
fn names_that_break_the_rule_are_typed_errors() {
    let long = "x".repeat(300);
    for name in ["", "..", "a/b", "a:b{c}", long.as_str()] {
        for error in [FLIGHTS.named(name).channel().unwrap_err(), NUMBERED.named(name).channel().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{name}");
            assert!(error.to_string().contains("1 to 60 ASCII letters"), "{error}");
        }
    }
    let error = NUMBERED.subscription("a/b").channel().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidName);
    let error = Queue::<Raw>::new("a").dead_letter("a/b").channel().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidName);
    assert!(Queue::<Raw>::existing("amq/odd name").channel().unwrap().existing);
}

#[test]
fn facts_that_contradict_each_other_are_refused() {
    for queue in [
        Queue::<Raw>::new("a").ordered(),
        Queue::<Raw>::new("a").shards(2),
        Queue::<Raw>::new("a").delivery_ceiling(0),
        Queue::<Raw>::new("a").dead_letter("a"),
        Queue::<Raw>::new("a").retention(Duration::ZERO),
    ] {
        assert_eq!(queue.channel().unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}
