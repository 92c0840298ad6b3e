//! A message in a frame or a record: its fields and headers packed, then its body.

use bytes::Bytes;
use pontoon_core::Message;
use pontoon_core::wire::{Native, Read, pack, unpack};

use super::{Malformed, Put, Take};

/// Appends a message; it takes the rest of the frame.
pub(crate) fn put_message(to: &mut Vec<u8>, message: &Message) {
    let start = to.len();
    to.put_u32(0);
    pack(message, &Native::NONE, to);
    let packed = (to.len() - start - 4) as u32;
    to[start..start + 4].copy_from_slice(&packed.to_le_bytes());
    to.extend_from_slice(&message.body);
}

/// Takes a message: everything that is left.
pub(crate) fn take_message(from: &mut Take) -> Result<Read, Malformed> {
    let packed: Bytes = from.bytes()?;
    Ok(unpack(Message::new(from.rest()), &packed))
}
