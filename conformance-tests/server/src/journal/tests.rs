//! What of a damaged file is read, byte by byte.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use pontoon_core::driver::Ensure;
use pontoon_core::{Channel, ErrorKind, Message};

use super::*;

/// A file of its own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pontoon-journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Scratch(std::env::temp_dir().join(name))
    }

    fn holding(bytes: &[u8]) -> Self {
        let scratch = Scratch::new();
        std::fs::write(&scratch.0, bytes).unwrap();
        scratch
    }

    fn read(&self) -> pontoon_core::Result<Found> {
        read(&self.0, |_| {})
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file of one declaration and three messages, with the offsets at which its records begin, and its end.
fn sample() -> (Vec<u8>, Vec<u64>) {
    let scratch = Scratch::new();
    let (journal, image, found) = Journal::open(&scratch.0, Sync::Never).unwrap();
    assert_eq!((image.messages(), found.records), (0, 0));
    let mut offsets = vec![journal.write().unwrap()];
    journal.append(&Record::<&Message>::Declared(Ensure::new(Channel::queue("q").unwrap())));
    offsets.push(journal.write().unwrap());
    for number in 1..=3 {
        let message = &Message::new("x".repeat(number as usize * 5)).with_header("h", "v");
        journal.append(&Record::Stored { channel: "q".into(), number, at: number, message });
        offsets.push(journal.write().unwrap());
    }
    drop(journal);
    (std::fs::read(&scratch.0).unwrap(), offsets)
}

#[test]
fn what_was_written_is_read() {
    let (bytes, offsets) = sample();
    let scratch = Scratch::holding(&bytes);
    assert_eq!(scratch.read().unwrap(), Found { good: bytes.len() as u64, torn: 0, records: 4 });
    assert_eq!(offsets.last(), Some(&(bytes.len() as u64)));
    let (_, image, _) = Journal::open(&scratch.0, Sync::Never).unwrap();
    assert_eq!(image.messages(), 3);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_nothing_else() {
    let (bytes, offsets) = sample();
    for end in 0..bytes.len() {
        let scratch = Scratch::holding(&bytes[..end]);
        let whole = offsets.iter().filter(|offset| **offset <= end as u64).count();
        let found = scratch.read().unwrap_or_else(|error| panic!("torn at {end}: {error}"));
        assert_eq!(found.records as usize, whole.saturating_sub(1), "torn at {end}");
        assert_eq!(found.good + found.torn, end as u64);
        // The next record goes where the torn one began.
        let (journal, _, _) = Journal::open(&scratch.0, Sync::Never).unwrap();
        journal
            .append(&Record::<&Message>::Gone { queue: Queue { channel: "q".into(), subscription: None }, number: 1 });
        journal.write().unwrap();
        assert_eq!(scratch.read().unwrap().records, found.records + 1, "torn at {end}");
    }
}

#[test]
fn a_changed_byte_is_told_with_its_record_unless_it_is_in_the_last_one() {
    let (bytes, offsets) = sample();
    let last = offsets[offsets.len() - 2];
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        let read = Scratch::holding(&damaged).read();
        let begins = offsets.iter().rev().find(|offset| **offset <= at as u64).copied().unwrap_or(0);
        match read {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Codec);
                assert_eq!(error.context("offset"), Some(begins.to_string().as_str()), "changed at {at}: {error}");
                assert!(error.help().is_some());
            }
            // Contents of the last record: as if torn.
            Ok(found) => {
                assert!(begins == last && at as u64 >= last + HEAD as u64 - 4, "changed at {at}: {found:?}");
                assert_eq!((found.good, found.records), (last, 3));
            }
        }
    }
}

#[test]
fn zeros_behind_the_end_are_a_torn_tail_and_anything_else_is_damage() {
    let (mut bytes, _) = sample();
    let good = bytes.len() as u64;
    bytes.extend_from_slice(&[0; 9000]);
    assert_eq!(Scratch::holding(&bytes).read().unwrap(), Found { good, torn: 9000, records: 4 });
    *bytes.last_mut().unwrap() = 1;
    let error = Scratch::holding(&bytes).read().unwrap_err();
    assert_eq!(error.context("offset"), Some(good.to_string().as_str()));
    assert!(Scratch::holding(b"something else entirely").read().is_err());
}

#[test]
fn a_file_has_one_server() {
    let (bytes, _) = sample();
    let scratch = Scratch::holding(&bytes);
    let first = Journal::open(&scratch.0, Sync::Never).unwrap();
    let Err(error) = Journal::open(&scratch.0, Sync::Never) else { panic!("opened twice") };
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    drop(first);
    assert!(Journal::open(&scratch.0, Sync::Never).is_ok());
}

#[tokio::test]
async fn nothing_is_safe_before_it_is_synchronised_where_that_was_asked_for() {
    for (policy, at_once) in [(Sync::Always, false), (Sync::EverySecond, true), (Sync::Never, true)] {
        let scratch = Scratch::new();
        let (journal, _, _) = Journal::open(&scratch.0, policy).unwrap();
        let before = journal.write().unwrap();
        assert!(journal.is_safe(before));
        journal.append(&Record::<&Message>::Declared(Ensure::new(Channel::queue("q").unwrap())));
        let position = journal.write().unwrap();
        assert_eq!(journal.is_safe(position), at_once, "{policy:?}");
        tokio::select! {
            error = journal.keep_safe() => panic!("{error}"),
            () = journal.safe(position) => assert!(journal.is_safe(position)),
        }
    }
}
