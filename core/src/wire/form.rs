//! What a broker's headers are like, and which fields it carries in places of its own.

/// What a broker's headers are like.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Values have types. Without it every value is text or bytes, and what is not a string or a byte string that is
    /// no UTF-8 is marked in the name.
    pub typed: bool,
    /// The order is kept and a name may repeat. Without it names are made to differ, and the order is written down
    /// where it is not that of the names.
    pub list: bool,
    /// The encoding of native values that this broker carries as they are; empty for none.
    pub encoding: &'static str,
    /// Which header names the broker itself would interpret: these travel escaped (W9).
    pub interprets: fn(&str) -> bool,
}

impl Form {
    /// A list of texts or bytes, as Kafka's headers and the fields of a Redis stream are.
    pub const TEXT_LIST: Form = Form { typed: false, list: true, encoding: "", interprets: |_| false };
    /// A list of typed values.
    pub const TYPED_LIST: Form = Form { typed: true, ..Form::TEXT_LIST };
    /// A table of typed values without order, as AMQP's is in most clients.
    pub const TYPED_TABLE: Form = Form { list: false, ..Form::TYPED_LIST };
    /// A table of texts or bytes without order.
    pub const TEXT_TABLE: Form = Form { list: false, ..Form::TEXT_LIST };

    /// With names that the broker would interpret.
    #[must_use]
    pub const fn interpreting(mut self, interprets: fn(&str) -> bool) -> Self {
        self.interprets = interprets;
        self
    }

    /// With native values of this encoding.
    #[must_use]
    pub const fn carrying(mut self, encoding: &'static str) -> Self {
        self.encoding = encoding;
        self
    }
}

/// Which fields of *this* message the transport puts into places of the broker's own (W5): they are not written here.
///
/// Say it message by message: a field that does not fit its place, such as an id that is too long for it, or a
/// timestamp that would lose its milliseconds, is left `false` (and may be in both). When reading, the transport fills
/// the message from those places first, and what is written here goes before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Native {
    /// The message id.
    pub id: bool,
    /// The type name.
    pub type_name: bool,
    /// The key.
    pub key: bool,
    /// The content type.
    pub content_type: bool,
    /// The correlation.
    pub correlation: bool,
    /// The reply-to.
    pub reply_to: bool,
    /// The timestamp.
    pub timestamp: bool,
    /// The TTL.
    pub ttl: bool,
    /// The delay, of either sort.
    pub delay: bool,
    /// The priority.
    pub priority: bool,
}

impl Native {
    /// The broker has no fields of its own: everything is written here.
    pub const NONE: Native = Native {
        id: false,
        type_name: false,
        key: false,
        content_type: false,
        correlation: false,
        reply_to: false,
        timestamp: false,
        ttl: false,
        delay: false,
        priority: false,
    };
}
