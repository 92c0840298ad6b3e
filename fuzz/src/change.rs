//! How inputs are changed.

use fastrand::Rng;

/// The longest input.
pub const LONGEST: usize = 4096;

/// Bytes that parsers like to stumble over.
const AWKWARD: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x80",
    b"%",
    b"%00",
    b"%ff",
    b"://",
    b"@",
    b":",
    b"?",
    b"&",
    b"=",
    b"#",
    b"*",
    b"-",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"1e309",
    b"NaN",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\n",
    b"\r\n",
    b"\xc3",
    b"\xed\xa0\x80",
    "\u{202e}".as_bytes(),
    "\u{1f980}".as_bytes(),
];

/// An input made from one or two of a pool. A pool without inputs gives random bytes.
#[must_use]
pub fn another(pool: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let Some(first) = random.choice(pool) else {
        return (0..random.usize(..64)).map(|_| random.u8(..)).collect();
    };
    let mut input = first.clone();
    for _ in 0..random.usize(1..=6) {
        once(&mut input, pool, random);
    }
    input.truncate(LONGEST);
    input
}

fn once(input: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Rng) {
    let at = random.usize(..=input.len());
    let end = at + random.usize(..=(input.len() - at).min(32));
    match random.u32(..9) {
        0 if at < input.len() => input[at] ^= 1 << random.u32(..8),
        1 if at < input.len() => input[at] = random.u8(..),
        2 => input.insert(at, random.u8(..)),
        3 => drop(input.drain(at..end)),
        4 => {
            let part = input[at..end].to_vec();
            let to = random.usize(..=input.len());
            input.splice(to..to, part);
        }
        5 => {
            let awkward = AWKWARD[random.usize(..AWKWARD.len())];
            input.splice(at..at, awkward.iter().copied());
        }
        6 => {
            let awkward = AWKWARD[random.usize(..AWKWARD.len())];
            input.splice(at..end, awkward.iter().copied());
        }
        7 => {
            // The beginning of this one, the end of another.
            let other = &pool[random.usize(..pool.len())];
            let from = random.usize(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => input.truncate(at),
    }
}
