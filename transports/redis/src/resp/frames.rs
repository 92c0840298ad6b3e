//! Bytes as they arrive, and the whole replies among them.

use bytes::{Bytes, BytesMut};

use super::Malformed;
use super::item::{integer, line_end};

/// How much room a read is given at least.
const ROOM: usize = 16 << 10;
/// The longest line: numbers are short, and errors of a server are not longer.
const LINE: usize = 64 << 10;

/// A buffer that knows how far it was looked at, so that a long reply is not looked at again with every read.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: BytesMut,
    /// Where the reply that is not whole yet was left.
    at: usize,
    /// How many of its parts are still to come; 0 before a reply.
    due: usize,
}

impl Frames {
    /// Where to read into.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(ROOM);
        &mut self.buffer
    }

    /// The length of the first reply, once it is whole.
    pub(crate) fn whole(&mut self) -> Result<Option<usize>, Malformed> {
        if self.due == 0 {
            if self.buffer.is_empty() {
                return Ok(None);
            }
            (self.at, self.due) = (0, 1);
        }
        while self.due > 0 {
            let Some(rest) = self.buffer.get(self.at + 1..) else { return Ok(None) };
            let Some(end) = line_end(rest) else {
                return if rest.len() > LINE { Err(Malformed("a line of a reply has no end")) } else { Ok(None) };
            };
            let mut len = 1 + end + 2;
            let mut more = 0;
            match self.buffer[self.at] {
                b'+' | b'-' | b':' => {}
                b'$' => {
                    if let Ok(bytes) = usize::try_from(integer(&rest[..end])?) {
                        len = len.checked_add(bytes + 2).ok_or(Malformed("a reply is too long"))?;
                        if self.buffer.len() - self.at < len {
                            return Ok(None);
                        }
                    }
                }
                b'*' => more = usize::try_from(integer(&rest[..end])?).unwrap_or(0),
                _ => return Err(Malformed("a part of a reply is of an unknown kind")),
            }
            self.at += len;
            self.due = (self.due - 1).checked_add(more).ok_or(Malformed("a reply is too long"))?;
        }
        Ok(Some(self.at))
    }

    /// What has arrived.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the first reply out, of which [`whole`](Self::whole) told the length.
    pub(crate) fn take(&mut self, len: usize) -> Bytes {
        self.at = 0;
        self.buffer.split_to(len).freeze()
    }

    /// Leaves the first reply, of which [`whole`](Self::whole) told the length, behind.
    pub(crate) fn skip(&mut self, len: usize) {
        self.at = 0;
        bytes::Buf::advance(&mut self.buffer, len);
    }
}
