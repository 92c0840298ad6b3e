//! Everything in one binary field.
//!
//! The version, one byte; then fields and headers until the end. A field is its number, the kind of its value and the
//! value; a header is 0, the kind, the name and the value. Texts, byte strings and names go behind their length;
//! lengths and integers are numbers of few bytes (`varint`), floats the eight bytes of their bits, low ones first.

use super::collect;
use super::control::Control;
use super::form::Native;
use super::gather::{Gather, Read, problem};
use super::value::Value;
use super::varint::{put, put_signed, take_bytes, take_signed};
use crate::{Error, Message};

/// The version of everything on the wire.
pub(super) const VERSION: u8 = 1;
/// Stands where a field has its number.
const HEADER: u8 = 0;

const STR: u8 = 0;
const BYTES: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 3;
const FALSE: u8 = 4;
const TRUE: u8 = 5;
const NATIVE: u8 = 6;

/// Appends a message's fields and headers, but for the body and what `native` names.
pub fn pack(message: &Message, native: &Native, to: &mut Vec<u8>) {
    to.push(VERSION);
    if !native.id && !message.id.is_unset() {
        match message.id.as_u128() {
            Some(bits) => put_field(to, Control::Id, Value::Bytes(&bits.to_be_bytes())),
            None => put_field(to, Control::Id, Value::Str(message.id.as_text(&mut [0; 36]))),
        }
    }
    collect::each(message, native, |control, value| put_field(to, control, value));
    for (name, value) in message.headers.iter() {
        let value = Value::of(value);
        to.extend_from_slice(&[HEADER, kind(&value)]);
        put_bytes(to, name.as_bytes());
        put_value(to, value);
    }
}

fn put_field(to: &mut Vec<u8>, control: Control, value: Value<'_>) {
    to.extend_from_slice(&[control as u8, kind(&value)]);
    put_value(to, value);
}

fn kind(value: &Value<'_>) -> u8 {
    match value {
        Value::Str(_) => STR,
        Value::Bytes(_) => BYTES,
        Value::Int(_) => INT,
        Value::Float(_) => FLOAT,
        Value::Bool(false) => FALSE,
        Value::Bool(true) => TRUE,
        Value::Native { .. } => NATIVE,
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn put_value(to: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Str(text) => put_bytes(to, text.as_bytes()),
        Value::Bytes(bytes) => put_bytes(to, bytes),
        Value::Int(number) => put_signed(to, number),
        Value::Float(number) => to.extend_from_slice(&number.to_bits().to_le_bytes()),
        Value::Bool(_) => {}
        Value::Native { encoding, raw } => {
            put_bytes(to, encoding.as_bytes());
            put_bytes(to, raw);
        }
    }
}

/// Reads what [`pack`] wrote: `message` has the body and what the broker's own fields said. Empty is a message of
/// another program (W12).
#[must_use]
pub fn unpack(message: Message, packed: &[u8]) -> Read {
    let mut to = Gather::new(message);
    let whole = match packed.split_first() {
        None => true,
        Some((&VERSION, mut fields)) => take_all(&mut fields, &mut to).is_some(),
        Some((&other, _)) => {
            to.wrong(unknown_version(&Value::Int(other.into())));
            true
        }
    };
    if !whole {
        to.wrong(problem("its fields end in the middle, or hold what no field can hold"));
    }
    to.finish()
}

fn take_all(from: &mut &[u8], to: &mut Gather) -> Option<()> {
    while let Some((&number, rest)) = from.split_first() {
        let (&kind, rest) = rest.split_first()?;
        *from = rest;
        if number == HEADER {
            let name = std::str::from_utf8(take_bytes(from)?).ok()?;
            let value = take_value(kind, from)?;
            to.header(name.into(), value.to_header());
        } else {
            let value = take_value(kind, from)?;
            if let Some(control) = Control::from_number(number) {
                to.field(control, value);
            }
        }
    }
    Some(())
}

fn take_value<'a>(kind: u8, from: &mut &'a [u8]) -> Option<Value<'a>> {
    Some(match kind {
        STR => Value::Str(std::str::from_utf8(take_bytes(from)?).ok()?),
        BYTES => Value::Bytes(take_bytes(from)?),
        INT => Value::Int(take_signed(from)?),
        FLOAT => {
            let (bits, rest) = from.split_first_chunk::<8>()?;
            *from = rest;
            Value::Float(f64::from_bits(u64::from_le_bytes(*bits)))
        }
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        NATIVE => {
            let encoding = std::str::from_utf8(take_bytes(from)?).ok()?;
            Value::Native { encoding, raw: take_bytes(from)? }
        }
        _ => return None,
    })
}

/// The error of a message that another version wrote.
pub(super) fn unknown_version(found: &Value<'_>) -> Error {
    let found = match found {
        Value::Int(number) => number.to_string(),
        Value::Str(text) => text.chars().take(20).collect(),
        _ => "something that is no number".into(),
    };
    problem("it was written in a version of the wire format that this reader does not know")
        .with("found", found)
        .with("known", VERSION)
        .with_help("read it with the version that wrote it; its headers and its body are kept as they came")
}
