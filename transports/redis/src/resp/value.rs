//! A reply as a tree, for what is asked rarely.

use super::{Cursor, Item, Malformed};

/// How deep a reply may be nested.
const DEPTH: usize = 8;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nil,
    Int(i64),
    Text(Vec<u8>),
    Error(String),
    List(Vec<Value>),
}

impl Value {
    /// Reads a whole reply.
    pub(crate) fn read(reply: &[u8]) -> Result<Self, Malformed> {
        Self::part(&mut Cursor::new(reply), DEPTH)
    }

    fn part(from: &mut Cursor<'_>, depth: usize) -> Result<Self, Malformed> {
        Ok(match from.next()? {
            Item::Nil => Value::Nil,
            Item::Int(number) => Value::Int(number),
            Item::Text(text) | Item::Bulk(text) => Value::Text(text.to_vec()),
            Item::Error(text) => Value::Error(String::from_utf8_lossy(text).into_owned()),
            Item::Array(_) if depth == 0 => return Err(Malformed("a reply is nested too deeply")),
            Item::Array(count) => {
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(Self::part(from, depth - 1)?);
                }
                Value::List(list)
            }
        })
    }

    /// As a text; empty where it is none.
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Value::Int(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// As a number.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The parts of a list; none where it is none.
    pub(crate) fn list(&self) -> &[Value] {
        match self {
            Value::List(list) => list,
            _ => &[],
        }
    }
}
