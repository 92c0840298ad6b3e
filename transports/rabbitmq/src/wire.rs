//! A message as AMQP carries it: properties where AMQP has them, headers for the rest.

use bytes::Bytes;
use hashbrown::HashMap;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use pontoon_core::wire::{self, Form, Native, Read, Value};
use pontoon_core::{Error, ErrorKind, Message, MessageId, Result};

use crate::deaths;
use crate::value::{self, ENCODING};

/// A table of typed values; the broker interprets these names, or writes them itself.
pub(crate) const FORM: Form = Form::TYPED_TABLE.carrying(ENCODING).interpreting(interprets);
/// What AMQP's short strings hold, in bytes.
const SHORT: usize = 255;
/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// How many deliveries before this one did not succeed.
pub(crate) const DELIVERY_COUNT: &str = "x-delivery-count";
const ACQUIRED_COUNT: &str = "x-acquired-count";

fn interprets(name: &str) -> bool {
    matches!(name, "CC" | "BCC" | "x-death" | DELIVERY_COUNT | ACQUIRED_COUNT | "x-delay" | "x-routes")
        || name.starts_with("x-first-death-")
        || name.starts_with("x-last-death-")
        || name.starts_with("x-received-from")
}

/// Properties and headers of a message.
///
/// # Errors
/// `InvalidHeader` for a name that AMQP cannot hold: more than 255 bytes.
pub(crate) fn properties(message: &Message) -> Result<BasicProperties> {
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let mut native = Native { delay: true, ..Native::NONE };
    let mut room = [0; 36];
    // A property that is too long for its place travels as a header instead.
    if let Some(id) = fits(message.id.as_text(&mut room)) {
        properties = properties.with_message_id(id);
        native.id = true;
    }
    if let Some(name) = fits(&message.type_name) {
        properties = properties.with_type(name);
        native.type_name = true;
    }
    if let Some(name) = fits(&message.content_type) {
        properties = properties.with_content_type(name);
        native.content_type = true;
    }
    if let Some(text) = message.correlation().and_then(|text| fits(text)) {
        properties = properties.with_correlation_id(text);
        native.correlation = true;
    }
    if let Some(text) = message.reply_to().and_then(|text| fits(text)) {
        properties = properties.with_reply_to(text);
        native.reply_to = true;
    }
    if message.timestamp_ms != 0 {
        // AMQP has seconds: with anything less the header says it too.
        properties = properties.with_timestamp(message.timestamp_ms / 1000);
        native.timestamp = message.timestamp_ms.is_multiple_of(1000);
    }
    let mut table = FieldTable::default();
    let mut problem = None;
    wire::write(message, &FORM, &native, |name, value| match ShortString::try_new(name.to_string()) {
        Ok(short) => drop(table.insert(short, value::to_amqp(value))),
        Err(_) => problem = Some(too_long(&name.to_string())),
    });
    match problem {
        Some(error) => Err(error),
        None => Ok(properties.with_headers(table)),
    }
}

/// A text that is there, as a short string.
fn fits(text: &str) -> Option<ShortString> {
    if text.is_empty() || text.len() > SHORT { None } else { ShortString::try_new(text).ok() }
}

fn too_long(name: &str) -> Error {
    let shown: String = name.chars().take(40).collect();
    Error::new(ErrorKind::InvalidHeader, "publish", "RabbitMQ takes header names of up to 255 bytes")
        .with("header", shown)
        .with_help("use a shorter name")
}

