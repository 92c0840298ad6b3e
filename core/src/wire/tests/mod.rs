//! The wire mapping against a broker that is played by a list or a table of headers.

mod properties;
mod rules;

use std::collections::BTreeMap;

use super::*;
use crate::{HeaderValue, Message};

/// A header as a broker holds it.
type Held = (Vec<u8>, HeaderValue);

const FORMS: [(&str, Form); 4] = [
    ("text list", Form::TEXT_LIST),
    ("typed list", Form::TYPED_LIST),
    ("typed table", Form::TYPED_TABLE),
    ("text table", Form::TEXT_TABLE),
];

/// Writes as a broker of this form would hold it: bytes where there are no types, sorted where there is no order.
fn written(message: &Message, form: &Form, native: &Native) -> Vec<Held> {
    let mut held = Vec::new();
    write(message, form, native, |name, value| {
        let mut bytes = Vec::new();
        name.append_to(&mut bytes);
        assert_eq!(bytes, name.to_string().into_bytes());
        let value = if form.typed {
            value.to_header()
        } else {
            Value::Bytes(value.as_bytes().expect("a broker without types is handed bytes only")).to_header()
        };
        held.push((bytes, value));
    });
    if form.list {
        return held;
    }
    let count = held.len();
    let table: BTreeMap<Vec<u8>, HeaderValue> = held.into_iter().collect();
    assert_eq!(table.len(), count, "names of a table differ");
    table.into_iter().collect()
}

/// Reads what a broker holds into a message of this body and these native fields.
fn read_held(start: Message, form: &Form, held: &[Held]) -> Read {
    read(start, form, held.iter().map(|(name, value)| (name.as_slice(), Value::of(value))))
}

/// The names that a broker holds.
fn names(held: &[Held]) -> Vec<String> {
    held.iter().map(|(name, _)| String::from_utf8(name.clone()).expect("we write UTF-8")).collect()
}

/// There and back, with nothing in native fields.
fn there_and_back(message: &Message, form: &Form) -> Read {
    read_held(Message::new(message.body.clone()), form, &written(message, form, &Native::NONE))
}

/// The part of a message that travels in native fields.
fn natively(message: &Message, native: &Native) -> Message {
    let mut carried = Message::new(message.body.clone());
    if native.id {
        carried.id = message.id.clone();
    }
    if native.type_name {
        carried.type_name = message.type_name.clone();
    }
    if native.key {
        carried.key = message.key.clone();
    }
    if native.content_type {
        carried.content_type = message.content_type.clone();
    }
    if native.timestamp {
        carried.timestamp_ms = message.timestamp_ms;
    }
    if native.correlation {
        carried = message.correlation().into_iter().fold(carried, Message::with_correlation);
    }
    if native.reply_to {
        carried = message.reply_to().into_iter().fold(carried, Message::with_reply_to);
    }
    if native.ttl {
        carried = message.ttl().into_iter().fold(carried, Message::with_ttl);
    }
    if native.delay {
        carried = message.delay().into_iter().fold(carried, Message::with_delay);
    }
    if native.priority {
        carried = message.priority().into_iter().fold(carried, Message::with_priority);
    }
    carried
}

/// Everything of a message, to compare. Floats by their bits, so that a NaN equals itself.
fn everything(message: &Message) -> String {
    let headers: Vec<String> = message
        .headers
        .iter()
        .map(|(name, value)| match value {
            HeaderValue::Float(number) if number.is_nan() => format!("{name:?}=NaN"),
            HeaderValue::Float(number) => format!("{name:?}=float {:x}", number.to_bits()),
            other => format!("{name:?}={other:?}"),
        })
        .collect();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {headers:?}",
        message.id,
        message.type_name,
        message.key,
        message.body,
        message.content_type,
        message.timestamp_ms,
        message.correlation(),
        message.causation(),
        message.reply_to(),
        message.ttl(),
        message.delay(),
        message.priority(),
        message.history(),
    )
}
