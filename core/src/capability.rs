//! What a channel's profile can do, as data.

use std::fmt;
use std::time::Duration;

use crate::Text;

/// How well a profile does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    Absent,
    /// Only in a client's memory: gone with the process. Must be allowed by name.
    Volatile,
    /// By the library, durably: survives a crash of every client.
    Emulated,
    /// By the broker.
    Native,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Absent => "absent",
            Level::Volatile => "volatile",
            Level::Emulated => "emulated",
            Level::Native => "native",
        })
    }
}

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One thing that a profile may or may not be able to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Capability { $($(#[$doc])* $name,)* }

        impl Capability {
            /// All capabilities, in the order of the contract's table.
            pub const ALL: &'static [Capability] = &[$(Capability::$name,)*];

            /// The name in errors and reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Capability::$name => $text,)* }
            }
        }
    };
}

capabilities! {
    /// Order per key with parallel consumers.
    OrderPerKey = "order per key",
    /// The broker, or a durable record, counts deliveries of a message.
    AttemptCount = "attempt count",
    /// Giving a message back without it counting against it.
    UncountedRelease = "uncounted release",
    /// Dead-lettering with a reason, copy confirmed first.
    RejectWithReason = "reject with reason",
    /// A net that catches messages whose handler kills its process.
    CrashLoopNet = "net against crash loops",
    /// The broker takes a message back when its consumer is silent.
    Lease = "lease",
    /// A lease can be prolonged.
    LeaseExtension = "lease extension",
    /// A settlement after the loss of the lease is noticed.
    StaleDetection = "stale detection",
    /// The broker confirms that an acknowledgement is final.
    AckConfirmed = "ack confirmed",
    /// A failed message returns after a delay.
    RetryDelay = "retry delay",
    /// A message can be published to be delivered later.
    PublishDelay = "delay on publish",
    /// A message can expire.
    MessageTtl = "message ttl",
    /// Messages of higher priority are delivered first.
    Priority = "priority",
    /// The broker drops a second message of the same id within a window.
    PublishDedupe = "publish dedupe",
    /// A consumer can start again at an earlier position.
    Replay = "replay from a position",
    /// Consuming and producing in one transaction.
    Transactions = "consume-and-produce transactions",
    /// Confirmed messages survive a crash of the broker's process.
    SurvivesProcessCrash = "survives process crash",
    /// Confirmed messages survive a loss of power.
    SurvivesPowerLoss = "survives power loss",
    /// Confirmed messages survive the loss of a node.
    SurvivesNodeLoss = "survives node loss",
    /// A message can be settled for certain before it is handled.
    AtMostOnce = "at most once",
    /// Every subscription of a topic gets its own copy.
    FanOut = "fan-out",
    /// The number of waiting messages can be asked.
    Depth = "depth",
    /// All waiting messages can be removed at once.
    Purge = "purge",
    /// Settling a message and storing its successor in one step.
    AtomicReplace = "atomic replace",
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Limits of a profile; `None` is "no limit known".
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest body, in bytes.
    pub max_body: Option<u64>,
    /// The longest delay on publish or retry.
    pub max_delay: Option<Duration>,
    /// The longest a lease can be held in total.
    pub max_lease: Option<Duration>,
    /// How long duplicates are recognised.
    pub dedupe_window: Option<Duration>,
    /// Distinct priorities.
    pub priorities: Option<u16>,
}

/// How a profile behaves where the engine must know to be correct, beyond what applications require.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behaviour {
    /// A message may fail while a later one, sent in the same pipeline, succeeds: of each key only one may be
    /// unresolved at a time.
    pub one_unresolved_per_key: bool,
    /// The client itself keeps and resends messages until a deadline that is handed to it; the engine never resends
    /// by its own clock.
    pub heals_and_resends: bool,
    /// A released or retried message of an ordered channel returns to its place within its key.
    pub returns_in_place: bool,
    /// A native retry is recorded as the handler's failure and comes back in
    /// [`Incoming::failures`](crate::driver::Incoming::failures). Without it, retries that must be counted travel as
    /// copies.
    pub counts_failures: bool,
}

/// What one channel's profile can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities {
    profile: Text,
    levels: Vec<Level>,
    /// Limits.
    pub limits: Limits,
    /// What the engine must know.
    pub behaviour: Behaviour,
}

impl Capabilities {
    /// A profile, such as `rabbitmq-4.0-quorum`, that can do nothing yet.
    #[must_use]
    pub fn new(profile: impl Into<Text>) -> Self {
        Capabilities {
            profile: profile.into(),
            levels: vec![Level::Absent; Capability::ALL.len()],
            limits: Limits::default(),
            behaviour: Behaviour::default(),
        }
    }

    /// Declares a level.
    #[must_use]
    pub fn with(mut self, capability: Capability, level: Level) -> Self {
        self.set(capability, level);
        self
    }

    /// Declares a level.
    pub fn set(&mut self, capability: Capability, level: Level) {
        self.levels[capability as usize] = level;
    }

    /// The profile's name.
    #[must_use]
    pub fn profile(&self) -> &Text {
        &self.profile
    }

    /// How well the profile does this.
    #[must_use]
    pub fn level(&self, capability: Capability) -> Level {
        self.levels[capability as usize]
    }

    /// Whether the profile does this durably.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.level(capability) >= Level::Emulated
    }
}
