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
    let mut room = [0; 20];
    let from = digits(&mut room, value);
    bulk(to, &room[from..]);
}

/// Appends a whole command.
pub(crate) fn command(to: &mut Vec<u8>, words: &[&[u8]]) {
    array(to, words.len());
    words.iter().for_each(|word| bulk(to, word));
}

fn head(to: &mut Vec<u8>, kind: u8, value: u64) {
    let mut room = [0; 20];
    let from = digits(&mut room, value);
    to.push(kind);
    to.extend_from_slice(&room[from..]);
    to.extend_from_slice(b"\r\n");
}

/// Spells a number at the end of the room; where it begins.
fn digits(room: &mut [u8; 20], mut value: u64) -> usize {
    let mut from = room.len();
    loop {
        from -= 1;
        room[from] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return from;
        }
    }
}
