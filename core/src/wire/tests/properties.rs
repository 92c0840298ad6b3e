//! Any message comes back as it was, and any input gives a message that can be published again.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::{Attempt, Bytes, DeadLetterInfo, Delay, History, MAX_DURATION, MAX_HEADERS, MessageId, ReasonKind, Text};

fn text() -> impl Strategy<Value = Text> {
    "[ -~äß€]{0,12}".prop_map(Text::from)
}

/// Names, with those that could be taken for ours among them, and few enough that they repeat.
fn header_name() -> impl Strategy<Value = Text> {
    let fields = proptest::sample::select(Control::ALL).prop_map(|control| control.name().to_owned());
    prop_oneof![
        3 => "[abX-]{1,3}",
        1 => fields,
        1 => "pontoon-[hbiftn]?[0-9]{0,2}-?[a-z]{0,3}",
        1 => proptest::sample::select(&["CC", "x-death", "pontoon-v", "pontoon-order", "Pontoon-v"][..])
            .prop_map(str::to_owned),
        1 => "[!-~äß€]{1,10}",
    ]
    .prop_map(Text::from)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![any::<Vec<u8>>().prop_map(Bytes::from), "[ -~]{0,8}".prop_map(Bytes::from)]
}

fn header_value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        "\\PC{0,8}".prop_map(HeaderValue::from),
        "[0-9]{1,3}|true|NaN".prop_map(HeaderValue::from),
        bytes().prop_map(HeaderValue::from),
        any::<i64>().prop_map(HeaderValue::from),
        any::<f64>().prop_map(HeaderValue::from),
        any::<u64>().prop_map(|bits| HeaderValue::from(f64::from_bits(bits))),
        any::<bool>().prop_map(HeaderValue::from),
        ("amqp|[a-zä]{0,5}", bytes())
            .prop_map(|(encoding, raw)| HeaderValue::Native { encoding: encoding.into(), raw }),
    ]
}

fn dead_letter() -> impl Strategy<Value = DeadLetterInfo> {
    let attempt = (any::<u32>(), any::<Option<u32>>()).prop_map(|(at_least, at_most)| Attempt { at_least, at_most });
    let when = || proptest::option::of(0..=i64::MAX as u64);
    (
        proptest::option::of(proptest::sample::select(&ReasonKind::ALL[..])),
        proptest::option::of(text()),
        proptest::option::of(text()),
        proptest::option::of(text()),
        proptest::option::of(attempt),
        when(),
        when(),
    )
        .prop_map(|(reason, error, channel, subscription, attempts, first_failure_ms, last_failure_ms)| {
            DeadLetterInfo { reason, error, channel, subscription, attempts, first_failure_ms, last_failure_ms }
        })
}

fn history() -> impl Strategy<Value = History> {
    (
        prop_oneof![Just(0), any::<u32>()],
        any::<Option<u32>>(),
        prop_oneof![Just(0), 0..=i64::MAX as u64],
        proptest::option::of(text()),
        any::<bool>(),
        any::<u8>(),
        proptest::option::of(dead_letter().prop_map(Arc::new)),
    )
        .prop_map(|(failures, deliveries, first_failure_ms, only_for, maybe_duplicate, hops, dead_letter)| {
            History { failures, deliveries, first_failure_ms, only_for, maybe_duplicate, hops, dead_letter }
        })
}

fn delay() -> impl Strategy<Value = Delay> {
    prop_oneof![
        (0..=MAX_DURATION.as_nanos() as u64).prop_map(|nanos| Delay::For(Duration::from_nanos(nanos))),
        any::<i64>().prop_map(|nanos| {
            let apart = Duration::from_nanos(nanos.unsigned_abs());
            Delay::Until(if nanos < 0 { UNIX_EPOCH - apart } else { UNIX_EPOCH + apart })
        }),
    ]
}

