//! Numbers as text, without allocating.

use std::fmt::{self, Write};

/// Sign, 17 digits, point, exponent: the longest float needs 24.
const ROOM: usize = 32;
const SHORT: usize = 20;

/// An integer in decimal digits.
pub(super) struct Digits {
    room: [u8; SHORT],
    from: usize,
}

impl Digits {
    pub(super) fn of(number: i64) -> Self {
        let mut digits = Digits { room: [0; SHORT], from: SHORT };
        let mut left = number.unsigned_abs();
        loop {
            digits.push(b'0' + (left % 10) as u8);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if number < 0 {
            digits.push(b'-');
        }
        digits
    }

    fn push(&mut self, byte: u8) {
        self.from -= 1;
        self.room[self.from] = byte;
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.room[self.from..]).unwrap_or_default()
    }
}

/// A float as the shortest text that reads back as the same number.
pub(super) struct FloatText {
    room: [u8; ROOM],
    len: usize,
}

impl FloatText {
    pub(super) fn of(number: f64) -> Self {
        let mut text = FloatText { room: [0; ROOM], len: 0 };
        // With an exponent, or the largest would have 300 digits and more.
        let written = write!(text, "{number:e}");
        debug_assert!(written.is_ok(), "no float is longer than the room for it");
        text
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.room[..self.len]).unwrap_or_default()
    }
}

impl Write for FloatText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.room.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
