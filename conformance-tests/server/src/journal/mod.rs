//! The append-only file: what was done, record by record, in the order in which it was done.

mod crc;
mod file;
mod record;
mod replay;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use file::{Found, read};
pub(crate) use record::{Queue, Record};
pub(crate) use replay::Image;
pub(crate) use writer::Journal;
pub use writer::Sync;

/// Comes first in the file.
const MAGIC: &[u8; 12] = b"pontoon-aof1";
/// What comes before each record: its length, a checksum of that, a checksum of the record; four bytes each.
const HEAD: usize = 12;
