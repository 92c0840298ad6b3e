//! The fields that travel under our prefix. Names and numbers are never reused.

macro_rules! controls {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal,)*) => {
        /// A field of a message, or of what the engine knows about its earlier lives, with its name and number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Control { $($(#[$doc])* $name = $number,)* }

        impl Control {
            /// All of them.
            pub const ALL: &'static [Control] = &[$(Control::$name,)*];

            /// The name of its header.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Control::$name => concat!("pontoon-", $text),)* }
            }

            /// The field of that number, in the packed form.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Control::$name),)* _ => None }
            }

            /// The field of that name, without our prefix.
            pub(super) fn from_suffix(suffix: &[u8]) -> Option<Self> {
                $(if suffix == $text.as_bytes() { return Some(Control::$name); })*
                None
            }
        }
    };
}

controls! {
    /// The message id: text; in the packed form also the 16 bytes of a UUID.
    Id = 1 "id",
    /// The type name: text.
    Type = 2 "type",
    /// The key: bytes.
    Key = 3 "key",
    /// The media type of the body: text.
    ContentType = 4 "content-type",
    /// The correlation: text.
    Correlation = 5 "correlation",
    /// The causation: text.
    Causation = 6 "causation",
    /// The reply-to: text.
    ReplyTo = 7 "reply-to",
    /// When it was published: milliseconds since 1970.
    Timestamp = 8 "timestamp",
    /// The TTL: nanoseconds.
    Ttl = 9 "ttl",
    /// The delay from being stored: nanoseconds.
    Delay = 10 "delay",
    /// The instant before which it is not delivered: nanoseconds since 1970, the year 2262 at most.
    Until = 11 "until",
    /// The priority: 0 to 255.
    Priority = 12 "priority",
    /// Failures of earlier copies.
    Failures = 13 "failures",
    /// Deliveries counted for earlier copies.
    Deliveries = 14 "deliveries",
    /// When it first failed: milliseconds since 1970.
    FirstFailure = 15 "first-failure",
    /// The one subscription this copy is for: text.
    OnlyFor = 16 "only-for",
    /// Whether another copy may exist.
    MaybeDuplicate = 17 "maybe-duplicate",
    /// How often it was redriven.
    Hops = 18 "hops",
    /// It is a dead letter; why: one of the reason kinds, or another text where nobody knows.
    Dead = 19 "dead",
    /// The error text of a dead letter.
    DeadError = 20 "dead-error",
    /// The channel a dead letter was read from.
    DeadChannel = 21 "dead-channel",
    /// The subscription a dead letter was read through.
    DeadSubscription = 22 "dead-subscription",
    /// The attempts made, at least.
    DeadAttempts = 23 "dead-attempts",
    /// The attempts made, at most.
    DeadAttemptsMost = 24 "dead-attempts-most",
    /// When a dead letter first failed: milliseconds since 1970.
    DeadFirstFailure = 25 "dead-first-failure",
    /// When a dead letter last failed: milliseconds since 1970.
    DeadLastFailure = 26 "dead-last-failure",
}
