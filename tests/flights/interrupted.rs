//! SIGINT at any instant: the process ends in time and accounts for every flight.

use std::thread;
use std::time::{Duration, Instant};

use super::accounts::{self, Journal};
use super::process::{Ended, Running, TempFile, run};

/// How many seeded instants are tried; `FLIGHTS_INSTANTS=100 cargo test --test flights instants` tries more.
const INSTANTS: u64 = 12;
/// What the process is allowed for ending, as a flag and as a time.
const DEADLINE: (&str, Duration) = ("2", Duration::from_secs(2));
/// The example's first words: from here on it hears signals.
const LISTENING: &str = "flights: starting";

/// Where in a run the signal falls.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// In the first milliseconds.
    Start,
    /// While flights are published at a bounded rate, which lasts as long as the run.
    Publishing,
    /// After everything was published: handlers, and keys in backoff.
    Handling,
    /// After the last flight came to its end.
    Drain,
}

#[test]
fn seeded_instants() {
    let instants = match std::env::var("FLIGHTS_INSTANTS") {
        Ok(count) => count.parse().expect("FLIGHTS_INSTANTS is a number"),
        Err(_) => INSTANTS,
    };
    // Instants are shares of an undisturbed run's time, so that they spread over it however fast the machine is.
    let whole = whole_run();
    for seed in 0..instants {
        let mut random = fastrand::Rng::with_seed(seed);
        let phase = [Phase::Start, Phase::Publishing, Phase::Handling, Phase::Drain][random.usize(0..4)];
        let told = one_instant(seed, phase, whole, &mut random);
        // Shown by `--nocapture`.
        println!("seed {seed:>3} {phase:?}: {told}");
    }
}

fn whole_run() -> Duration {
    let running = Running::start(&["--fail-rate", "0.3", "--poison", "7"]);
    running.wait_for(LISTENING);
    let begun = Instant::now();
    let ended = running.end();
    assert_eq!(ended.status, Some(0), "{}", ended.told());
    begun.elapsed()
}

fn one_instant(seed: u64, phase: Phase, whole: Duration, random: &mut fastrand::Rng) -> String {
    let file = TempFile::new(&format!("instant-{seed}.jsonl"));
    let text = seed.to_string();
    let mut args = vec!["--fail-rate", "0.3", "--poison", "7", "--seed", &text, "--deadline", DEADLINE.0];
    args.extend(["--journal", file.as_str()]);
    if let Phase::Publishing = phase {
        args.extend(["--rate", "4000"]);
    }
    let mut running = Running::start(&args);
    running.wait_for(LISTENING);
    // The instants themselves are the subject: what follows each of them is waited for, not slept for.
    match phase {
        Phase::Start => thread::sleep(Duration::from_micros(random.u64(0..20_000))),
        Phase::Publishing => thread::sleep(Duration::from_millis(random.u64(0..500))),
        Phase::Handling => {
            running.wait_for("published 2000");
            thread::sleep(whole.mul_f64(random.f64()));
        }
        Phase::Drain => {
            running.wait_for("draining");
            thread::sleep(Duration::from_micros(random.u64(0..5_000)));
        }
    }
    let sent = running.interrupt();
    let ended = running.end();
    let told = format!("seed {seed}, {phase:?}: {}", ended.told());
    assert_eq!(ended.status, Some(0), "{told}");
    let took = ended.at.duration_since(sent);
    assert!(took <= DEADLINE.1, "took {took:?}; {told}");
    accounts_for_every_flight(&ended, &Journal::read(file.as_str()), &told);
    ended.stdout.lines().last().unwrap_or_default().to_owned()
}

fn accounts_for_every_flight(ended: &Ended, journal: &Journal, told: &str) {
    let figures = ended.figures();
    let mut names = vec!["handled", "dead_lettered"];
    // The run may have come to its end before the signal did.
    if figures.has("left") {
        names.extend(["unpublished", "left", "abandoned"]);
    }
    assert_eq!(figures.sum(&names), 2000, "{told}");
    assert_eq!(figures.sum(&["duplicates", "out_of_order", "lost"]), 0, "{told}");
    assert_eq!(figures.get("handled"), journal.seqs("handled").len(), "{told}");
    assert_eq!(journal.of("handled").len(), journal.seqs("handled").len(), "{told}");
    assert_eq!(journal.out_of_order(), 0, "{told}");
    let given_up = journal.seqs("rejected").union(&journal.spent()).count();
    assert_eq!(figures.get("dead_lettered"), given_up, "nothing was cut off in so long a time: {told}");
    assert_eq!(accounts::table(&ended.stdout), accounts::as_table(&journal.totals()), "{told}");
}

