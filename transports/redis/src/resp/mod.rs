//! The protocol of Redis, version 2: commands out of borrowed parts, replies where they lie in the buffer.

mod frames;
mod item;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use frames::Frames;
pub(crate) use item::{Cursor, Item};
pub(crate) use value::Value;
pub(crate) use write::{Digits, array, bulk, command, number, parts};

/// What came is no reply of a Redis server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);
