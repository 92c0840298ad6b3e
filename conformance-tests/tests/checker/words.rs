//! Events in words: what a witness prints.

use super::notation::history;

#[test]
fn every_event_says_what_happened() {
    let of = |line: &str| -> Vec<String> {
        let text = format!("1 pub 1.0 key=a\n2 sub c1 q\n3 got 1.0 L1 c1\n{line}");
        history(&text).events()[3..].iter().map(|event| event.what.to_string()).collect()
    };
    for (line, words) in [
        ("5 buried 1.0 q rejected", "q: m1.0 dead-lettered as rejected"),
        ("5 buried 1.0 q", "q: m1.0 dead-lettered"),
        ("5 dropped 1.0 q expired", "q: m1.0 dropped as expired"),
        ("5 dead 1.0 q max-attempts n=3", "q.dead holds m1.0 (1.0) of q as max-attempts after at least 3 attempts"),
        ("5 dead 1.0 ? rejected n=0..", "q.dead holds m1.0 (1.0) as rejected"),
        ("5 end q", "q is empty"),
        ("5 quiet q", "q is quiet"),
        ("5 deadline q", "q was not read to its end in time"),
        ("5 left 1.0 q", "q: m1.0 still held"),
        ("5 spilled 1.0 q", "q: m1.0 spilled"),
        ("5 redriven 1.0 q", "q: m1.0 put back"),
        ("5 purged q 2", "q: 2 messages purged"),
        ("5 lost L1", "lease 1 is lost"),
        ("5 extended L1 by=50", "lease 1 prolonged to 50ms from now"),
        ("5 late L1 unknown", "lease 1: in the end unknown"),
        ("5 flushed c1 stale=1 unknown=2", "consumer 1: final but 1 stale and 2 unknown"),
        ("5 flushed c1", "consumer 1: all is final"),
        ("5 given c1 4", "consumer 1 is given partition 4"),
        ("5 taken c1 4", "partition 4 is taken from consumer 1"),
        ("5 close c1", "consumer 1 is closed"),
        ("5 kill 2", "-- process 2 is killed"),
        ("5 cut p3", "publisher 3 loses its connection"),
        ("5 again 1.0 full", "m1.0 is sent again"),
        ("5 again 1.0", "m1.0 is sent again after an unknown outcome"),
        ("5 topic t/s earliest", "t/s begins with what is held"),
        ("5 fail 1.0", "publish of 1.0 ends: rejected"),
        ("5 pub 1.1 due=7 ttl=9", "publish 1.1 (m1.1) to q, not before 7ms, TTL 9ms"),
    ] {
        assert_eq!(of(line), [words], "{line}");
    }
    assert_eq!(of("5 retry L1 after=3"), ["lease 1: retry after 3ms", "lease 1: recorded"]);
    assert_eq!(of("5 drop L1 refused"), ["lease 1: dropped unsettled", "lease 1: refused"]);
}
