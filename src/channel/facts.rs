//! What a channel constant holds: plain values, so that it is `Copy` and can be written in a `const`.

use std::time::Duration;

use pontoon_core::{
    Channel, ChannelKind, ChannelName, DEFAULT_DELIVERY_CEILING, DeadLetterPolicy, Key, Order, Result, Retention,
    Spill, Text,
};

/// How the key of a message is found in its payload.
pub enum KeyOf<T> {
    Str(fn(&T) -> &str),
    Key(fn(&T) -> Key),
}

// Written out: a derive would ask the payload to be `Copy`.
impl<T> Clone for KeyOf<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for KeyOf<T> {}

impl<T> KeyOf<T> {
    pub fn key(self, payload: &T) -> Key {
        match self {
            KeyOf::Str(find) => find(payload).into(),
            KeyOf::Key(find) => find(payload),
        }
    }
}

#[derive(Clone, Copy)]
enum DeadLetters {
    Undeclared,
    To(&'static str),
    Discard,
}

/// The facts of a channel. Names are checked when the channel is opened: a `const` has no way to return an error, and
/// a panic at compile time could not name the rule for names that are made at run time.
pub(crate) struct Facts<T> {
    pub(crate) name: &'static str,
    pub(crate) kind: ChannelKind,
    existing: bool,
    order: Order,
    pub(crate) key: Option<KeyOf<T>>,
    shards: Option<u16>,
    dead_letters: DeadLetters,
    retention: Retention,
    delivery_ceiling: u32,
    pub(crate) type_name: Option<&'static str>,
}

impl<T> Clone for Facts<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Facts<T> {}

impl<T> Facts<T> {
    pub(crate) const fn new(name: &'static str, kind: ChannelKind, existing: bool) -> Self {
        Facts {
            name,
            kind,
            existing,
            order: Order::Unordered,
            key: None,
            shards: None,
            dead_letters: DeadLetters::Undeclared,
            retention: Retention::UntilSettled,
            delivery_ceiling: DEFAULT_DELIVERY_CEILING,
            type_name: None,
        }
    }

    /// The same place for another payload type: everything but the key and the type name, which belong to the payload.
    pub(crate) const fn carrying<U>(self, type_name: &'static str) -> Facts<U> {
        Facts {
            name: self.name,
            kind: self.kind,
            existing: self.existing,
            order: self.order,
            key: None,
            shards: self.shards,
            dead_letters: self.dead_letters,
            retention: self.retention,
            delivery_ceiling: self.delivery_ceiling,
            type_name: Some(type_name),
        }
    }

    pub(crate) const fn ordered(mut self) -> Self {
        // A profile that was chosen before stays: the order in which facts are written must not matter.
        if let Order::Unordered = self.order {
            self.order = Order::BLOCK;
        }
        self
    }

    pub(crate) const fn keyed(mut self, key: KeyOf<T>) -> Self {
        self.key = Some(key);
        self.ordered()
    }

    pub(crate) const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    pub(crate) const fn block(self, max_blocked_keys: u32, longest_wait: Duration, spill: Spill) -> Self {
        self.order(Order::Block { max_blocked_keys, longest_wait, spill })
    }

    pub(crate) const fn shards(mut self, shards: u16) -> Self {
        self.shards = Some(shards);
        self
    }

    pub(crate) const fn dead_letter(mut self, name: &'static str) -> Self {
        self.dead_letters = DeadLetters::To(name);
        self
    }

    pub(crate) const fn discard_failed(mut self) -> Self {
        self.dead_letters = DeadLetters::Discard;
        self
    }

    pub(crate) const fn retention(mut self, longest: Duration) -> Self {
        self.retention = Retention::For(longest);
        self
    }

    pub(crate) const fn delivery_ceiling(mut self, ceiling: u32) -> Self {
        self.delivery_ceiling = ceiling;
        self
    }

    pub(crate) const fn type_name(mut self, name: &'static str) -> Self {
        self.type_name = Some(name);
        self
    }

