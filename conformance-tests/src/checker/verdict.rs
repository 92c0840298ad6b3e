//! What the checker says.

use std::collections::BTreeMap;
use std::fmt;

use super::Witness;

macro_rules! anomalies {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)*) => {
        /// A way in which a promise was broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum AnomalyKind { $($(#[doc = $doc])+ $name,)* }

        impl AnomalyKind {
            /// All kinds.
            pub const ALL: &'static [AnomalyKind] = &[$(AnomalyKind::$name,)*];

            /// The name in reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(AnomalyKind::$name => $text,)* }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(AnomalyKind::$name => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

anomalies! {
    /// A confirmed message was neither acknowledged, dead-lettered, expired nor left (C2.1).
    LostConfirmed = "lost-confirmed",
    /// The last confirmed messages of a publisher were not seen before the source fell quiet: lost, or a slow reader (C2.1, C2.3).
    Unseen = "unseen",
    /// Something was delivered that nobody published (C3.1).
    Phantom = "phantom",
    /// A rejected message was delivered (C1.3).
    RejectedVisible = "rejected-visible",
    /// An outcome was unknown although nothing had gone wrong (C1.4).
    NeedlessUnknown = "needless-unknown",
    /// A message arrived with another body or key than was published (C3.2).
    Corrupt = "corrupt",
    /// A message arrived with other headers than were published (C3.2, W8).
    HeaderLoss = "header-loss",
    /// One publish made two messages although no outcome was in doubt (C5.3).
    DuplicatePublish = "duplicate-publish",
    /// A message was delivered again without a cause (C5.3, C5.4).
    UnexplainedDuplicate = "unexplained-duplicate",
    /// A message was delivered after its acknowledgement was final (C4.11).
    AckedRedelivered = "acked-redelivered",
    /// A settlement was accepted although its lease was over (C4.6, C4.7).
    StaleAckAccepted = "stale-ack-accepted",
    /// Two valid leases of one key existed at once (C6.3).
    LeaseOverlap = "lease-overlap",
    /// A consumer had more unsettled deliveries than its prefetch allows (C4.15).
    PrefetchExceeded = "prefetch-exceeded",
    /// Messages of one key were delivered against their order (C6.1, C6.4).
    KeyInversion = "key-inversion",
    /// A receipt names another message of the broker than the one delivered (C1.17).
    PositionMismatch = "position-mismatch",
    /// Messages of one publisher lie in one partition against their issue order (C6.1).
    NonmonotonicSend = "nonmonotonic-send",
    /// A reader of a log skipped a readable position (C6.9).
    PollSkip = "poll-skip",
    /// A reader of a log went back within one assignment (C6.9).
    NonmonotonicPoll = "nonmonotonic-poll",
    /// One position of a log holds two messages (C3.1).
    InconsistentOffsets = "inconsistent-offsets",
    /// The attempt of a delivery is not what the failures before it make it (C7.7).
    AttemptRegression = "attempt-regression",
    /// A message was dead-lettered before its attempts were used up (C7.8, C7.9).
    PrematureDlq = "premature-dlq",
    /// A message was delivered again although its attempts were used up (C7.8).
    MissedDlq = "missed-dlq",
    /// A message that had to be dead-lettered is nowhere (C8.1).
    DlqLost = "dlq-lost",
    /// One message has two dead letters, or was delivered after it was dead-lettered (C8.8).
    DlqDuplicate = "dlq-duplicate",
    /// A dead letter does not say truly why and from where it is one (C8.3, C8.4).
    DlqMetadata = "dlq-metadata",
    /// A message was delivered before its delay was over (C7.13).
    Early = "early",
    /// A message was first delivered later than the profile declares (C9.5).
    Late = "late",
    /// A message was first delivered after its TTL was over (C7.16).
    ExpiredDelivered = "expired-delivered",
    /// A message was delivered, or dead-lettered, from where it does not belong (C3.3, C4.10).
    CrossSubscription = "cross-subscription",
    /// An owner delivered after its source was taken away (C4.14, C6.8).
    Zombie = "zombie",
    /// Nothing happened for too long although there was work and nothing was wrong (C2.3).
    Stall = "stall",
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One broken promise and the events that show it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Anomaly {
    /// Its name.
    pub kind: AnomalyKind,
    /// What is wrong here, in one sentence.
    pub text: String,
    /// The events that show it.
    pub witness: Witness,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.kind, self.text)?;
        self.witness.fmt(f)
    }
}

/// Promises were broken.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Failure {
    /// How often each anomaly was found.
    pub counts: BTreeMap<AnomalyKind, u64>,
    /// Of each kind the few that take the fewest events to show, smallest first.
    pub anomalies: Vec<Anomaly>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.counts.iter().map(|(kind, count)| format!("{kind} ×{count}")).collect();
        writeln!(f, "{}", counts.join(", "))?;
        self.anomalies.iter().try_for_each(|anomaly| write!(f, "\n{anomaly}"))
    }
}

/// What a history shows.
#[derive(Clone, Debug)]
#[must_use]
pub enum Verdict {
    /// Every promise was kept, and the history was read to its end.
    Passed,
    /// Promises were broken.
    Failed(Failure),
    /// Nothing is known to be broken, but the history does not show that all was kept.
    Indeterminate {
        /// What is missing.
        reason: String,
    },
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        matches!(self, Verdict::Passed)
    }

    /// The names of what was found, each once.
    #[must_use]
    pub fn kinds(&self) -> Vec<AnomalyKind> {
        match self {
            Verdict::Failed(failure) => failure.counts.keys().copied().collect(),
            Verdict::Passed | Verdict::Indeterminate { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Passed => f.write_str("passed"),
            Verdict::Failed(failure) => write!(f, "failed: {failure}"),
            Verdict::Indeterminate { reason } => write!(f, "indeterminate: {reason}"),
        }
    }
}
