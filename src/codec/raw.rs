//! Bytes as they are.

use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use pontoon_core::{Result, Text};

use super::{Codec, Json};

/// A body as it is, neither encoded nor decoded: `Queue<Raw>`. It carries no type name and no content type unless the
/// channel or the publish gives one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Raw(pub Bytes);

impl<B: Into<Bytes>> From<B> for Raw {
    fn from(body: B) -> Self {
        Raw(body.into())
    }
}

impl Deref for Raw {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

// On the default codec, so that `Queue<Raw>` is complete; it needs neither serde nor the feature `json`.
impl Codec<Raw> for Json {
    const CONTENT_TYPE: &'static str = "";

    fn encode(payload: &Raw, _: &mut BytesMut) -> Result<Bytes> {
        Ok(payload.0.clone())
    }

    #[inline]
    fn ready_made(payload: &Raw) -> Option<Bytes> {
        Some(payload.0.clone())
    }

    #[inline]
    fn decode(body: &Bytes) -> Result<Raw> {
        Ok(Raw(body.clone()))
    }

    fn type_name() -> Text {
        Text::EMPTY
    }
}
