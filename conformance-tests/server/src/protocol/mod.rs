//! What client and server say to each other: frames, and what stands in them.
//!
//! A frame is its length (four bytes, low ones first), its kind (one byte, counted in the length) and the rest. All
//! numbers have fixed lengths, low bytes first; texts and byte strings go behind their length in four bytes.

mod errors;
mod facts;
pub(crate) mod frame;
mod message;
mod parts;

#[cfg(test)]
mod tests;

pub(crate) use errors::{put_error, take_error};
pub(crate) use facts::{put_ensure, take_ensure};
pub(crate) use frame::{Frames, Kind};
pub(crate) use message::{put_message, take_message};
pub(crate) use parts::{Malformed, Put, Take};

/// Comes first on each connection, from the client.
pub(crate) const GREETING: &[u8; 8] = b"pontoon\x02";
/// What a frame may be longer than the largest body: fields, headers and numbers.
pub(crate) const FRAME_OVERHEAD: u64 = 256 * 1024;
