//! JSON, the codec of a channel that names none.

/// JSON by `serde_json`: the default codec. Needs the feature `json`, which is on unless switched off.
#[derive(Clone, Copy, Debug)]
pub struct Json;

#[cfg(feature = "json")]
mod with_serde {
    use bytes::{BufMut, Bytes, BytesMut};
    use pontoon_core::Result;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::codec::{Codec, failed};

    // Not recommended: the error of `Codec` also tells of other codecs.
    #[diagnostic::do_not_recommend]
    impl<T: Serialize + DeserializeOwned> Codec<T> for super::Json {
        const CONTENT_TYPE: &'static str = "application/json";

        fn encode(payload: &T, buffer: &mut BytesMut) -> Result<Bytes> {
            serde_json::to_writer((&mut *buffer).writer(), payload)
                .map_err(|error| failed("encode payload", "cannot be written as JSON", error))?;
            Ok(buffer.split().freeze())
        }

        fn decode(body: &Bytes) -> Result<T> {
            // The error of serde_json names line and column but never quotes the body at length.
            serde_json::from_slice(body).map_err(|error| failed("decode payload", "not the expected JSON", error))
        }
    }
}