prop_compose! {
    fn message()(
        id in prop_oneof![
            Just(MessageId::UNSET),
            any::<u128>().prop_map(MessageId::from_u128),
            "[ -~]{1,40}".prop_map(MessageId::from),
        ],
        texts in (text(), text(), proptest::option::of(text()), proptest::option::of(text()), proptest::option::of(text())),
        key in proptest::option::of(bytes()),
        timestamp_ms in prop_oneof![Just(0), 0..=i64::MAX as u64],
        ttl in proptest::option::of(1..=MAX_DURATION.as_nanos() as u64),
        delay in proptest::option::of(delay()),
        priority in any::<Option<u8>>(),
        history in prop_oneof![Just(History::default()), history()],
        headers in proptest::collection::vec((header_name(), header_value()), 0..8),
        body in bytes(),
    ) -> Message {
        let (type_name, content_type, correlation, causation, reply_to) = texts;
        let mut message = Message::new(body).with_id(id).with_type(type_name).with_content_type(content_type);
        message.key = key.map(|key| key.as_ref().into());
        message.timestamp_ms = timestamp_ms;
        message = correlation.into_iter().fold(message, Message::with_correlation);
        message = causation.into_iter().fold(message, Message::with_causation);
        message = reply_to.into_iter().fold(message, Message::with_reply_to);
        message = ttl.map(Duration::from_nanos).into_iter().fold(message, Message::with_ttl);
        message = delay.into_iter().fold(message, Message::with_delay);
        message = priority.into_iter().fold(message, Message::with_priority);
        message = headers.into_iter().fold(message, |message, (name, value)| message.with_header(name, value));
        message.with_history(history)
    }
}

prop_compose! {
    fn native()(flags in any::<[bool; 10]>()) -> Native {
        let [id, type_name, key, content_type, correlation, reply_to, timestamp, ttl, delay, priority] = flags;
        Native { id, type_name, key, content_type, correlation, reply_to, timestamp, ttl, delay, priority }
    }
}

/// What another program, or somebody who means ill, could put there.
fn foreign() -> impl Strategy<Value = Vec<Held>> {
    let name = prop_oneof![
        4 => header_name().prop_map(|name| name.as_bytes().to_vec()),
        1 => any::<Vec<u8>>(),
    ];
    let value = prop_oneof![2 => header_value(), 1 => "-?[0-9]{1,25}|2,1,0|0".prop_map(HeaderValue::from)];
    proptest::collection::vec((name, value), 0..10)
}

/// A message that was read can be published again: else its dead letter could never be stored.
fn publishable(read: &Read) {
    read.message.validate().expect("what is read keeps the limits");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    /// W8, W9, W14: nothing is lost, whatever travels natively, in any form.
    #[test]
    fn headers_come_back(message in message(), native in native(), which in 0..FORMS.len()) {
        let form = FORMS[which].1.carrying("amqp").interpreting(|name| name == "CC" || name == "x-death");
        let held = written(&message, &form, &native);
        let back = read_held(natively(&message, &native), &form, &held);
        prop_assert!(back.problem.is_none(), "{:?}", back.problem);
        prop_assert_eq!(everything(&back.message), everything(&message));
        for name in names(&held) {
            prop_assert!(name != "CC" && name != "x-death", "{} would be interpreted", name);
        }
    }

    /// W8, W14: the same of the packed form.
    #[test]
    fn packed_comes_back(message in message(), native in native()) {
        let mut packed = Vec::new();
        pack(&message, &native, &mut packed);
        let back = unpack(natively(&message, &native), &packed);
        prop_assert!(back.problem.is_none(), "{:?}", back.problem);
        prop_assert_eq!(everything(&back.message), everything(&message));
    }

    /// W12, W13: any headers give a message, or a problem and a message.
    #[test]
    fn any_headers_give_a_message(held in foreign(), ours in any::<bool>(), which in 0..FORMS.len()) {
        let mut held = held;
        if ours {
            held.insert(0, (b"pontoon-v".to_vec(), HeaderValue::Int(1)));
        }
        let back = read_held(Message::new("body"), &FORMS[which].1, &held);
        publishable(&back);
        prop_assert_eq!(&back.message.body[..], b"body");
        if !held.iter().any(|(name, _)| name == b"pontoon-v") {
            // Nothing that another program wrote is taken for ours.
            prop_assert!(back.problem.is_none());
            prop_assert_eq!(back.message.history(), &History::default());
            prop_assert!(back.message.id.is_unset() && back.message.key.is_none());
            prop_assert_eq!(back.message.headers.len(), held.len());
        }
    }

    /// W11, W13: any bytes in the packed field give a message, and never more headers than a message may have.
    #[test]
    fn any_bytes_give_a_message(message in message(), noise in any::<Vec<u8>>(), at in any::<prop::sample::Index>(),
                                flip in 1..=255u8) {
        let mut packed = Vec::new();
        pack(&message, &Native::NONE, &mut packed);
        let at = at.index(packed.len());
        let mut damaged = packed.clone();
        damaged[at] ^= flip;
        let torn = &packed[..at];
        let mut noisy = vec![1];
        noisy.extend(noise);
        for bytes in [&damaged[..], torn, &noisy] {
            let back = unpack(Message::new(message.body.clone()), bytes);
            publishable(&back);
            prop_assert_eq!(&back.message.body, &message.body);
            prop_assert!(back.message.headers.len() <= MAX_HEADERS);
        }
    }
}
