//! [`Queue`]: each message goes to one of its competing consumers.

use std::marker::PhantomData;

use pontoon_core::driver::Ensure;
use pontoon_core::{ChannelKind, Result, Source, Text};

use super::facts::{Facts, KeyOf, facts};
use super::{Carries, Destination, Readable, sealed};
use crate::codec::{Codec, Json};

/// A queue of payloads `T`, written as `C` (JSON unless said otherwise): a constant that publisher and worker share.
///
/// ```
/// use pontoon::prelude::*;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Flight { origin: String }
/// const FLIGHTS: Queue<Flight> =
///     Queue::new("flights").ordered_by(|f: &Flight| f.origin.as_str()).dead_letter("flights.dead");
/// ```
///
/// A name is 1–60 ASCII letters, digits, `-`, `_` or `.`, begins and ends with a letter or digit, and has no two
/// separators in a row. It is checked when the queue is opened, with a typed error.
pub struct Queue<T, C = Json> {
    facts: Facts<T>,
    codec: PhantomData<fn() -> C>,
}

facts!(Queue);

impl<T, C> Queue<T, C> {
    /// A queue of this name, declared by pontoon when it is opened.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self::of(Facts::new(name, ChannelKind::Queue, false))
    }

    /// A queue that another program declared, under any name its broker allows; never declared or changed by pontoon.
    #[must_use]
    pub const fn existing(name: &'static str) -> Self {
        Self::of(Facts::new(name, ChannelKind::Queue, true))
    }
}

impl<T: Send + 'static, C: Codec<T>> sealed::Place<T> for Queue<T, C> {
    fn ensure_as(&self, name: Option<&str>) -> Result<Ensure> {
        Ok(Ensure::new(self.facts.channel(name)?))
    }
}

impl<T: Send + 'static, C: Codec<T>> Carries for Queue<T, C> {
    type Payload = T;
    type Codec = C;

    fn wire_type(&self) -> Text {
        self.facts.type_name.map_or_else(C::type_name, Text::literal)
    }
}

impl<T: Send + 'static, C: Codec<T>> sealed::Keyed<T> for Queue<T, C> {
    fn key_of(&self) -> Option<KeyOf<T>> {
        self.facts.key
    }
}
impl<T: Send + 'static, C: Codec<T>> Destination for Queue<T, C> {}

impl<T: Send + 'static, C: Codec<T>> sealed::Source<T> for Queue<T, C> {
    fn source_as(&self, name: Option<&str>) -> Result<Source> {
        Source::new(self.facts.channel(name)?, None)
    }
}
impl<T: Send + 'static, C: Codec<T>> Readable for Queue<T, C> {}
