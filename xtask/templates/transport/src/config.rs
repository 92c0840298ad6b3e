//! Settings: one struct for code, URLs and the environment.

/// Settings of the @name@ transport. Give each its meaning, its unit and its default.
///
/// A password gets a type of its own whose `Debug` hides it: this struct will be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct @Name@Config {
    /// Where the broker is: `host:port`.
    pub address: String,
}

impl @Name@Config {
    /// The defaults, for the broker at this address.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        @Name@Config { address: address.into() }
    }
}
