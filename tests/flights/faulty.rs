//! A broker that misbehaves: what at least once allows is told apart from what it does not.

use std::thread;
use std::time::Duration;

use super::process::{Running, run};

#[test]
fn reconnects_explain_duplicates_and_lose_nothing() {
    let mut duplicates = 0;
    for seed in 1..=4 {
        let url = format!("memory://?drop_connection=0.01*8&fail_settle=0.02&refuse_dead_letter=0.3&seed={seed}");
        let ended = run(&["--url", &url, "--seed", &seed.to_string(), "--fail-rate", "0.3", "--poison", "7"]);
        assert_eq!(ended.status, Some(0), "seed {seed}: {}", ended.told());
        let figures = ended.figures();
        assert_eq!(figures.get("published"), 2000, "seed {seed}: {}", ended.told());
        assert_eq!(figures.sum(&["handled", "dead_lettered"]), 2000, "seed {seed}: {}", ended.told());
        assert_eq!(figures.sum(&["lost", "out_of_order"]), 0, "seed {seed}: {}", ended.told());
        duplicates += figures.get("duplicates");
    }
    assert!(duplicates > 0, "lost connections redeliver something in four runs");
}

#[test]
fn duplicates_without_a_reconnect_are_held_against_the_run() {
    let ended = run(&["--url", "memory://?duplicate=0.02&seed=1"]);
    assert_eq!(ended.status, Some(1), "{}", ended.told());
    assert!(ended.stderr.contains("no reconnect explains"), "{}", ended.told());
    assert!(ended.figures().get("duplicates") > 0, "{}", ended.told());
    assert_eq!(ended.figures().sum(&["lost", "out_of_order"]), 0, "{}", ended.told());
}

#[test]
fn an_interruption_while_connections_are_down_accounts_for_every_flight() {
    for seed in 1..=3 {
        let url = format!("memory://?drop_connection=0.02*30&seed={seed}");
        let mut running = Running::start(&["--url", &url, "--rate", "4000", "--deadline", "2"]);
        running.wait_for("published");
        thread::sleep(Duration::from_millis(fastrand::Rng::with_seed(seed).u64(0..500)));
        let sent = running.interrupt();
        let ended = running.end();
        assert_eq!(ended.status, Some(0), "seed {seed}: {}", ended.told());
        let took = ended.at.duration_since(sent);
        assert!(took <= Duration::from_secs(2), "took {took:?}; {}", ended.told());
        let names = ["handled", "dead_lettered", "unpublished", "left", "abandoned"];
        assert_eq!(ended.figures().sum(&names), 2000, "seed {seed}: {}", ended.told());
        assert_eq!(ended.figures().sum(&["lost", "out_of_order"]), 0, "seed {seed}: {}", ended.told());
    }
}
