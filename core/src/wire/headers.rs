//! One header each.

use super::control::Control;
use super::escape::{Escape, Kind, parse};
use super::form::{Form, Native};
use super::gather::{Gather, Read, problem};
use super::order::{self, ORDER, Unordered};
use super::text::{Digits, FloatText};
use super::value::{Name, Value};
use super::{collect, packed};
use crate::{HeaderValue, Message, RESERVED_PREFIX, Text};

/// The header that says that we wrote it, and how.
const VERSION: &str = "pontoon-v";

/// Writes a message's fields and headers, but for the body and what `native` names. Every name that is handed over
/// begins with our prefix or is free of it and of what the broker would interpret (W9); on a table they all differ.
///
/// The message has passed [`Message::validate`]; one that has not is written all the same.
pub fn write(message: &Message, form: &Form, native: &Native, mut header: impl FnMut(Name<'_>, Value<'_>)) {
    let mut field =
        |name: &'static str, value: Value<'_>| spell(form, Name { escape: "", rest: name }, value, &mut header);
    field(VERSION, Value::Int(packed::VERSION.into()));
    if !native.id && !message.id.is_unset() {
        field(Control::Id.name(), Value::Str(message.id.as_text(&mut [0; 36])));
    }
    collect::each(message, native, |control, value| field(control.name(), value));
    if message.headers.is_empty() {
        return;
    }
    if !form.list
        && let Some(places) = order::places(&message.headers)
    {
        field(ORDER, Value::Str(&places));
    }
    for (at, (name, value)) in message.headers.iter().enumerate() {
        let repeat = if form.list { 0 } else { message.headers.iter().take(at).filter(|(n, _)| *n == name).count() };
        user(name, Value::of(value), repeat, form, &mut header);
    }
}

/// Writes one header of the user's.
fn user(name: &str, value: Value<'_>, repeat: usize, form: &Form, header: &mut impl FnMut(Name<'_>, Value<'_>)) {
    let (kind, value) = match value {
        Value::Native { encoding, .. } if form.typed && !encoding.is_empty() && encoding == form.encoding => {
            (Kind::AsIs, value)
        }
        Value::Native { encoding, raw } => {
            let packed = native_bytes(encoding, raw);
            let escape = Escape::new(Kind::Native, repeat);
            return header(Name { escape: escape.as_str(), rest: name }, Value::Bytes(&packed));
        }
        _ if form.typed => (Kind::AsIs, value),
        // Bytes that are no text cannot be taken for one.
        Value::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => (Kind::AsIs, value),
        Value::Str(_) => (Kind::AsIs, value),
        Value::Bytes(_) => (Kind::Bytes, value),
        Value::Int(_) => (Kind::Int, value),
        Value::Float(_) => (Kind::Float, value),
        Value::Bool(_) => (Kind::Bool, value),
    };
    if kind == Kind::AsIs && repeat == 0 && !name.starts_with(RESERVED_PREFIX) && !(form.interprets)(name) {
        return spell(form, Name { escape: "", rest: name }, value, header);
    }
    let escape = Escape::new(kind, repeat);
    spell(form, Name { escape: escape.as_str(), rest: name }, value, header);
}

/// Hands over a value as the form has it.
fn spell(form: &Form, name: Name<'_>, value: Value<'_>, header: &mut impl FnMut(Name<'_>, Value<'_>)) {
    match value {
        _ if form.typed => header(name, value),
        Value::Int(number) => header(name, Value::Str(Digits::of(number).as_str())),
        Value::Float(number) => header(name, Value::Str(FloatText::of(number).as_str())),
        Value::Bool(truth) => header(name, Value::Str(if truth { "true" } else { "false" })),
        _ => header(name, value),
    }
}

fn native_bytes(encoding: &str, raw: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(4 + encoding.len() + raw.len());
    packed.extend_from_slice(&(encoding.len() as u32).to_be_bytes());
    packed.extend_from_slice(encoding.as_bytes());
    packed.extend_from_slice(raw);
    packed
}

/// Reads a message: `message` has the body and what the broker's own fields said, `headers` are all that came with it,
/// names and values as the broker has them.
///
/// Headers of a message without `pontoon-v`, or of another version than ours, are the user's, all of them, whatever
/// their names (W12). A name that no header may have (empty, control characters, no UTF-8) is read as its bytes
/// escaped, as in `a\x00`. A name of ours that this version does not know is left out.
pub fn read<'a>(message: Message, form: &Form, headers: impl Iterator<Item = (&'a [u8], Value<'a>)> + Clone) -> Read {
    let mut to = Gather::new(message);
    // Where we wrote it this is the first.
    let version = headers.clone().find(|(name, _)| *name == VERSION.as_bytes());
    let ours = match version.map(|(_, value)| value.texted()) {
        None => false,
        Some(Value::Int(1) | Value::Str("1")) => true,
        Some(other) => {
            to.wrong(packed::unknown_version(&other));
            false
        }
    };
    let mut unordered = Unordered::new();
    let mut places = None;
    for (name, value) in headers {
        let value = if form.typed { value } else { value.texted() };
        let suffix = if ours { name.strip_prefix(RESERVED_PREFIX.as_bytes()) } else { None };
        let Some(suffix) = suffix else {
            keep(user_name(name), 0, value.to_header(), ours && !form.list, &mut unordered, &mut to);
            continue;
        };
        if let Some(control) = Control::from_suffix(suffix) {
            let value = if control == Control::Key { value } else { value.texted() };
            if !to.field(control, value) {
                to.header(control.name().into(), value.to_header());
            }
        } else if let Some((kind, repeat, name)) = parse(suffix) {
            match unescape(kind, value) {
                Some(value) => keep(user_name(name), repeat, value, !form.list, &mut unordered, &mut to),
                None => {
                    let shown = String::from_utf8_lossy(name).into_owned();
                    to.wrong(problem("a header holds what its kind cannot hold").with("header", shown));
                    to.header(user_name(name), value.to_header());
                }
            }
        } else if name == ORDER.as_bytes()
            && let Value::Str(text) = value.texted()
        {
            places = Some(text);
        }
    }
    order::restore(unordered, places, &mut to);
    to.finish()
}

fn keep(name: Text, repeat: usize, value: HeaderValue, later: bool, unordered: &mut Unordered, to: &mut Gather) {
    if later {
        unordered.push((name, repeat, value));
    } else {
        to.header(name, value);
    }
}

/// A name as a header may have it.
fn user_name(name: &[u8]) -> Text {
    match std::str::from_utf8(name) {
        Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => text.into(),
        _ if name.is_empty() => Text::literal("\\"),
        _ => name.escape_ascii().to_string().into(),
    }
}

/// The value of an escaped header.
fn unescape(kind: Kind, value: Value<'_>) -> Option<HeaderValue> {
    let text = match value.texted() {
        Value::Str(text) => Some(text),
        _ => None,
    };
    Some(match kind {
        Kind::AsIs => value.to_header(),
        Kind::Bytes => Value::Bytes(value.as_bytes()?).to_header(),
        Kind::Int => HeaderValue::Int(text?.parse().ok()?),
        Kind::Float => HeaderValue::Float(text?.parse().ok()?),
        Kind::Bool => HeaderValue::Bool(text?.parse().ok()?),
        Kind::Native => {
            let (length, rest) = value.as_bytes()?.split_first_chunk::<4>()?;
            let (encoding, raw) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            Value::Native { encoding: std::str::from_utf8(encoding).ok()?, raw }.to_header()
        }
    })
}
