//! Processes found again by number and start time.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use xtask::brokers::process::{Condition, Process, start, wait};

const SOON: Duration = Duration::from_secs(10);

fn started(name: &str, words: &[&str]) -> Process {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let log = folder.join(format!("{name}-{}.log", std::process::id()));
    start(words, &[], &folder, &log).unwrap()
}

#[test]
fn a_number_taken_over_by_another_process_is_not_signalled() {
    let sleeper = started("foreign", &["sleep", "1000"]);
    let mut recorded = sleeper.clone();
    recorded.start -= 1;
    assert_eq!(recorded.condition(), Condition::Gone);
    assert!(!recorded.signal(Signal::KILL).unwrap());
    recorded.stop(SOON).unwrap();
    let mut other_boot = sleeper.clone();
    other_boot.boot = "another".to_owned();
    assert!(!other_boot.signal(Signal::KILL).unwrap());
    other_boot.kill().unwrap();
    assert_eq!(sleeper.condition(), Condition::Running);
    sleeper.kill().unwrap();
    assert_eq!(sleeper.condition(), Condition::Gone);
}

#[test]
fn paused_goes_on_and_ends_in_order() {
    let sleeper = started("paused", &["sleep", "1000"]);
    assert!(sleeper.signal(Signal::STOP).unwrap());
    assert!(wait(SOON, || sleeper.condition() == Condition::Paused));
    assert!(sleeper.signal(Signal::CONT).unwrap());
    assert!(wait(SOON, || sleeper.condition() == Condition::Running));
    assert!(sleeper.signal(Signal::STOP).unwrap());
    assert!(wait(SOON, || sleeper.condition() == Condition::Paused));
    // A paused process must not survive being stopped either.
    sleeper.stop(SOON).unwrap();
    assert_eq!(sleeper.condition(), Condition::Gone);
}

#[test]
fn a_process_whose_first_thread_ended_still_holds_its_port() {
    // What SIGKILL leaves for a moment, made to last: the first thread is gone, another is not.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let note = folder.join(format!("port-{}", std::process::id()));
    let script = format!(
        "import ctypes, os, platform, socket, threading, time\n\
         s = socket.create_server(('127.0.0.1', 0))\n\
         threading.Thread(target=time.sleep, args=(1000,)).start()\n\
         open('{0}.new', 'w').write(str(s.getsockname()[1]))\n\
         os.rename('{0}.new', '{0}')\n\
         ctypes.CDLL(None).syscall(60 if platform.machine() == 'x86_64' else 93, 0)\n",
        note.display()
    );
    let server = started("port", &["python3", "-c", &script]);
    let first_ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid));
        note.exists() && stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    assert!(wait(SOON, first_ended));
    let port: u16 = std::fs::read_to_string(&note).unwrap().parse().unwrap();
    assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_err());
    assert_eq!(server.condition(), Condition::Running);
    server.kill().unwrap();
    assert_eq!(server.condition(), Condition::Gone);
    std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::fs::remove_file(note).unwrap();
}

#[test]
fn helpers_left_in_the_session_end_too() {
    // Writes the helper's number down, then becomes the server that knows nothing of it.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let note = folder.join(format!("helper-{}", std::process::id()));
    let script = format!("sleep 1000 & echo $! > {}; exec sleep 1000", note.display());
    let server = started("helpers", &["sh", "-c", &script]);
    let mut helper = String::new();
    assert!(wait(SOON, || {
        helper = std::fs::read_to_string(&note).unwrap_or_default();
        helper.ends_with('\n')
    }));
    let proc = PathBuf::from("/proc").join(helper.trim());
    assert!(proc.exists());
    server.kill().unwrap();
    let gone = || std::fs::read_to_string(proc.join("stat")).is_ok_and(|stat| stat.contains(") Z")) || !proc.exists();
    assert!(wait(SOON, gone));
    std::fs::remove_file(note).unwrap();
}

#[test]
fn a_server_that_does_not_end_in_order_is_killed() {
    let stubborn = started("stubborn", &["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    // The trap is set once the shell has started its first sleep.
    let children = format!("/proc/{0}/task/{0}/children", stubborn.pid);
    assert!(wait(SOON, || { std::fs::read_to_string(&children).is_ok_and(|text| !text.is_empty()) }));
    stubborn.stop(Duration::from_millis(200)).unwrap();
    assert_eq!(stubborn.condition(), Condition::Gone);
}
