//! [`Key`]: what messages of one order share.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

const INLINE: usize = 38;

/// An ordering key: any bytes; messages of one key keep their order on a channel that declares order.
///
/// Up to 38 bytes are held in place, so that a key costs no allocation.
#[derive(Clone)]
pub struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, data: [u8; INLINE] },
    Shared(Bytes),
}

impl Key {
    /// A key of these bytes.
    #[must_use]
    #[inline]
    pub fn new(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE {
            let mut data = [0; INLINE];
            data[..bytes.len()].copy_from_slice(bytes);
            Key(Repr::Inline { len: bytes.len() as u8, data })
        } else {
            Key(Repr::Shared(Bytes::copy_from_slice(bytes)))
        }
    }

    /// The bytes of the key.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, data } => &data[..usize::from(*len)],
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        Key::new(key.as_bytes())
    }
}
impl From<String> for Key {
    fn from(key: String) -> Self {
        Key::new(key.as_bytes())
    }
}
impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Self {
        Key::new(key)
    }
}
impl From<u64> for Key {
    /// The decimal digits, so that the key reads the same in every client.
    fn from(key: u64) -> Self {
        Key::new(key.to_string().as_bytes())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Key {}
impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}