    /// The channel under its own name, or under one that was made at run time.
    pub(crate) fn channel(&self, name: Option<&str>) -> Result<Channel> {
        let name = name.map_or(Text::literal(self.name), Text::from);
        let mut channel = match (self.existing, self.kind) {
            (true, kind) => Channel::existing(name, kind)?,
            (false, ChannelKind::Queue) => Channel::queue(name)?,
            (false, ChannelKind::Topic) => Channel::topic(name)?,
        };
        channel.order = self.order;
        channel.shards = self.shards;
        channel.dead_letter = match self.dead_letters {
            DeadLetters::Undeclared => DeadLetterPolicy::Undeclared,
            DeadLetters::To(name) => DeadLetterPolicy::To(ChannelName::new(Text::literal(name))?),
            DeadLetters::Discard => DeadLetterPolicy::Discard,
        };
        channel.retention = self.retention;
        channel.delivery_ceiling = self.delivery_ceiling;
        channel.validate()?;
        Ok(channel)
    }
}

/// The setters that queues and topics share, each documented once.
macro_rules! facts {
    ($name:ident) => {
        impl<T, C> $name<T, C> {
            const fn of(facts: crate::channel::facts::Facts<T>) -> Self {
                $name { facts, codec: std::marker::PhantomData }
            }

            /// Keeps the order of messages that share a key, and finds the key in the payload.
            ///
            /// The key belongs to the channel, so that no publish can forget it. Unless another profile is chosen, the
            /// order is [`Order::BLOCK`](crate::Order::BLOCK): while a message is in retry its key waits and other keys
            /// flow, for at most 1,000 keys and 10 minutes; then the failing message is dead-lettered, so the channel
            /// needs [`dead_letter`](Self::dead_letter). Keys have at most 1,024 bytes.
            #[must_use]
            pub const fn ordered_by(self, key: fn(&T) -> &str) -> Self {
                Self::of(self.facts.keyed(crate::channel::facts::KeyOf::Str(key)))
            }

            /// As [`ordered_by`](Self::ordered_by), for keys that are not text within the payload.
            #[must_use]
            pub const fn ordered_by_key(self, key: fn(&T) -> crate::Key) -> Self {
                Self::of(self.facts.keyed(crate::channel::facts::KeyOf::Key(key)))
            }

            /// Keeps the order of messages that share a key, where each publish brings its key
            /// ([`Message::with_key`](crate::Message::with_key)): for channels that carry several payload types.
            #[must_use]
            pub const fn ordered(self) -> Self {
                Self::of(self.facts.ordered())
            }

            /// Chooses the order profile: what a key's later messages do while one is in retry.
            #[must_use]
            pub const fn order(self, order: crate::Order) -> Self {
                Self::of(self.facts.order(order))
            }

            /// A failed message goes to the tail of the channel; its key is handled by one consumer at a time.
            #[must_use]
            pub const fn fall_behind(self) -> Self {
                Self::of(self.facts.order(crate::Order::FallBehind))
            }

            /// While a message is in retry its key waits and other keys flow, within these bounds; beyond either of
            /// them the failing message spills.
            #[must_use]
            pub const fn block(
                self,
                max_blocked_keys: u32,
                longest_wait: std::time::Duration,
                spill: crate::Spill,
            ) -> Self {
                Self::of(self.facts.block(max_blocked_keys, longest_wait, spill))
            }

            /// How many shards carry an ordered channel where the broker needs them; unset, the transport's default.
            #[must_use]
            pub const fn shards(self, shards: u16) -> Self {
                Self::of(self.facts.shards(shards))
            }

            /// Messages that cannot be handled go to this queue; it is declared together with the channel.
            #[must_use]
            pub const fn dead_letter(self, name: &'static str) -> Self {
                Self::of(self.facts.dead_letter(name))
            }

            /// Messages that cannot be handled are dropped, each with an event.
            #[must_use]
            pub const fn discard_failed(self) -> Self {
                Self::of(self.facts.discard_failed())
            }

            /// Messages are kept at most this long, handled or not; unset, until they are handled.
            #[must_use]
            pub const fn retention(self, longest: std::time::Duration) -> Self {
                Self::of(self.facts.retention(longest))
            }

            /// How many failures and lost deliveries one message may have before it is dead-lettered as
            /// `delivery-ceiling`; 100 unless said otherwise. It catches messages that kill the process which handles
            /// them, and is larger than any handler's number of attempts.
            #[must_use]
            pub const fn delivery_ceiling(self, ceiling: u32) -> Self {
                Self::of(self.facts.delivery_ceiling(ceiling))
            }

            /// The name by which this payload type is known to every program that uses the channel.
            ///
            /// Unset, it is the last segment of the Rust type's path (`Flight` for `my_app::model::Flight`). Renaming
            /// the Rust type then renames it on the wire: where several types share a channel, or several programs do,
            /// name it here. At most 1,024 bytes without control characters.
            #[must_use]
            pub const fn type_name(self, name: &'static str) -> Self {
                Self::of(self.facts.type_name(name))
            }

            /// The same channel for another payload type: several types share one channel, with the same declared
            /// facts, told apart by their type names. A key function is the payload's own and is not taken over.
            #[must_use]
            pub const fn carrying<U>(self, type_name: &'static str) -> $name<U, C> {
                $name::of(self.facts.carrying(type_name))
            }

            /// The same channel under a name that is known only at run time.
            #[must_use]
            pub fn named(self, name: impl Into<String>) -> crate::Named<Self> {
                crate::Named::new(self, name.into())
            }
        }

        impl<T, C> Clone for $name<T, C> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<T, C> Copy for $name<T, C> {}

        impl<T, C> std::fmt::Debug for $name<T, C> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.facts.name)
            }
        }
    };
}
pub(crate) use facts;
