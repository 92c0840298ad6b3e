//! Rule by rule.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{Bytes, DeadLetterInfo, ErrorKind, History, MAX_HEADERS, ReasonKind};

fn plain() -> Message {
    Message::new("body").with_id(crate::MessageId::from_u128(7 << 64))
}

/// A message without headers and history costs the version and what has no place of its own.
#[test]
fn a_plain_message_has_one_header_beside_native_fields() {
    let native = Native { id: true, key: true, timestamp: true, ..Native::NONE };
    let held = written(&plain().with_key("k"), &Form::TEXT_LIST, &native);
    assert_eq!(names(&held), ["pontoon-v"]);
    let mut packed = Vec::new();
    pack(&plain().with_key("k"), &native, &mut packed);
    assert_eq!(packed, [1]);
}

/// The version comes first, and tells whose message it is.
#[test]
fn everything_we_write_says_its_version() {
    for (form_name, form) in FORMS.into_iter().filter(|(_, form)| form.list) {
        let held = written(&plain().with_header("a", 1), &form, &Native::NONE);
        assert_eq!(names(&held)[0], "pontoon-v", "{form_name}");
    }
}

/// C7.14, W13: another version is a problem that says what to do, and keeps what came.
#[test]
fn another_version_is_told_and_its_headers_are_kept() {
    for version in [HeaderValue::Int(2), HeaderValue::from("2"), HeaderValue::from("x"), HeaderValue::Bool(true)] {
        let held =
            vec![(b"pontoon-v".to_vec(), version.clone()), (b"pontoon-failures".to_vec(), HeaderValue::from("9"))];
        let back = read_held(Message::new("body"), &Form::TYPED_LIST, &held);
        let problem = back.problem.expect("not ours to read");
        assert_eq!(problem.kind(), ErrorKind::Codec);
        assert!(problem.help().is_some());
        assert_eq!(back.message.history(), &History::default());
        assert_eq!(back.message.headers.get("pontoon-v"), Some(&version));
        assert_eq!(back.message.headers.get("pontoon-failures"), Some(&HeaderValue::from("9")));
    }
    assert!(unpack(Message::new("body"), &[2, 9, 9]).problem.is_some());
}

/// W8 without types: what a text cannot tell is told by the name, and everything else keeps its name.
#[test]
fn types_that_text_cannot_carry_are_in_the_name() {
    let message = plain()
        .with_header("s", "text")
        .with_header("raw", Bytes::from_static(b"\xff"))
        .with_header("b", Bytes::from_static(b"looks like text"))
        .with_header("i", -5)
        .with_header("f", 0.1)
        .with_header("t", true);
    let held = written(&message, &Form::TEXT_LIST, &Native { id: true, ..Native::NONE });
    assert_eq!(names(&held)[1..], ["s", "raw", "pontoon-b-b", "pontoon-i-i", "pontoon-f-f", "pontoon-t-t"]);
    assert_eq!(held[4].1, HeaderValue::Bytes(Bytes::from_static(b"-5")));
    assert_eq!(held[5].1, HeaderValue::Bytes(Bytes::from_static(b"1e-1")));
    assert_eq!(everything(&there_and_back(&message, &Form::TEXT_LIST).message), everything(&message));
}

/// W8 without order: names differ, and the order is written down only where it is not that of the names.
#[test]
fn a_table_keeps_order_and_repeats() {
    let sorted = plain().with_header("a", 1).with_header("a", "2").with_header("b", 3);
    let held = written(&sorted, &Form::TYPED_TABLE, &Native { id: true, ..Native::NONE });
    assert_eq!(names(&held), ["a", "b", "pontoon-h1-a", "pontoon-v"]);
    let mixed = plain().with_header("b", 1).with_header("a", 2).with_header("b", 3);
    for form in [Form::TYPED_TABLE, Form::TEXT_TABLE] {
        let held = written(&mixed, &form, &Native::NONE);
        assert!(names(&held).contains(&"pontoon-order".to_owned()));
        assert_eq!(everything(&there_and_back(&mixed, &form).message), everything(&mixed));
        assert_eq!(everything(&there_and_back(&sorted, &form).message), everything(&sorted));
    }
}

