//! A header as it is handed to a transport, borrowed.

use std::fmt;

use bytes::Bytes;

use crate::HeaderValue;

/// The value of a header on the wire. Where values have no types ([`Form::typed`](super::Form::typed)), a transport is
/// handed texts and bytes only, and may hand back bytes for both.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A signed integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A value of the broker's own type.
    Native {
        /// Which encoding `raw` is in.
        encoding: &'a str,
        /// The bytes.
        raw: &'a [u8],
    },
}

impl<'a> Value<'a> {
    /// The bytes of a text or byte string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Value::Str(text) => Some(text.as_bytes()),
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn of(value: &'a HeaderValue) -> Self {
        match value {
            HeaderValue::String(text) => Value::Str(text),
            HeaderValue::Bytes(bytes) => Value::Bytes(bytes),
            HeaderValue::Int(number) => Value::Int(*number),
            HeaderValue::Float(number) => Value::Float(*number),
            HeaderValue::Bool(truth) => Value::Bool(*truth),
            HeaderValue::Native { encoding, raw } => Value::Native { encoding, raw },
        }
    }

    pub(super) fn to_header(self) -> HeaderValue {
        match self {
            Value::Str(text) => HeaderValue::from(text),
            Value::Bytes(bytes) => HeaderValue::Bytes(Bytes::copy_from_slice(bytes)),
            Value::Int(number) => HeaderValue::Int(number),
            Value::Float(number) => HeaderValue::Float(number),
            Value::Bool(truth) => HeaderValue::Bool(truth),
            Value::Native { encoding, raw } => {
                HeaderValue::Native { encoding: encoding.into(), raw: Bytes::copy_from_slice(raw) }
            }
        }
    }

    /// As text where it is valid UTF-8: what a broker without types hands back.
    pub(super) fn texted(self) -> Self {
        match self {
            Value::Bytes(bytes) => std::str::from_utf8(bytes).map_or(self, Value::Str),
            other => other,
        }
    }
}

/// The name of a header on the wire: an escape, mostly empty, and the rest. Two parts, so that none is ever put
/// together for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// Comes first.
    pub escape: &'a str,
    /// The user's name, or the name of a field of ours.
    pub rest: &'a str,
}

impl Name<'_> {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.escape.len() + self.rest.len()
    }

    /// Whether there is nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends its bytes.
    pub fn append_to(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.escape.as_bytes());
        to.extend_from_slice(self.rest.as_bytes());
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.escape)?;
        f.write_str(self.rest)
    }
}