/// A message from what was delivered, with what the broker counted: deliveries of this copy that did not succeed.
pub(crate) fn read(properties: &BasicProperties, body: Vec<u8>) -> (Read, Option<u32>) {
    let mut message = Message::new(Bytes::from(body));
    let text = |of: &Option<ShortString>| of.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default();
    message.id = properties.message_id().as_ref().map_or(MessageId::UNSET, |id| MessageId::from(id.as_str()));
    message.type_name = text(properties.kind()).into();
    message.content_type = text(properties.content_type()).into();
    message.timestamp_ms = properties.timestamp().unwrap_or_default().saturating_mul(1000);
    if let Some(correlation) = properties.correlation_id() {
        message = message.with_correlation(correlation.as_str());
    }
    if let Some(reply_to) = properties.reply_to() {
        message = message.with_reply_to(reply_to.as_str());
    }
    let Some(table) = properties.headers() else {
        return (wire::read(message, &FORM, std::iter::empty()), None);
    };
    let headers = table.inner();
    let failed = match headers.get(DELIVERY_COUNT) {
        Some(count) => count_of(count),
        None => None,
    };
    let natives = natives(headers);
    let shown = headers.iter().filter(|(name, _)| !written_by_broker(name.as_str(), headers));
    let pairs = shown.map(|(name, value)| {
        let value = value::of_amqp(value).unwrap_or_else(|| Value::Native {
            encoding: ENCODING,
            raw: natives.get(name.as_str()).map(Vec::as_slice).unwrap_or_default(),
        });
        (name.as_str().as_bytes(), value)
    });
    let mut read = wire::read(message, &FORM, pairs);
    if let Some(info) = deaths::info(headers)
        && read.message.history().dead_letter.is_none()
    {
        let mut history = read.message.history().clone();
        history.dead_letter = Some(info.into());
        read.message = read.message.with_history(history);
    }
    (read, failed)
}

fn count_of(value: &AMQPValue) -> Option<u32> {
    match value::of_amqp(value)? {
        Value::Int(number) => u32::try_from(number).ok(),
        _ => None,
    }
}

/// The bytes of values of AMQP's own types: nearly always none.
fn natives(headers: &Headers) -> HashMap<&str, Vec<u8>> {
    let native = headers.iter().filter(|(_, value)| value::is_native(value));
    native.map(|(name, value)| (name.as_str(), value::encode(value))).collect()
}

pub(crate) type Headers = std::collections::BTreeMap<ShortString, AMQPValue>;

/// Headers that say what happened at the broker and not what was published.
fn written_by_broker(name: &str, headers: &Headers) -> bool {
    matches!(name, DELIVERY_COUNT | ACQUIRED_COUNT) || deaths::are_ours(name, headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pontoon_core::HeaderValue;

    fn there_and_back(message: &Message) -> Message {
        let (read, count) = read(&properties(message).unwrap(), message.body.to_vec());
        assert!(read.problem.is_none() && count.is_none(), "{:?}", read.problem);
        read.message
    }

    #[test]
    fn a_message_comes_back_as_it_was_and_looks_native() {
        let message = Message::new("body")
            .with_id("018f3d2c-0000-7000-8000-000000000001")
            .with_type("order.placed")
            .with_key("k\0y")
            .with_content_type("application/json")
            .with_correlation("c".repeat(300))
            .with_reply_to("answers")
            .with_header("x-death", "mine")
            .with_header("CC", "victim")
            .with_header("a", 7)
            .with_header("a", HeaderValue::Bytes(Bytes::from_static(b"\xff")));
        let properties = properties(&message).unwrap();
        assert_eq!(properties.kind().as_ref().map(ShortString::as_str), Some("order.placed"));
        assert_eq!(properties.correlation_id(), &None, "it is too long for its place");
        let table = properties.headers().as_ref().unwrap();
        assert!(!table.contains_key("CC") && !table.contains_key("x-death"), "{table:?}");
        let back = there_and_back(&message);
        assert_eq!((&back.id, &back.type_name, &back.key), (&message.id, &message.type_name, &message.key));
        assert_eq!((back.correlation(), back.reply_to()), (message.correlation(), message.reply_to()));
        assert_eq!(back.headers, message.headers);
    }

    #[test]
    fn a_timestamp_keeps_its_milliseconds() {
        for millis in [0, 1_700_000_000_000, 1_700_000_000_123] {
            let mut message = Message::new("");
            message.timestamp_ms = millis;
            assert_eq!(there_and_back(&message).timestamp_ms, millis);
        }
    }

    #[test]
    fn a_name_that_amqp_cannot_hold_is_refused() {
        let error = properties(&Message::new("").with_header("n".repeat(300), 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidHeader);
    }
}
