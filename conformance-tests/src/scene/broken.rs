//! How a check says that a promise is broken.

use std::fmt;

use pontoon_core::Error;
use pontoon_core::engine::PublishError;

use crate::history::Event;

/// What a check gives back.
pub type Held<T = ()> = Result<T, Broken>;

/// A promise is broken, or nothing can be said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// The anomaly, by its name: the checker's names, and those of the assertions of checks.
    pub anomaly: String,
    /// What was seen, for a person.
    pub text: String,
    /// Nothing is proved: the run could not be judged.
    pub indeterminate: bool,
    /// The events that show it, where the checker found it in the history.
    pub witness: Vec<Event>,
}

impl Broken {
    /// This anomaly was seen.
    #[must_use]
    pub fn new(anomaly: impl Into<String>, text: impl Into<String>) -> Self {
        Broken { anomaly: anomaly.into(), text: text.into(), indeterminate: false, witness: Vec::new() }
    }

    /// The run could not be judged.
    #[must_use]
    pub fn indeterminate(text: impl Into<String>) -> Self {
        Broken { indeterminate: true, ..Broken::new("indeterminate", text) }
    }

    /// Shown by these events.
    #[must_use]
    pub fn shown_by(mut self, witness: &[Event]) -> Self {
        self.witness = witness.to_vec();
        self
    }

    /// Whether it only says that something did not happen: what the history shows is the better reason then.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.anomaly == "stall" || self.anomaly == "no-effect"
    }

    /// What must come did not come within its bound.
    #[must_use]
    pub fn stall(text: impl Into<String>) -> Self {
        Broken::new("stall", text)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.anomaly, self.text)
    }
}

impl std::error::Error for Broken {}

/// An operation that must succeed failed.
impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Broken::new("unexpected-error", format!("{error:?}"))
    }
}

impl From<PublishError> for Broken {
    fn from(error: PublishError) -> Self {
        Broken::new("unexpected-error", format!("{error}"))
    }
}

/// Ends the check with this anomaly unless the condition holds.
macro_rules! hold {
    ($condition:expr, $anomaly:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::scene::Broken::new($anomaly, format!($($text)+)));
        }
    };
}
pub(crate) use hold;
