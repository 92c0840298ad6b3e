//! Hurting a broker on purpose.

use std::fmt;
use std::time::Duration;

use pontoon_core::driver::BoxFuture;
use pontoon_core::{Error, ErrorKind, Result};

/// What can be done to a broker, or to the way there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Harm {
    /// All connections end, abruptly; new ones work.
    Cut,
    /// Connections stay open and nothing passes, until [`Control::heal`].
    HalfOpen,
    /// The broker's process stands still, until [`Control::heal`].
    Pause,
    /// The broker's process is killed, without a chance to say or store anything, and started again.
    Restart,
    /// The replies to so many of the next publishes are lost: stored, but nobody is told.
    LoseReplies(u64),
    /// The next connection that publishes breaks in the middle of a batch, so many times.
    BreakPublishing(u64),
    /// Dead-letter channels take nothing, until [`Control::heal`].
    RefuseDeadLetters,
    /// So many of the next settlements fail while their leases hold.
    FailSettlements(u64),
    /// So many leases end early.
    ExpireLeases(u64),
    /// The channel of this name is deleted with all it holds.
    Delete(String),
}

/// The kinds of [`Harm`], for a check to say what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[allow(missing_docs)] // each is described by its `Harm`
pub enum HarmKind {
    Cut,
    HalfOpen,
    Pause,
    Restart,
    LoseReplies,
    BreakPublishing,
    RefuseDeadLetters,
    FailSettlements,
    ExpireLeases,
    Delete,
}

impl Harm {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> HarmKind {
        match self {
            Harm::Cut => HarmKind::Cut,
            Harm::HalfOpen => HarmKind::HalfOpen,
            Harm::Pause => HarmKind::Pause,
            Harm::Restart => HarmKind::Restart,
            Harm::LoseReplies(_) => HarmKind::LoseReplies,
            Harm::BreakPublishing(_) => HarmKind::BreakPublishing,
            Harm::RefuseDeadLetters => HarmKind::RefuseDeadLetters,
            Harm::FailSettlements(_) => HarmKind::FailSettlements,
            Harm::ExpireLeases(_) => HarmKind::ExpireLeases,
            Harm::Delete(_) => HarmKind::Delete,
        }
    }
}

impl fmt::Display for HarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HarmKind::Cut => "cut",
            HarmKind::HalfOpen => "half-open",
            HarmKind::Pause => "pause",
            HarmKind::Restart => "restart",
            HarmKind::LoseReplies => "lose replies",
            HarmKind::BreakPublishing => "break publishing",
            HarmKind::RefuseDeadLetters => "refuse dead letters",
            HarmKind::FailSettlements => "fail settlements",
            HarmKind::ExpireLeases => "expire leases",
            HarmKind::Delete => "delete",
        })
    }
}

/// Control over a broker. What is not offered makes the checks that need it *not applicable*, and the report says so.
pub trait Control: Send + Sync {
    /// Whether this can be done.
    fn offers(&self, harm: HarmKind) -> bool;

    /// Does it. Returns when it has its effect.
    ///
    /// # Errors
    /// When it cannot be done; the check is then *indeterminate*.
    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>>;

    /// Ends every harm that lasts. Returns when the broker answers again.
    ///
    /// # Errors
    /// When it cannot be done; the check is then *indeterminate*.
    fn heal(&self) -> BoxFuture<'_, Result<()>>;

    /// How long after [`Harm::HalfOpen`] a client must have noticed: `None` where no bound is declared.
    fn silence_noticed_within(&self) -> Option<Duration> {
        None
    }
}

/// The broker cannot be hurt.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoControl;

impl Control for NoControl {
    fn offers(&self, _: HarmKind) -> bool {
        false
    }

    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let words = format!("this harness offers no control over its broker: {}", harm.kind());
            Err(Error::new(ErrorKind::Unsupported, "hurt broker", words))
        })
    }

    fn heal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
