//! Message headers: ordered, typed, repeatable, and free when absent.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, ErrorKind, Result, Text};

/// The most headers one message may carry.
pub const MAX_HEADERS: usize = 256;
/// The most bytes all header names and values of one message may take together.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The prefix of every header that pontoon itself writes where a broker has no field of its own.
///
/// A user's header with this prefix travels escaped and comes back as written: it steers nothing.
pub const RESERVED_PREFIX: &str = "pontoon-";

/// The value of a header.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HeaderValue {
    /// Text.
    String(Text),
    /// Raw bytes.
    Bytes(Bytes),
    /// A signed integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A value of a broker's own type, kept as received so that nothing is lost when it is passed on.
    Native {
        /// Which encoding `raw` is in, for instance `amqp-table`.
        encoding: Text,
        /// The bytes as received.
        raw: Bytes,
    },
}

impl HeaderValue {
    /// The text, when it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            HeaderValue::String(text) => Some(text),
            _ => None,
        }
    }

    fn weight(&self) -> usize {
        match self {
            HeaderValue::String(text) => text.len(),
            HeaderValue::Bytes(bytes) => bytes.len(),
            HeaderValue::Native { raw, .. } => raw.len(),
            HeaderValue::Int(_) | HeaderValue::Float(_) => 8,
            HeaderValue::Bool(_) => 1,
        }
    }
}

impl From<&str> for HeaderValue {
    fn from(value: &str) -> Self {
        HeaderValue::String(value.into())
    }
}
impl From<String> for HeaderValue {
    fn from(value: String) -> Self {
        HeaderValue::String(value.into())
    }
}
impl From<Text> for HeaderValue {
    fn from(value: Text) -> Self {
        HeaderValue::String(value)
    }
}
impl From<Bytes> for HeaderValue {
    fn from(value: Bytes) -> Self {
        HeaderValue::Bytes(value)
    }
}
impl From<i64> for HeaderValue {
    fn from(value: i64) -> Self {
        HeaderValue::Int(value)
    }
}
impl From<f64> for HeaderValue {
    fn from(value: f64) -> Self {
        HeaderValue::Float(value)
    }
}
impl From<bool> for HeaderValue {
    fn from(value: bool) -> Self {
        HeaderValue::Bool(value)
    }
}

/// The headers of a message, in the order they were written; a name may repeat. Names are case-sensitive.
///
/// Cloning shares; an empty set holds nothing at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(Option<Arc<Vec<(Text, HeaderValue)>>>);

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Headers(None)
    }

    /// Appends a header, keeping others of the same name.
    pub fn append(&mut self, name: impl Into<Text>, value: impl Into<HeaderValue>) {
        Arc::make_mut(self.0.get_or_insert_with(Default::default)).push((name.into(), value.into()));
    }

    /// Replaces every header of that name by one.
    pub fn set(&mut self, name: impl Into<Text>, value: impl Into<HeaderValue>) {
        let name = name.into();
        self.remove(&name);
        self.append(name, value);
    }

    /// Removes every header of that name; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(all) = &mut self.0 else { return false };
        if !all.iter().any(|(n, _)| n == name) {
            return false;
        }
        let all = Arc::make_mut(all);
        all.retain(|(n, _)| n != name);
        if all.is_empty() {
            self.0 = None;
        }
        true
    }

    /// The first value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&HeaderValue> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// All values of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a HeaderValue> {
        self.iter().filter(move |(n, _)| *n == name).map(|(_, v)| v)
    }

    /// All headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &HeaderValue)> {
        self.0.iter().flat_map(|all| all.iter()).map(|(n, v)| (n, v))
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |all| all.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The bytes that names and values take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.iter().map(|(n, v)| n.len() + v.weight()).sum()
    }

    /// Refuses what no broker should ever see: an empty name, control characters in a name, too many headers, or too
    /// many bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidHeader`] naming the header and the rule.
    pub fn validate(&self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let refuse = |rule: String| Error::new(ErrorKind::InvalidHeader, "publish", rule);
        if self.len() > MAX_HEADERS {
            return Err(refuse(format!("{} headers, at most {MAX_HEADERS} are allowed", self.len())));
        }
        for (name, _) in self.iter() {
            if name.is_empty() {
                return Err(refuse("a header name is empty".into()));
            }
            if name.chars().any(char::is_control) {
                return Err(refuse("a header name holds a control character".into())
                    .with("header", name)
                    .with_help("use printable characters in header names; values may hold anything"));
            }
        }
        let bytes = self.byte_len();
        if bytes > MAX_HEADER_BYTES {
            return Err(refuse(format!("headers take {bytes} bytes, at most {MAX_HEADER_BYTES} are allowed"))
                .with_help("put large values into the body"));
        }
        Ok(())
    }
}
