//! [`Named`]: a channel constant under a name that is known only at run time.

use pontoon_core::driver::Ensure;
use pontoon_core::{Result, Source, Text};

use super::facts::KeyOf;
use super::{Carries, Destination, Readable, Subscribed, Topic, sealed};

/// A channel with the facts of `Ch` under another name: made by `named` of [`Queue`](crate::Queue),
/// [`Topic`](crate::Topic) and [`Subscribed`](crate::Subscribed), and taken wherever they are.
///
/// The naming rule is checked when it is opened.
#[derive(Clone, Debug)]
pub struct Named<Ch> {
    channel: Ch,
    name: String,
}

impl<Ch> Named<Ch> {
    pub(crate) fn new(channel: Ch, name: String) -> Self {
        Named { channel, name }
    }
}

impl<T, C> Named<Topic<T, C>> {
    /// The durable subscription of this name.
    #[must_use]
    pub fn subscription(self, name: &'static str) -> Named<Subscribed<T, C>> {
        Named { channel: self.channel.subscription(name), name: self.name }
    }
}

impl<T, Ch: sealed::Place<T>> sealed::Place<T> for Named<Ch> {
    fn ensure_as(&self, name: Option<&str>) -> Result<Ensure> {
        self.channel.ensure_as(Some(name.unwrap_or(&self.name)))
    }
}

impl<Ch: Carries> Carries for Named<Ch> {
    type Payload = Ch::Payload;
    type Codec = Ch::Codec;

    fn wire_type(&self) -> Text {
        self.channel.wire_type()
    }
}

impl<T, Ch: sealed::Keyed<T>> sealed::Keyed<T> for Named<Ch> {
    fn key_of(&self) -> Option<KeyOf<T>> {
        self.channel.key_of()
    }
}
impl<Ch: Destination> Destination for Named<Ch> {}

impl<T, Ch: sealed::Source<T>> sealed::Source<T> for Named<Ch> {
    fn source_as(&self, name: Option<&str>) -> Result<Source> {
        self.channel.source_as(Some(name.unwrap_or(&self.name)))
    }
}
impl<Ch: Readable> Readable for Named<Ch> {}
