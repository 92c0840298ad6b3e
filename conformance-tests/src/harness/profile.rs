//! What is tested: a profile of a broker, by name and kind.

use pontoon_core::ChannelKind;

/// One profile of a broker: what one kind of channel on it can do. Checks are chosen by what it declares.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// Its name in reports: `memory-queue`, `rabbitmq-4.0-quorum`.
    pub name: String,
    /// Queue or topic.
    pub kind: ChannelKind,
    /// How many messages a channel takes before publishers wait, where that is few enough to be reached.
    pub room: Option<u64>,
}

impl Profile {
    /// A profile of this kind.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: ChannelKind) -> Self {
        Profile { name: name.into(), kind, room: None }
    }

    /// With a bound that checks can reach: how many messages a channel takes before publishers wait.
    #[must_use]
    pub fn with_room(mut self, messages: u64) -> Self {
        self.room = Some(messages);
        self
    }
}