#[test]
fn handlers_that_outlast_the_deadline_are_abandoned_and_counted() {
    let mut running = Running::start(&["--work", "60000", "--deadline", "1", "--workers", "3"]);
    running.wait_for("published 2000");
    let sent = running.interrupt();
    let ended = running.end();
    assert_eq!(ended.status, Some(0), "{}", ended.told());
    let took = ended.at.duration_since(sent);
    assert!(took <= Duration::from_secs(1), "took {took:?}; {}", ended.told());
    let figures = ended.figures();
    assert!(figures.get("abandoned") >= 1, "{}", ended.told());
    assert_eq!(figures.sum(&["left", "abandoned"]), 2000, "{}", ended.told());
    assert_eq!(figures.sum(&["handled", "dead_lettered", "unpublished", "lost"]), 0, "{}", ended.told());
}

#[test]
fn a_deadline_too_short_to_drain_still_accounts_for_every_flight() {
    for (seed, deadline) in ["0", "0", "0.001", "0.005", "0.01", "0.05"].into_iter().enumerate() {
        let work = ["0.5", "20"][seed % 2];
        let mut running = Running::start(&["--deadline", deadline, "--work", work, "--fail-rate", "0.5"]);
        running.wait_for("published 2000");
        thread::sleep(Duration::from_millis(fastrand::Rng::with_seed(seed as u64).u64(0..200)));
        running.interrupt();
        let ended = running.end();
        let told = format!("deadline {deadline}: {}", ended.told());
        assert_eq!(ended.status, Some(0), "{told}");
        let names = ["handled", "dead_lettered", "unpublished", "left", "abandoned"];
        assert_eq!(ended.figures().sum(&names), 2000, "{told}");
        assert_eq!(ended.figures().get("lost"), 0, "{told}");
    }
}

#[test]
fn publishers_that_wait_at_a_bound_are_interrupted_too() {
    // The queue holds fewer flights than there are, and handlers are slow.
    let mut running = Running::start(&["--url", "memory://?max_messages=64", "--work", "40", "--deadline", DEADLINE.0]);
    // The first line of progress, whatever it counts: on a slow machine much may have happened by then.
    running.wait_for("finished ");
    let sent = running.interrupt();
    let ended = running.end();
    assert_eq!(ended.status, Some(0), "{}", ended.told());
    let took = ended.at.duration_since(sent);
    assert!(took <= DEADLINE.1, "took {took:?}; {}", ended.told());
    let figures = ended.figures();
    let names = ["handled", "dead_lettered", "unpublished", "left", "abandoned"];
    assert_eq!(figures.sum(&names), 2000, "{}", ended.told());
    assert!(figures.get("unpublished") > 64 && figures.get("left") > 0, "{}", ended.told());
    assert_eq!(figures.sum(&["lost", "duplicates", "out_of_order"]), 0, "{}", ended.told());
}

#[test]
fn what_was_lost_before_an_interruption_is_still_found() {
    let mut running = Running::start(&["--sabotage", "lose", "--work", "5"]);
    running.wait_for("published 2000");
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.status, Some(1), "{}", ended.told());
    assert!(ended.figures().get("lost") >= 79, "{}", ended.told());
}

#[test]
fn a_second_sigint_ends_the_process_at_once() {
    let file = TempFile::new("second.jsonl");
    let args = ["--work", "60000", "--deadline", "60", "--journal", file.as_str()];
    let mut running = Running::start(&args);
    running.wait_for("published 2000");
    running.interrupt();
    running.wait_for("interrupted");
    let sent = running.interrupt();
    let ended = running.end();
    assert_eq!(ended.status, Some(130), "{}", ended.told());
    let took = ended.at.duration_since(sent);
    assert!(took < Duration::from_millis(500), "took {took:?}; {}", ended.told());
}

#[test]
fn sigterm_ends_it_as_sigint_does() {
    let mut running = Running::start(&["--rate", "1000", "--deadline", DEADLINE.0]);
    running.wait_for(LISTENING);
    running.terminate();
    let ended = running.end();
    assert_eq!(ended.status, Some(0), "{}", ended.told());
    let names = ["handled", "dead_lettered", "unpublished", "left", "abandoned"];
    assert_eq!(ended.figures().sum(&names), 2000, "{}", ended.told());
}

#[test]
fn an_undisturbed_run_hears_no_signal() {
    assert!(!run(&["--rate", "20000"]).stderr.contains("interrupted"));
}