/// W8: an order that does not fit the headers is not followed, and none of them is lost.
#[test]
fn an_order_that_does_not_fit_is_ignored() {
    let mixed = plain().with_header("b", 1).with_header("a", 2);
    for wrong in ["", "0", "0,0", "0,1,2", "5,6", "x,y", "18446744073709551616,0"] {
        let mut held = written(&mixed, &Form::TYPED_TABLE, &Native::NONE);
        for (name, value) in &mut held {
            if name == b"pontoon-order" {
                *value = HeaderValue::from(wrong);
            }
        }
        let back = read_held(Message::new("body"), &Form::TYPED_TABLE, &held);
        let found: Vec<String> = back.message.headers.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(found, ["a", "b"], "{wrong:?}");
        assert!(back.problem.is_none());
    }
}

/// W9: what the broker or we would interpret travels escaped and comes back as written.
#[test]
fn names_that_would_be_interpreted_travel_escaped() {
    let message = plain().with_header("CC", "q").with_header("x-other", "1").with_header("pontoon-hops", "9");
    for (form_name, form) in FORMS {
        let form = form.interpreting(|name| name == "CC");
        let held = written(&message, &form, &Native { id: true, ..Native::NONE });
        let found = names(&held);
        for name in ["pontoon-h-CC", "x-other", "pontoon-h-pontoon-hops"] {
            assert!(found.iter().any(|found| found == name), "{form_name}: {name} in {found:?}");
        }
        assert!(!found.iter().any(|name| name == "CC" || name == "pontoon-hops"), "{form_name}: {found:?}");
        assert_eq!(everything(&there_and_back(&message, &form).message), everything(&message), "{form_name}");
    }
}

/// W14: a user's header of any name, escapes included, changes no field.
#[test]
fn a_users_header_forges_nothing() {
    let fields = Control::ALL.iter().map(|control| control.name().to_owned());
    let escaped = Control::ALL
        .iter()
        .flat_map(|control| ["h", "i", "b", "h0", "h1"].map(|escape| format!("pontoon-{escape}-{}", control.name())));
    let others = ["pontoon-v", "pontoon-order", "pontoon-", "pontoon-h-", "pontoon--x"].map(str::to_owned);
    for name in fields.chain(escaped).chain(others) {
        for value in [HeaderValue::from("1"), HeaderValue::from(1), HeaderValue::from(true)] {
            let message = plain().with_header(&*name, value);
            for (form_name, form) in FORMS {
                let back = there_and_back(&message, &form);
                assert_eq!(everything(&back.message), everything(&message), "{form_name}: {name}");
                assert!(back.problem.is_none());
            }
        }
    }
}

/// W14: no name of a field can be taken for an escape, nor an escape for a field.
#[test]
fn fields_and_escapes_are_told_apart() {
    let mut numbers = std::collections::BTreeSet::new();
    for &control in Control::ALL {
        let suffix = control.name().strip_prefix(crate::RESERVED_PREFIX).expect("our prefix").as_bytes();
        assert!(escape::parse(suffix).is_none(), "{control:?}");
        assert_eq!(Control::from_suffix(suffix), Some(control));
        assert_eq!(Control::from_number(control as u8), Some(control));
        assert!(control as u8 != 0 && numbers.insert(control as u8));
    }
    assert!(escape::parse(b"v").is_none() && escape::parse(b"order").is_none());
    assert!(escape::parse(b"h01-x").is_none() && escape::parse(b"h9999999-x").is_none());
}

