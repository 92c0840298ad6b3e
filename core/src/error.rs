//! The one error type: what kind of thing went wrong, whether trying again can help, and what to do next.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::Text;

/// `Result` with pontoon's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong: for a program to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection URL cannot be read.
    InvalidUrl,
    /// No transport answers to the URL's scheme, or it was not compiled in.
    UnknownScheme,
    /// A setting is missing, unknown, or out of its range.
    InvalidConfig,
    /// A channel, subscription or type name breaks the naming rule.
    InvalidName,
    /// A header breaks a rule: control characters in its name, or too many, or too large.
    InvalidHeader,
    /// Any other part of a message that cannot be sent, such as a TTL that overflows.
    InvalidMessage,
    /// The message is larger than the channel's profile allows.
    TooLarge,
    /// Something required is not offered by this channel's profile.
    Unsupported,
    /// The broker holds a channel of this name with other facts.
    Conflict,
    /// The channel or subscription does not exist.
    NotFound,
    /// The broker refuses these credentials, or the right to do this.
    Permission,
    /// The connection failed or was lost.
    Connection,
    /// Nothing answered in time.
    Timeout,
    /// No room now: a bound, a quota or an alarm.
    Full,
    /// The handle was closed.
    Closed,
    /// A body could not be encoded or decoded.
    Codec,
    /// The lease this settlement belongs to is over.
    Stale,
    /// A defect of the transport or of pontoon itself.
    Internal,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorStatus {
    /// Trying again unchanged fails again.
    Permanent,
    /// Trying again later may work; the operation had no effect.
    Temporary,
    /// The operation may or may not have had its effect.
    Unknown,
}

/// An error: kind, status, the operation that failed, its context, what to do next, and the cause.
///
/// Cheap to clone, since one lost connection answers many publishes. Never holds a secret: whoever builds one puts
/// only what may be logged into `message` and `context`.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    status: ErrorStatus,
    operation: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    help: Option<Text>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `operation`, for instance `"open consumer"`. The status follows from the kind until set.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        let status = match kind {
            ErrorKind::Connection | ErrorKind::Timeout => ErrorStatus::Unknown,
            ErrorKind::Full => ErrorStatus::Temporary,
            _ => ErrorStatus::Permanent,
        };
        Error(Arc::new(Inner {
            kind,
            status,
            operation,
            message: message.into(),
            context: Vec::new(),
            help: None,
            source: None,
        }))
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Says whether trying again can help.
    #[must_use]
    pub fn with_status(self, status: ErrorStatus) -> Self {
        self.edit(|inner| inner.status = status)
    }

    /// Adds a fact, such as `("channel", "flights")`.
    #[must_use]
    pub fn with(self, name: &'static str, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        self.edit(|inner| inner.context.push((name, value)))
    }

    /// Says what the reader can do about it.
    #[must_use]
    pub fn with_help(self, help: impl Into<Text>) -> Self {
        let help = help.into();
        self.edit(|inner| inner.help = Some(help))
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.edit(|inner| inner.source = Some(Arc::new(source)))
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying again can help.
    #[must_use]
    pub fn status(&self) -> ErrorStatus {
        self.0.status
    }

    /// The operation that failed.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What happened, without operation, context and help.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// One fact by name.
    #[must_use]
    pub fn context(&self, name: &str) -> Option<&str> {
        self.0.context.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}: {}", inner.operation, inner.message)?;
        for (i, (name, value)) in inner.context.iter().enumerate() {
            // Values may come from outside: escaped, so that one error stays one line.
            write!(f, "{}{name}={}", if i == 0 { " (" } else { ", " }, value.escape_debug())?;
        }
        if !inner.context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(help) = &inner.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}: {self}", self.0.kind, self.0.status)?;
        if let Some(source) = &self.0.source {
            write!(f, "; caused by: {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|s| &**s as &(dyn StdError + 'static))
    }
}
