//! How a handler ends.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use pontoon_core::ReasonKind;

/// An error of any type.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What a handler returns: [`done()`], or a [`Failure`].
///
/// Any error becomes a `Failure` with `?`, and means: try again later, as the retry policy says.
pub type Outcome = Result<Done, Failure>;

/// The message is handled: it will not come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "return it from the handler; on its own it settles nothing"]
pub struct Done(());

/// The message is handled.
pub fn done() -> Outcome {
    Ok(Done(()))
}

/// This message will never succeed: it goes to the dead-letter channel now, with this reason (at most 1,024 bytes of
/// it).
pub fn reject(reason: impl Into<Cow<'static, str>>) -> Outcome {
    Err(Failure::rejected(reason))
}

/// A counted failure: the message comes back after this time instead of the retry policy's.
pub fn retry_after(wait: Duration) -> Outcome {
    Err(Failure::retry("the handler asked for a retry").after(wait))
}

/// No fault of the message: it goes back at once and does not count as an attempt. Releases of one message are paced,
/// from 100 ms doubling to 5 s, so that nothing spins.
pub fn release() -> Outcome {
    Err(Failure::released())
}

/// An error that trying again cannot cure: the message is dead-lettered with its text.
///
/// ```
/// use pontoon::prelude::*;
/// async fn on_number(text: String) -> Outcome {
///     let number: i64 = text.parse().map_err(permanent)?;
///     println!("{number}");
///     done()
/// }
/// ```
pub fn permanent(error: impl Into<BoxError>) -> Failure {
    Failure::permanent(error)
}

/// Why a message was not handled, and what is to happen to it.
///
/// Every error type converts into it, so that `?` works in handlers, and then means a retry. For that reason it is
/// itself no [`std::error::Error`]. Types that are no errors either, such as `anyhow::Error` or a boxed error, convert
/// with [`Failure::new`]: `.map_err(Failure::new)?`.
#[must_use = "return it from the handler; on its own it settles nothing"]
pub struct Failure {
    action: Action,
    cause: Cause,
}

/// What is to happen to a message that was not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// It counts as a failed attempt, and comes back after this time, or after the retry policy's.
    Retry {
        /// Instead of the policy's wait.
        after: Option<Duration>,
    },
    /// It goes to the dead-letter channel now.
    DeadLetter(ReasonKind),
    /// It goes back and does not count.
    Release,
}

enum Cause {
    None,
    Text(Cow<'static, str>),
    Error(BoxError),
}

impl Failure {
    /// A failed attempt because of this error, which may be any error, a text, or a boxed one.
    pub fn new(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<HandlerError>() {
            // It went through tower middleware, which needs an error type: what it says still holds.
            Ok(wrapped) => wrapped.0,
            Err(error) => Failure { action: Action::Retry { after: None }, cause: Cause::Error(error) },
        }
    }

    /// A failed attempt, described by a text.
    pub fn retry(reason: impl Into<Cow<'static, str>>) -> Self {
        Failure { action: Action::Retry { after: None }, cause: Cause::Text(reason.into()) }
    }

    /// This error will not go away: dead-letter now.
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Failure { action: Action::DeadLetter(ReasonKind::Rejected), ..Failure::new(error) }
    }

    /// Dead-letter now, for this reason.
    pub fn rejected(reason: impl Into<Cow<'static, str>>) -> Self {
        Failure { action: Action::DeadLetter(ReasonKind::Rejected), cause: Cause::Text(reason.into()) }
    }

    /// The body, or a header that the handler asks for, cannot be read: dead-letter now as `undecodable`.
    pub fn undecodable(error: impl Into<BoxError>) -> Self {
        Failure { action: Action::DeadLetter(ReasonKind::Undecodable), ..Failure::new(error) }
    }

    /// Dead-letter now, as this kind.
    pub(crate) fn dead_letter(reason: ReasonKind, text: impl Into<Cow<'static, str>>) -> Self {
        Failure { action: Action::DeadLetter(reason), cause: Cause::Text(text.into()) }
    }

