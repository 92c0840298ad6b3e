#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

#[test]
fn a_command_is_an_array_of_byte_strings() {
    let mut out = Vec::new();
    command(&mut out, &[b"XADD", b"", b"a\r\nb"]);
    number(&mut out, 0);
    number(&mut out, 18_446_744_073_709_551_615);
    parts(&mut out, &[b"pontoon-", b"v"]);
    let expected: &[u8] =
        b"*3\r\n$4\r\nXADD\r\n$0\r\n\r\n$4\r\na\r\nb\r\n$1\r\n0\r\n$20\r\n18446744073709551615\r\n$9\r\npontoon-v\r\n";
    assert_eq!(out, expected);
}

const REPLIES: &[u8] =
    b"+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n*-1\r\n*0\r\n$2\r\n\r\n\r\n*2\r\n*2\r\n$1\r\na\r\n:1\r\n$0\r\n\r\n";

#[test]
fn replies_are_whole_however_they_are_cut() {
    for step in 1..REPLIES.len() {
        let (mut frames, mut seen) = (Frames::default(), Vec::new());
        for piece in REPLIES.chunks(step) {
            frames.room().extend_from_slice(piece);
            while let Some(len) = frames.whole().unwrap() {
                seen.push(Value::read(&frames.take(len)).unwrap());
            }
        }
        let text = |text: &str| Value::Text(text.into());
        let expected = [
            text("OK"),
            Value::Error("ERR no".into()),
            Value::Int(-7),
            Value::Nil,
            Value::Nil,
            Value::List(vec![]),
            text("\r\n"),
            Value::List(vec![Value::List(vec![text("a"), Value::Int(1)]), text("")]),
        ];
        assert_eq!(seen, expected, "in pieces of {step}");
        assert!(frames.bytes().is_empty());
    }
}

#[test]
fn what_is_no_reply_is_an_error() {
    for wrong in ["HTTP/1.1 400 Bad Request\r\n\r\n", "$x\r\n", "*99999999999999999999\r\n", ":\r\n"] {
        let mut frames = Frames::default();
        frames.room().extend_from_slice(wrong.as_bytes());
        let read = frames.whole().map(|len| len.map(|len| Value::read(&frames.take(len))));
        assert!(matches!(read, Err(_) | Ok(Some(Err(_)))), "{wrong:?}: {read:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut frames = Frames::default();
        frames.room().extend_from_slice(&bytes);
        while let Ok(Some(len)) = frames.whole() {
            let _ = Value::read(&frames.take(len));
        }
    }
}
