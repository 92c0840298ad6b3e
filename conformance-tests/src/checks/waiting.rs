//! Checks whose feature does not exist yet. Each has its name, its promise and its place in every report.

use super::{Check, Runs};

const fn waiting(
    name: &'static str,
    rules: &'static [&'static str],
    feature: &'static str,
    promise: &'static str,
    failure: &'static str,
) -> Check {
    Check { name, rules, promise, failure, needs: &[], runs: Runs::Waiting(feature) }
}

pub(super) const CHECKS: &[Check] = &[
    waiting(
        "ORD-HANDOVER",
        &["C4.14", "C6.8"],
        "a transport that takes sources away",
        "An owner whose source was taken away delivers nothing of it any more",
        "two workers handle one customer at the same time after every deployment",
    ),
    waiting(
        "ORD-SKIP",
        &["C6.9"],
        "a transport that reads a log",
        "Within one assignment no readable position is skipped",
        "messages are passed over and never seen",
    ),
    waiting(
        "DLQ-NATIVE",
        &["C8.5"],
        "a broker that makes dead letters of its own",
        "Dead letters that the broker made are read through the same view, and nothing is invented",
        "the dead letters of the broker itself cannot be listed or put back",
    ),
    waiting(
        "REC-FATAL",
        &["C2.6"],
        "a transport with credentials",
        "Revoked credentials end a handle with a typed error, within a bounded time",
        "a worker without rights retries for ever and looks healthy",
    ),
    waiting(
        "DED-WINDOW",
        &["C5.5"],
        "publish dedupe",
        "A second message of one id within the window is confirmed and not delivered again",
        "a publish that was retried is handled twice although the broker promised otherwise",
    ),
    waiting(
        "POS-SEEK",
        &["C5.6"],
        "replay from a position",
        "A replay starts exactly at the position asked for",
        "a replay misses the first message or repeats the one before",
    ),
    waiting(
        "TXN-ATOMIC",
        &["G4"],
        "consume-and-produce transactions",
        "An output is visible if and only if its input is settled",
        "a crash leaves an output without its input settled, or the other way round",
    ),
    waiting(
        "INB-EFFECT",
        &["G3"],
        "inbox",
        "A storm of duplicates has one effect for each message id",
        "a customer is charged twice for one message",
    ),
    waiting(
        "OBX-COMMIT",
        &[],
        "outbox",
        "What a transaction committed is published, and what it rolled back is not",
        "a message tells of something that never happened, or what happened is never told",
    ),
    waiting(
        "RPC-MATCH",
        &[],
        "request-reply",
        "Each of many concurrent requests gets its own reply",
        "a caller works with the answer to somebody else's question",
    ),
    waiting(
        "RPC-LATE",
        &[],
        "request-reply",
        "A reply that comes too late is counted and given to nobody",
        "a caller gets the late answer to an earlier question",
    ),
    waiting(
        "INS-METRICS",
        &["C9.10"],
        "metrics",
        "Counters equal what the history counts",
        "a dashboard shows numbers that never were",
    ),
];
