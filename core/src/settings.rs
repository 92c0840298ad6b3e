//! Settings of transports as people write them, in code, files, URLs and the environment: `30s`, `16MiB`, `1000`.
//!
//! A transport has one struct with serde's `Deserialize`, whose fields name the readers of this module, and gets it from
//! a URL's query by [`from_pairs`].
//!
//! ```
//! use std::time::Duration;
//! use pontoon_core::settings;
//! use serde::Deserialize;
//!
//! #[derive(Debug, Default, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Config {
//!     #[serde(deserialize_with = "settings::a_number")]
//!     port: u16,
//!     #[serde(deserialize_with = "settings::a_duration")]
//!     lease: Duration,
//! }
//!
//! let pairs = [("port", "7000"), ("lease", "5s")].map(|(name, value)| (name.to_owned(), value.to_owned()));
//! let config: Config = settings::from_pairs(pairs).unwrap();
//! assert_eq!((config.port, config.lease.as_secs()), (7000, 5));
//! let pairs = [("port".to_owned(), "many".to_owned())];
//! assert_eq!(settings::from_pairs::<Config>(pairs).unwrap_err().context("setting"), Some("port"));
//! ```

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::{Error as ValueError, MapDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

use crate::{Error, ErrorKind};

/// A text that is never shown: its `Debug` hides it, and there is no `Display`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself: not for logs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Settings from names and values, as a URL's query has them.
///
/// # Errors
/// `InvalidConfig` naming the setting: unknown (with the valid ones), given twice, or unreadable. Values are repeated only
/// where a reader of this module cannot read one.
pub fn from_pairs<C: DeserializeOwned>(pairs: impl IntoIterator<Item = (String, String)>) -> crate::Result<C> {
    let pairs: Vec<(String, String)> = pairs.into_iter().collect();
    let wrong = |error: ValueError| Error::new(ErrorKind::InvalidConfig, "read settings", error.to_string());
    // One by one first: serde names an unknown field, but not the field of a bad value.
    for pair in &pairs {
        read::<C>(std::slice::from_ref(pair)).map_err(|error| wrong(error).with("setting", &pair.0))?;
    }
    read(&pairs).map_err(wrong)
}

fn read<C: DeserializeOwned>(pairs: &[(String, String)]) -> Result<C, ValueError> {
    let entries = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str().into_deserializer()));
    C::deserialize(MapDeserializer::<_, ValueError>::new(entries))
}

/// Reads a number of bytes: `1024`, `64KiB`, `16MiB`, `1GiB`.
///
/// # Errors
/// Where the field holds something else, or more than 64 bits.
pub fn a_size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_any(Loose { what: "a size such as 16MiB", read: bytes, plain: Some })
}

/// Reads a duration: `500ms`, `30s`, `5m`, `2h`.
///
/// # Errors
/// Where the field holds something else, a number without a unit among them, or more than [`MAX_DURATION`](crate::MAX_DURATION).
pub fn a_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_any(Loose { what: "a duration such as 30s", read: duration, plain: |_| None })
}

/// Reads a whole number, also where it comes as a text.
///
/// # Errors
/// Where the field holds something else, or a number that `T` does not hold.
pub fn a_number<'de, T: TryFrom<u64>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(Loose {
        what: "a whole number",
        read: |text| number(text).and_then(|n| T::try_from(n).map_err(|_| format!("`{text}` is too large"))),
        plain: |n| T::try_from(n).ok(),
    })
}

/// The same for a setting that may be absent.
///
/// # Errors
/// Those of [`a_number`].
pub fn some_number<'de, T: TryFrom<u64>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    a_number(from).map(Some)
}

/// Reads a text for a setting that may be absent.
///
/// # Errors
/// Where the field holds something else.
pub fn some_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    String::deserialize(from).map(Some)
}

/// Reads `true` or `false`, also where it comes as a text.
///
/// # Errors
/// Where the field holds something else.
pub fn a_flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    from.deserialize_any(Flag)
}

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write bytes, or a number with KiB, MiB or GiB");
    let (digits, unit) = split(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write a number with ms, s, m or h, such as 30s");
    let (digits, unit) = split(text);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    millis.map(Duration::from_millis).filter(|d| *d <= crate::MAX_DURATION).ok_or_else(wrong)
}

/// The digits at the beginning, and the unit behind them.
fn split(text: &str) -> (&str, &str) {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    (&text[..digits], text[digits..].trim())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number"))
}

/// Takes a number, or a text that `read` understands.
struct Loose<T> {
    what: &'static str,
    read: fn(&str) -> Result<T, String>,
    plain: fn(u64) -> Option<T>,
}

impl<T> Visitor<'_> for Loose<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.plain)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

struct Flag;

impl Visitor<'_> for Flag {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true` or `false`")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<bool, E> {
        Ok(flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct All {
        #[serde(deserialize_with = "a_size")]
        size: u64,
        #[serde(deserialize_with = "a_duration")]
        time: Duration,
        #[serde(deserialize_with = "a_number")]
        port: u16,
        #[serde(deserialize_with = "some_number")]
        seed: Option<u64>,
        #[serde(deserialize_with = "some_text")]
        file: Option<String>,
        #[serde(deserialize_with = "a_flag")]
        flag: bool,
        word: Secret,
    }

    fn all(pairs: &[(&str, &str)]) -> crate::Result<All> {
        from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn texts_are_read_as_what_they_mean() {
        let read = all(&[
            ("size", "64KiB"),
            ("time", "2m"),
            ("port", "7000"),
            ("seed", "9"),
            ("file", "a b"),
            ("flag", "true"),
            ("word", "hunter2"),
        ]);
        let read = read.unwrap();
        assert_eq!((read.size, read.time, read.port), (64 << 10, Duration::from_secs(120), 7000));
        assert_eq!((read.seed, read.file.as_deref(), read.flag), (Some(9), Some("a b"), true));
        assert_eq!(read.word.reveal(), "hunter2");
        assert!(!format!("{read:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (name, value) in [
            ("size", "64KB"),
            ("size", "99999999999GiB"),
            ("time", "5"),
            ("time", "99999999999h"),
            ("port", "70000"),
            ("port", "-1"),
            ("seed", "x"),
            ("flag", "yes"),
            ("colour", "red"),
        ] {
            let error = all(&[(name, value)]).unwrap_err();
            assert_eq!((error.kind(), error.context("setting")), (ErrorKind::InvalidConfig, Some(name)), "{error:?}");
        }
        assert!(all(&[("port", "1"), ("port", "2")]).unwrap_err().to_string().contains("port"));
    }
}
