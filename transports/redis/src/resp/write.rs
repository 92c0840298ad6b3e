//! Commands: an array of byte strings.

/// Begins a command of so many parts.
pub(crate) fn array(to: &mut Vec<u8>, parts: usize) {
    head(to, b'*', parts as u64);
}

/// Appends one part.
#[inline]
pub(crate) fn bulk(to: &mut Vec<u8>, part: &[u8]) {
    parts(to, &[part]);
}

/// Appends one part that is put together from pieces.
#[inline]
pub(crate) fn parts(to: &mut Vec<u8>, pieces: &[&[u8]]) {
    head(to, b'$', pieces.iter().map(|piece| piece.len() as u64).sum());
    pieces.iter().for_each(|piece| to.extend_from_slice(piece));
    to.extend_from_slice(b"\r\n");
}

/// Appends one part that is a number.
pub(crate) fn number(to: &mut Vec<u8>, value: u64) {
    bulk(to, Digits::of(value).as_bytes());
}

/// Appends a whole command.
pub(crate) fn command(to: &mut Vec<u8>, words: &[&[u8]]) {
    array(to, words.len());
    words.iter().for_each(|word| bulk(to, word));
}

#[inline]
fn head(to: &mut Vec<u8>, kind: u8, value: u64) {
    to.push(kind);
    to.extend_from_slice(Digits::of(value).as_bytes());
    to.extend_from_slice(b"\r\n");
}

/// A number in decimal digits, without allocating.
pub(crate) struct Digits {
    room: [u8; 20],
    from: usize,
}

impl Digits {
    #[inline]
    pub(crate) fn of(mut value: u64) -> Self {
        let mut digits = Digits { room: [0; 20], from: 20 };
        loop {
            digits.from -= 1;
            digits.room[digits.from] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return digits;
            }
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.room[self.from..]
    }
}
