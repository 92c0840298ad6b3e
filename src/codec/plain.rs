//! Text as it is.

use bytes::{Bytes, BytesMut};
use pontoon_core::Result;

use super::{Codec, failed};

/// UTF-8 text as it is: `Queue<String, Plain>`.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Codec<String> for Plain {
    const CONTENT_TYPE: &'static str = "text/plain; charset=utf-8";

    fn encode(payload: &String, buffer: &mut BytesMut) -> Result<Bytes> {
        buffer.extend_from_slice(payload.as_bytes());
        Ok(buffer.split().freeze())
    }

    fn decode(body: &Bytes) -> Result<String> {
        std::str::from_utf8(body)
            .map(str::to_owned)
            .map_err(|error| failed("decode payload", "the body is not UTF-8 text", error))
    }
}