/// W11, W13: a packed field that ends in the middle, claims more than there is, or is of no known kind is a problem.
#[test]
fn a_torn_packed_field_is_a_problem() {
    let mut packed = Vec::new();
    pack(&Message::new("body").with_header("name", "value"), &Native::NONE, &mut packed);
    assert!(unpack(Message::new("body"), &packed).problem.is_none());
    for end in 2..packed.len() {
        let back = unpack(Message::new("body"), &packed[..end]);
        assert!(back.problem.is_some() && back.message.headers.is_empty(), "{end} of {}", packed.len());
    }
    let claims_much = [1, 2, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, b'x'];
    let no_number = [1, 8, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for wrong in [&claims_much[..], &no_number, &[1, 2, 99, 0]] {
        assert!(unpack(Message::new("body"), wrong).problem.is_some(), "{wrong:?}");
    }
    // A field of a later version 1 is left out.
    assert!(unpack(Message::new("body"), &[1, 200, 2, 4]).problem.is_none());
}

/// W12: a message of another program is delivered with all its headers, ours by name included.
#[test]
fn foreign_headers_are_the_users() {
    let held = vec![
        (b"trace".to_vec(), HeaderValue::Bytes(Bytes::from_static(b"1"))),
        (b"pontoon-failures".to_vec(), HeaderValue::Bytes(Bytes::from_static(b"7"))),
        (b"\xff\x00".to_vec(), HeaderValue::Bytes(Bytes::from_static(b"\xfe"))),
        (b"".to_vec(), HeaderValue::Bytes(Bytes::from_static(b"nameless"))),
    ];
    let back = read_held(Message::new("body").with_key("k"), &Form::TEXT_LIST, &held);
    assert!(back.problem.is_none());
    assert_eq!(back.message.key, Some("k".into()));
    assert_eq!(back.message.history(), &History::default());
    assert_eq!(back.message.headers.get("trace"), Some(&HeaderValue::from("1")));
    assert_eq!(back.message.headers.get("pontoon-failures"), Some(&HeaderValue::from("7")));
    assert_eq!(back.message.headers.get("\\xff\\x00"), Some(&HeaderValue::Bytes(Bytes::from_static(b"\xfe"))));
    assert_eq!(back.message.headers.get("\\"), Some(&HeaderValue::from("nameless")));
    assert!(unpack(Message::new("body"), b"").problem.is_none());
}

/// W13: a field that makes no sense is a problem that names it, and its header is kept.
#[test]
fn a_corrupt_field_is_named() {
    let cases: [(&str, HeaderValue); 9] = [
        ("pontoon-failures", HeaderValue::from(-1)),
        ("pontoon-failures", HeaderValue::from(1 << 40)),
        ("pontoon-failures", HeaderValue::from("many")),
        ("pontoon-hops", HeaderValue::from(256)),
        ("pontoon-priority", HeaderValue::from(256)),
        ("pontoon-ttl", HeaderValue::from(-1)),
        ("pontoon-maybe-duplicate", HeaderValue::from("perhaps")),
        ("pontoon-type", HeaderValue::Bytes(Bytes::from_static(b"\xff"))),
        ("pontoon-correlation", HeaderValue::from("x".repeat(1025))),
    ];
    for (name, value) in cases {
        let held = vec![(b"pontoon-v".to_vec(), HeaderValue::from(1)), (name.into(), value.clone())];
        let back = read_held(plain(), &Form::TYPED_LIST, &held);
        let problem = back.problem.unwrap_or_else(|| panic!("{name} = {value:?} makes no sense"));
        assert_eq!(problem.context("field"), Some(name));
        assert_eq!(back.message.headers.get(name), Some(&value));
        assert_eq!(back.message.id, plain().id);
    }
}

/// W4, W10, W13: a message that breaks a limit is a problem, and is cut down to what can be stored as a dead letter.
#[test]
fn what_breaks_a_limit_is_cut_down() {
    let held: Vec<Held> = (0..=MAX_HEADERS).map(|n| (format!("h{n}").into_bytes(), HeaderValue::from("v"))).collect();
    let back = read_held(plain(), &Form::TEXT_LIST, &held);
    assert!(back.problem.is_some());
    assert_eq!(back.message.headers.len(), MAX_HEADERS);

    let long = vec![(b"h".to_vec(), HeaderValue::from("v".repeat(crate::MAX_HEADER_BYTES)))];
    let start = plain().with_key("k").with_type("bad\ntype").with_correlation("fine").with_reply_to("not\0fine");
    let back = read_held(start, &Form::TEXT_LIST, &long);
    assert!(back.problem.expect("over the limit").context("limit").is_some());
    let message = back.message;
    message.validate().expect("cut down");
    assert_eq!((&message.body[..], message.key.clone()), (&b"body"[..], Some("k".into())));
    assert_eq!(message.correlation().map(|text| text.as_str()), Some("fine"));
    assert!(message.headers.is_empty() && message.type_name.is_empty() && message.reply_to().is_none());
}

/// C8.3: the facts of a dead letter, each under its name.
#[test]
fn dead_letter_facts_have_names() {
    let info = DeadLetterInfo {
        reason: Some(ReasonKind::MaxAttempts),
        error: Some("boom".into()),
        channel: Some("orders".into()),
        attempts: Some(crate::Attempt { at_least: 2, at_most: None }),
        ..DeadLetterInfo::unknown()
    };
    let history = History { dead_letter: Some(Arc::new(info)), hops: 1, ..History::default() };
    let held = written(&plain().with_history(history), &Form::TEXT_LIST, &Native { id: true, ..Native::NONE });
    let shown: Vec<String> = held
        .iter()
        .map(|(name, value)| match value {
            HeaderValue::Bytes(value) => format!("{}={}", name.escape_ascii(), value.escape_ascii()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "pontoon-v=1",
        "pontoon-hops=1",
        "pontoon-dead=max-attempts",
        "pontoon-dead-error=boom",
        "pontoon-dead-channel=orders",
        "pontoon-dead-attempts=2",
    ];
    assert_eq!(shown, expected);
}

/// What is written goes before the broker's own field: that may be the coarser of the two.
#[test]
fn a_written_field_goes_before_a_native_one() {
    let mut message = plain().with_ttl(Duration::from_micros(1_500));
    message.timestamp_ms = 1_234;
    let held = written(&message, &Form::TYPED_TABLE, &Native::NONE);
    let mut coarse = plain().with_ttl(Duration::from_millis(1));
    coarse.timestamp_ms = 1_000;
    let back = read_held(coarse, &Form::TYPED_TABLE, &held);
    assert_eq!((back.message.timestamp_ms, back.message.ttl()), (1_234, Some(Duration::from_micros(1_500))));
}

/// W8: a value of the broker's own type passes as it is where the broker knows the type, and is kept where not.
#[test]
fn native_values_are_kept() {
    let native = HeaderValue::Native { encoding: "amqp-table".into(), raw: Bytes::from_static(b"\x01\x02") };
    let message = plain().with_header("t", native.clone());
    let amqp = Form::TYPED_TABLE.carrying("amqp-table");
    let held = written(&message, &amqp, &Native { id: true, ..Native::NONE });
    assert!(held.contains(&(b"t".to_vec(), native)));
    for form in [amqp, Form::TYPED_TABLE, Form::TEXT_LIST] {
        assert_eq!(everything(&there_and_back(&message, &form).message), everything(&message));
    }
    let mut held = written(&message, &Form::TEXT_LIST, &Native::NONE);
    for lie in [&b""[..], b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x09amqp"] {
        held.last_mut().expect("the header").1 = HeaderValue::Bytes(Bytes::copy_from_slice(lie));
        assert!(read_held(plain(), &Form::TEXT_LIST, &held).problem.is_some(), "{lie:?}");
    }
}
