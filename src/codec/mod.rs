//! How payloads become bytes, and bytes payloads: one file for each codec.

mod json;
mod plain;
mod raw;

use bytes::{Bytes, BytesMut};
use pontoon_core::{Error, ErrorKind, Result, Text};

pub use json::Json;
pub use plain::Plain;
pub use raw::Raw;

/// Writes payloads of type `T` as bytes and reads them back.
///
/// A codec is a type without a value, named in the channel: `Queue<Flight, Cbor>`. Implement it for a type of your own
/// to bring another format.
#[diagnostic::on_unimplemented(
    message = "the codec `{Self}` cannot carry payloads of type `{T}`",
    label = "no way to turn `{T}` into bytes and back",
    note = "for JSON, derive `serde::Serialize` and `serde::Deserialize` for `{T}` and enable the feature `json` of \
            pontoon",
    note = "for bytes as they are, use `Queue<Raw>`; for another format, name its codec: `Queue<{T}, MyCodec>`"
)]
pub trait Codec<T>: Send + Sync + 'static {
    /// The media type written on each message, such as `application/json`; empty for none.
    const CONTENT_TYPE: &'static str;

    /// Writes a payload. `buffer` is empty and has spare room from earlier messages: write into it and return
    /// `buffer.split().freeze()`, or return bytes that exist already.
    ///
    /// # Errors
    /// [`ErrorKind::Codec`]; the message is then rejected before anything is sent.
    fn encode(payload: &T, buffer: &mut BytesMut) -> Result<Bytes>;

    /// The body, where the payload holds it already and nothing has to be written. `None` unless a codec says otherwise;
    /// then [`encode`](Self::encode) is asked.
    #[inline]
    fn ready_made(_payload: &T) -> Option<Bytes> {
        None
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`ErrorKind::Codec`]; the message is then dead-lettered as `undecodable`, not retried.
    fn decode(body: &Bytes) -> Result<T>;

    /// The type name of payloads whose channel names none: the last segment of the Rust type's path.
    fn type_name() -> Text {
        default_type_name(std::any::type_name::<T>())
    }
}

/// `my_app::Flight` → `Flight`, `alloc::vec::Vec<my_app::Flight>` → `Vec<Flight>`.
fn default_type_name(path: &'static str) -> Text {
    if !path.contains(['<', '(', '[', '&']) {
        return Text::literal(path.rsplit("::").next().unwrap_or(path));
    }
    let mut name = String::with_capacity(path.len());
    let mut segment = 0;
    let mut rest = path.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ':' && rest.peek() == Some(&':') {
            rest.next();
            name.truncate(segment);
        } else {
            name.push(c);
            if !(c.is_alphanumeric() || c == '_') {
                segment = name.len();
            }
        }
    }
    name.into()
}

/// An error of a codec, for its implementation.
pub(crate) fn failed(
    operation: &'static str,
    what: &str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(ErrorKind::Codec, operation, format!("{what}: {source}")).with_source(source)
}

/// A message's body is written into the rest of a block that earlier bodies share: one allocation for many messages. A
/// small block bounds what a single body can keep alive.
const BLOCK: usize = 4096;
/// Below this room a new block is begun rather than grown into by copying.
const ROOM: usize = 256;

/// Encodes with this thread's buffer.
#[inline]
pub(crate) fn encode<T, C: Codec<T>>(payload: &T) -> Result<Bytes> {
    match C::ready_made(payload) {
        Some(body) => Ok(body),
        None => write::<T, C>(payload),
    }
}

fn write<T, C: Codec<T>>(payload: &T) -> Result<Bytes> {
    thread_local! {
        static BUFFER: std::cell::Cell<BytesMut> = std::cell::Cell::new(BytesMut::new());
    }
    // Taken out meanwhile, so that a payload that publishes while it is encoded finds an empty one.
    let mut buffer = BUFFER.take();
    if buffer.capacity() < ROOM {
        buffer = BytesMut::with_capacity(BLOCK);
    }
    let encoded = C::encode(payload, &mut buffer);
    buffer.clear();
    BUFFER.set(buffer);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_type_names_are_the_last_segment() {
        for (path, name) in [
            ("my_app::model::Flight", "Flight"),
            ("u64", "u64"),
            ("alloc::vec::Vec<my_app::Flight>", "Vec<Flight>"),
            ("a::Pair<b::c::X, d::Y>", "Pair<X, Y>"),
            ("(a::X, [b::Y; 3])", "(X, [Y; 3])"),
        ] {
            assert_eq!(default_type_name(path).as_str(), name);
        }
    }

    #[test]
    fn bodies_share_a_block_and_stay_apart() {
        let bodies: Vec<Bytes> =
            (0..1000).map(|n| encode::<String, Plain>(&format!("{n}-{}", "x".repeat(n))).unwrap()).collect();
        for (n, body) in bodies.iter().enumerate() {
            assert_eq!(&body[..], format!("{n}-{}", "x".repeat(n)).as_bytes());
        }
    }
}
