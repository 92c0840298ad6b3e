//! How tasks speak: one error type, whose text says what to do next.

use std::fmt;

/// A task could not go on. The text is for a person and says what to do next.
#[derive(Debug)]
pub struct Problem(String);

impl Problem {
    /// A problem with its whole text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

/// What a task gives back.
pub type Outcome<T> = Result<T, Problem>;

/// Adds what was being done to an error that does not know it.
pub trait Doing<T> {
    /// Puts `what` before the error's own text.
    ///
    /// # Errors
    /// The same error, as a [`Problem`].
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Problem(format!("{}: {error}", what())))
    }
}
