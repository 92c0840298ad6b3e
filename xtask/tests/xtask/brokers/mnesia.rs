//! Whether the classic metadata store of RabbitMQ (Mnesia) keeps a queue when it is killed.
//!
//! The store's log gets two entries for a queue: the transaction with the words "presume abort", then the decision that
//! it is committed. A declaration is answered before the second is on the disk. A broker that finds only the first when
//! it starts again takes the transaction back, and forgets the queue with its confirmed messages.

use std::path::Path;

/// Whether a queue called `name` is there to stay, by the store below `folder`.
pub(super) fn keeps(folder: &Path, name: &str) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return keeps(&path, name);
        }
        let Ok(bytes) = std::fs::read(&path) else {
            return false; // gone since: the store moves its log into tables
        };
        match path.extension().and_then(std::ffi::OsStr::to_str) {
            // Only what is decided gets into a table.
            Some("DCL" | "DCD") => find(&bytes, name.as_bytes()).is_some(),
            Some("LOG") => decided(&bytes, name),
            _ => false,
        }
    })
}

/// Whether `log` has a transaction that names `name`, and the decision that it is committed.
fn decided(log: &[u8], name: &str) -> bool {
    const DECISION: &[u8] = b"decision";
    const PRESUMED: &[u8] = b"presume_abort";
    // {commit, …, {decision, Transaction, presume_abort, …}, … name …}, later {decision, Transaction, committed, …}
    let Some(named) = find(log, name.as_bytes()) else { return false };
    let (before, after) = log.split_at(named);
    let Some(end) = rfind(before, PRESUMED) else { return false };
    let Some(start) = rfind(&before[..end], DECISION) else { return false };
    // Before an atom's text stand its tag and its length, which tells `presume_abort` from `committed`.
    let atom = if log[end - 2] == b'w' { 2 } else { 3 };
    let decision = &before[start..end - atom];
    find(after, decision).is_some_and(|at| after[at + decision.len() + atom..].starts_with(b"committed"))
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn rfind(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).rposition(|window| window == part)
}

#[test]
fn a_queue_stays_only_once_its_transaction_is_decided() {
    // As RabbitMQ 4.0 writes it (small atoms, tag `w`), and 3.10 (tag `d`, two bytes of length).
    for (presumed, committed) in
        [(&b"w\x0dpresume_abort"[..], &b"w\x09committed"[..]), (b"d\0\x0dpresume_abort", b"d\0\x09committed")]
    {
        let commit = |number, name: &[u8]| [b"commit decision", &[number][..], presumed, name].concat();
        let decision = |number| [b"decision", &[number][..], committed].concat();
        let ours = [commit(6, b"other"), decision(6), commit(7, b"kept")].concat();
        assert!(!decided(&ours, "kept"), "presumed to be aborted");
        assert!(!decided(&[&ours[..], &decision(8)].concat(), "kept"), "another's decision");
        assert!(decided(&[&ours[..], &decision(8), &decision(7)].concat(), "kept"));
        assert!(!decided(&decision(7), "kept"), "not there");
    }
}
