//! Names of users' headers on the wire: as they are, or escaped under our prefix with what would be lost.

use crate::RESERVED_PREFIX;

use super::text::Digits;

/// What a value is, where its name has to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AsIs,
    Bytes,
    Int,
    Float,
    Bool,
    Native,
}

impl Kind {
    const LETTERS: [(u8, Kind); 6] = [
        (b'h', Kind::AsIs),
        (b'b', Kind::Bytes),
        (b'i', Kind::Int),
        (b'f', Kind::Float),
        (b't', Kind::Bool),
        (b'n', Kind::Native),
    ];

    fn letter(self) -> u8 {
        Self::LETTERS.iter().find(|(_, kind)| *kind == self).map_or(b'h', |(letter, _)| *letter)
    }
}

/// Room for the longest escape: prefix, kind, number, dash.
const ROOM: usize = RESERVED_PREFIX.len() + 1 + 20 + 1;

/// An escape, made without allocating.
pub(super) struct Escape {
    room: [u8; ROOM],
    len: usize,
}

impl Escape {
    /// The escape of the (`repeat` + 1)th header of its name.
    pub(super) fn new(kind: Kind, repeat: usize) -> Self {
        let mut escape = Escape { room: [0; ROOM], len: 0 };
        escape.push(RESERVED_PREFIX.as_bytes());
        escape.push(&[kind.letter()]);
        if repeat > 0 {
            escape.push(Digits::of(repeat as i64).as_str().as_bytes());
        }
        escape.push(b"-");
        escape
    }

    fn push(&mut self, bytes: &[u8]) {
        self.room[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.room[..self.len]).unwrap_or_default()
    }
}

/// Takes an escaped name apart, given what follows our prefix: kind, repeat, the user's name.
pub(super) fn parse(suffix: &[u8]) -> Option<(Kind, usize, &[u8])> {
    let (&letter, rest) = suffix.split_first()?;
    let kind = Kind::LETTERS.iter().find(|(known, _)| *known == letter)?.1;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = rest.split_at(digits);
    let name = rest.strip_prefix(b"-")?;
    // Only the spelling that is written: no leading zero, nothing beyond what a message can hold.
    let repeat = match number {
        [] => 0,
        [b'0', ..] => return None,
        _ if number.len() > 6 => return None,
        _ => number.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')),
    };
    Some((kind, repeat, name))
}
