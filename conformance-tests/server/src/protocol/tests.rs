//! What is written comes back, however it arrives; whatever arrives is read or refused.

use std::time::Duration;

use bytes::Bytes;
use pontoon_core::driver::Ensure;
use pontoon_core::{
    Channel, ChannelKind, ChannelName, DeadLetterPolicy, Error, ErrorKind, ErrorStatus, Message, Order, Retention,
    Spill, Start, Subscription,
};
use proptest::prelude::*;

use super::*;

fn duration() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,20}"
}

fn order() -> impl Strategy<Value = Order> {
    let spill = proptest::sample::select(&[Spill::DeadLetter, Spill::FallBehind][..]);
    let block = (any::<u32>(), duration(), spill).prop_map(|(max_blocked_keys, longest_wait, spill)| Order::Block {
        max_blocked_keys,
        longest_wait,
        spill,
    });
    prop_oneof![Just(Order::Unordered), Just(Order::FallBehind), block]
}

prop_compose! {
    fn ensure()(
        native in "[^\0]{1,60}",
        topic in any::<bool>(),
        order in order(),
        shards in proptest::option::of(1..=u16::MAX),
        dead_letter in prop_oneof![
            Just(DeadLetterPolicy::Undeclared),
            Just(DeadLetterPolicy::Discard),
            name().prop_map(|name| DeadLetterPolicy::To(ChannelName::new(name).expect("a name"))),
        ],
        retention in prop_oneof![Just(Retention::UntilSettled), duration().prop_map(Retention::For)],
        delivery_ceiling in any::<u32>(),
        existing in any::<bool>(),
        subscriptions in proptest::collection::vec((name(), any::<bool>()), 0..4),
    ) -> Ensure {
        let kind = if topic { ChannelKind::Topic } else { ChannelKind::Queue };
        let mut channel = Channel::existing(native, kind).expect("a native name");
        channel.order = order;
        channel.shards = shards;
        channel.dead_letter = dead_letter;
        channel.retention = retention;
        channel.delivery_ceiling = delivery_ceiling;
        channel.existing = existing;
        subscriptions.into_iter().fold(Ensure::new(channel), |ensure, (name, earliest)| {
            let mut subscription = Subscription::new(name).expect("a name");
            subscription.start = if earliest { Start::Earliest } else { Start::Latest };
            ensure.with_subscription(subscription)
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn facts_come_back(ensure in ensure()) {
        let mut written = Vec::new();
        put_ensure(&mut written, &ensure);
        let mut from = Take(written.into());
        let back = take_ensure(&mut from).expect("what was written");
        prop_assert!(from.is_empty());
        prop_assert_eq!(back.channel, ensure.channel);
        prop_assert_eq!(back.subscriptions, ensure.subscriptions);
    }

    #[test]
    fn errors_come_back(words in "\\PC{0,40}", help in proptest::option::of("\\PC{0,40}"), value in "\\PC{0,40}") {
        for status in [ErrorStatus::Permanent, ErrorStatus::Temporary, ErrorStatus::Unknown] {
            let mut error = Error::new(ErrorKind::Conflict, "ensure channel", words.clone()).with_status(status);
            error = error.with("field", &value).with("held", "x");
            if let Some(help) = &help {
                error = error.with_help(help.as_str());
            }
            let mut written = Vec::new();
            put_error(&mut written, &error);
            let back = take_error(&mut Take(written.into()), "ensure channel").expect("what was written");
            prop_assert_eq!(format!("{back:?}"), format!("{error:?}"));
            prop_assert_eq!(back.context("field"), Some(value.as_str()));
        }
    }

    /// Frames are the same in whatever pieces they arrive.
    #[test]
    fn frames_arrive_in_pieces(bodies in proptest::collection::vec(any::<Vec<u8>>(), 1..6), piece in 1..40usize) {
        let mut sent = Vec::new();
        for body in &bodies {
            frame::put(&mut sent, Kind::Publish, |to| put_message(to, &Message::new(body.clone())));
        }
        let mut frames = Frames::new(FRAME_OVERHEAD);
        let mut found = Vec::new();
        for piece in sent.chunks(piece) {
            frames.room().extend_from_slice(piece);
            while let Some((kind, mut frame)) = frames.next().expect("frames") {
                prop_assert_eq!(kind, Kind::Publish);
                found.push(take_message(&mut frame).expect("a message").message.body.to_vec());
            }
        }
        prop_assert!(!frames.is_torn());
        prop_assert_eq!(found, bodies);
    }

    /// Nothing that arrives makes a panic.
    #[test]
    fn noise_is_read_or_refused(noise in any::<Vec<u8>>()) {
        let take = || Take(Bytes::from(noise.clone()));
        let _ = take_ensure(&mut take());
        let _ = take_error(&mut take(), "read");
        let _ = take_message(&mut take());
        let _ = crate::hurt::take_hurt(&mut take());
        let mut frames = Frames::new(FRAME_OVERHEAD);
        frames.room().extend_from_slice(&noise);
        while let Ok(Some(_)) = frames.next() {}
    }
}
