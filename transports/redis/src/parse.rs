//! Settings as a person writes them in a URL: `30s`, `16MiB`, `1000`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Reads a number of bytes: `1024`, `64KiB`, `16MiB`, `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let factor: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("`{text}` is not a size; write bytes, or a number with KiB, MiB or GiB")),
    };
    text[..digits]
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| format!("`{text}` is not a size; write bytes, or a number with KiB, MiB or GiB"))
}

/// Reads a duration: `500ms`, `30s`, `5m`, `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write a number with ms, s, m or h, such as 30s");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let millis = match text[digits..].trim() {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    millis.map(Duration::from_millis).filter(|d| *d <= pontoon_core::MAX_DURATION).ok_or_else(wrong)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number"))
}

/// Takes a number, or a text that `read` understands: settings come from code, files, URLs and the environment.
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
        (self.plain)(number).ok_or_else(|| E::invalid_type(de::Unexpected::Unsigned(number), &self))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

pub(crate) fn a_size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_any(Loose { what: "a size such as 16MiB", read: bytes, plain: Some })
}

pub(crate) fn a_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_any(Loose { what: "a duration such as 30s", read: duration, plain: |_| None })
}

/// A whole number, also where it comes as a text.
pub(crate) fn a_count<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    from.deserialize_any(Loose {
        what: "a whole number",
        read: |text| number(text).and_then(|n| u32::try_from(n).map_err(|_| format!("`{text}` is too large"))),
        plain: |n| u32::try_from(n).ok(),
    })
}

/// A port, also where it comes as a text.
pub(crate) fn a_port<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    from.deserialize_any(Loose {
        what: "a port",
        read: |text| number(text).and_then(|n| u16::try_from(n).map_err(|_| format!("`{text}` is no port"))),
        plain: |n| u16::try_from(n).ok(),
    })
}

/// Yes or no, also where it comes as a text.
pub(crate) fn a_flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Plain(bool),
        Text(String),
    }
    match Flag::deserialize(from)? {
        Flag::Plain(flag) => Ok(flag),
        Flag::Text(text) => text.parse().map_err(|_| de::Error::custom("write `true` or `false`")),
    }
}

/// Text, where nothing else would do.
pub(crate) fn a_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    String::deserialize(from).map(Some)
}
