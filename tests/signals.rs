//! Shutdown by signal, in a process of its own: this test starts itself again as a worker and sends it signals.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pontoon::prelude::*;

const JOBS: Queue<Raw> = Queue::new("jobs").dead_letter("jobs.dead");
const CHILD: &str = "PONTOON_SIGNAL_TEST_CHILD";

/// The process that gets the signals; not a test by itself.
#[tokio::test]
async fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    async fn slow(_job: Raw) {
        println!("handling");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let broker = pontoon::connect("memory://").await.unwrap();
    broker.publisher(JOBS).await.unwrap().publish(&Raw::from("x")).await.unwrap();
    let report = Worker::new(broker).handle(JOBS, slow, Retry::never()).run_until(shutdown_signal()).await.unwrap();
    println!("report {report}");
    std::process::exit(0);
}

fn start() -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A child that does not end must not keep the test: reading and waiting end with it.
    let id = child.id().to_string();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(20));
        // Long gone, as a rule.
        let _ = Command::new("kill").args(["-KILL", &id]).stderr(Stdio::null()).status();
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("handling") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child ended before it handled anything");
    }
    (child, output)
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_first_signal_drains() {
    for name in ["-INT", "-TERM"] {
        let (mut child, mut output) = start();
        signal(&child, name);
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(rest.contains("report handled=1 retried=0 dead_lettered=0 released=0 abandoned=0"), "{name}: {rest}");
    }
}

#[test]
fn the_second_signal_ends_the_process_at_once() {
    let (mut child, mut output) = start();
    let began = Instant::now();
    signal(&child, "-INT");
    // Until the child took the first: two that are pending at once are one.
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-INT");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(began.elapsed() < Duration::from_millis(1700), "the handler takes two seconds");
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("report"), "{rest}");
}
