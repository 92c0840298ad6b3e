//! One part of a reply, borrowed from the buffer.

use super::Malformed;

/// One part of a reply. What follows an array are its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Text(&'a [u8]),
    Error(&'a [u8]),
    Int(i64),
    Bulk(&'a [u8]),
    Nil,
    Array(usize),
}

/// Goes through the parts of a whole reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(reply: &'a [u8]) -> Self {
        Cursor(reply)
    }

    /// The next part.
    pub(crate) fn next(&mut self) -> Result<Item<'a>, Malformed> {
        const CUT: Malformed = Malformed("a reply ends in the middle");
        let (&kind, rest) = self.0.split_first().ok_or(CUT)?;
        let end = line_end(rest).ok_or(CUT)?;
        let (line, mut rest) = (&rest[..end], &rest[end + 2..]);
        let item = match kind {
            b'+' => Item::Text(line),
            b'-' => Item::Error(line),
            b':' => Item::Int(integer(line)?),
            b'$' => match usize::try_from(integer(line)?) {
                Err(_) => Item::Nil,
                Ok(len) => {
                    let (bytes, after) = rest.split_at_checked(len).ok_or(CUT)?;
                    rest = after.strip_prefix(b"\r\n").ok_or(Malformed("a byte string is longer than it says"))?;
                    Item::Bulk(bytes)
                }
            },
            b'*' => usize::try_from(integer(line)?).map_or(Item::Nil, Item::Array),
            _ => return Err(Malformed("a part of a reply is of an unknown kind")),
        };
        self.0 = rest;
        Ok(item)
    }

    /// The next part, which has to be an array: how many parts it has. Nil has none.
    pub(crate) fn array(&mut self) -> Result<usize, Malformed> {
        match self.next()? {
            Item::Array(count) => Ok(count),
            Item::Nil => Ok(0),
            _ => Err(Malformed("a list was due")),
        }
    }

    /// The next part, which has to be a byte string.
    pub(crate) fn bulk(&mut self) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            Item::Bulk(bytes) => Ok(bytes),
            _ => Err(Malformed("a byte string was due")),
        }
    }

    /// The next part, which has to be a number.
    pub(crate) fn int(&mut self) -> Result<i64, Malformed> {
        match self.next()? {
            Item::Int(number) => Ok(number),
            _ => Err(Malformed("a number was due")),
        }
    }
}

/// Where the line ends that begins here.
pub(super) fn line_end(from: &[u8]) -> Option<usize> {
    let end = from.iter().position(|byte| *byte == b'\r')?;
    (from.get(end + 1) == Some(&b'\n')).then_some(end)
}

pub(super) fn integer(line: &[u8]) -> Result<i64, Malformed> {
    let (negative, digits) = match line.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, line),
    };
    let wrong = Malformed("a number in a reply cannot be read");
    if digits.is_empty() {
        return Err(wrong);
    }
    let value = digits.iter().try_fold(0i64, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(i64::from(digit))
    });
    value.map(|value| if negative { -value } else { value }).ok_or(wrong)
}