    /// Give the message back, uncounted.
    pub fn released() -> Self {
        Failure { action: Action::Release, cause: Cause::None }
    }

    /// The same failure, to be tried again after this time instead of the retry policy's. What is not to be tried
    /// again stays so.
    pub fn after(mut self, wait: Duration) -> Self {
        if let Action::Retry { after } = &mut self.action {
            *after = Some(wait);
        }
        self
    }

    /// What is to happen to the message.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The error behind it, where there was one.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        match &self.cause {
            Cause::Error(error) => Some(&**error),
            _ => None,
        }
    }
}

/// The text of the failure: the error with its causes, separated by colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::None => Ok(()),
            Cause::Text(text) => f.write_str(text),
            Cause::Error(error) => {
                write!(f, "{error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({:?}: {self})", self.action)
    }
}

// `Failure` must not implement `Error`, or this would overlap with `From<T> for T`.
impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::new(error)
    }
}

/// A [`Failure`] as an error type, which tower's middleware asks for. On its way out of the middleware the failure is
/// taken out again, so that a rejection stays a rejection.
#[derive(Debug)]
pub struct HandlerError(pub Failure);

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for HandlerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The text already names the causes.
        None
    }
}

/// What a handler may return: [`Outcome`], nothing (always done), or `Result<(), E>` of any error.
#[diagnostic::on_unimplemented(
    message = "a handler cannot end in `{Self}`",
    label = "not an outcome",
    note = "return `Outcome` (`done()`, `reject(\"…\")`, `retry_after(…)`, `release()`, or an error with `?`), \
            `Result<(), E>` of an error `E`, or nothing"
)]
pub trait IntoOutcome {
    /// The outcome it stands for.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        done()
    }
}

impl IntoOutcome for Done {
    fn into_outcome(self) -> Outcome {
        Ok(self)
    }
}

impl<E: Into<Failure>> IntoOutcome for Result<Done, E> {
    fn into_outcome(self) -> Outcome {
        self.map_err(Into::into)
    }
}

impl<E: Into<Failure>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        self.map(|()| Done(())).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot read the number")
        }
    }
    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    fn parse(text: &str) -> Result<i32, Outer> {
        text.parse().map_err(Outer)
    }

    #[test]
    fn any_error_means_retry_and_its_causes_are_told() {
        let run = || -> Outcome {
            parse("x")?;
            done()
        };
        let failure = run().unwrap_err();
        assert_eq!(failure.action(), Action::Retry { after: None });
        assert_eq!(failure.to_string(), "cannot read the number: invalid digit found in string");
        assert!(failure.error().unwrap().downcast_ref::<Outer>().is_some());
    }

    #[test]
    fn permanent_errors_dead_letter_through_the_question_mark() {
        let run = || -> Outcome {
            parse("x").map_err(permanent)?;
            done()
        };
        assert_eq!(run().unwrap_err().action(), Action::DeadLetter(ReasonKind::Rejected));
    }

    #[test]
    fn a_failure_survives_being_an_error() {
        let inside = Failure::rejected("no");
        let outside = Failure::new(HandlerError(inside));
        assert_eq!((outside.action(), outside.to_string()), (Action::DeadLetter(ReasonKind::Rejected), "no".into()));
        let released: Failure = HandlerError(Failure::released()).into();
        assert_eq!(released.action(), Action::Release);
    }

    #[test]
    fn after_changes_only_retries() {
        let wait = Duration::from_secs(1);
        assert_eq!(retry_after(wait).unwrap_err().action(), Action::Retry { after: Some(wait) });
        assert_eq!(Failure::rejected("no").after(wait).action(), Action::DeadLetter(ReasonKind::Rejected));
        assert_eq!(release().unwrap_err().action(), Action::Release);
        assert_eq!(Failure::new("text").after(wait).action(), Action::Retry { after: Some(wait) });
    }
}
