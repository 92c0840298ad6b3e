//! The command on real brokers. Each test has a state folder of its own, and uses the user's
//! installations, which `cargo xtask test` has put there.

mod clusters;
mod cycle;
mod data;
mod mishaps;
mod mnesia;
mod options;

use std::time::Duration;

use xtask::brokers::place::Place;
use xtask::brokers::state::State;
use xtask::brokers::table::{self, Broker};

use crate::sandbox::Sandbox;

/// For what takes a moment; never waited out when all is well.
const SOON: Duration = Duration::from_secs(90);

fn broker(name: &str) -> &'static Broker {
    table::find(name).unwrap()
}

fn state(sandbox: &Sandbox, name: &str) -> State {
    let place = Place { state: sandbox.state(), ..Place::find().unwrap() };
    State::read(&place, broker(name)).unwrap().unwrap()
}

/// The word that `status` has for a node.
fn status(sandbox: &Sandbox, node: &str) -> String {
    let name = node.split(':').next().unwrap();
    sandbox
        .run(&["status", name])
        .text
        .lines()
        .find(|line| line.split_whitespace().next() == Some(node))
        .and_then(|line| line.split_whitespace().nth(2))
        .unwrap()
        .to_owned()
}

/// Brings a broker up; where none is installed the test fails and names the command.
#[track_caller]
fn up(sandbox: &Sandbox, name: &str, options: &[&str]) -> State {
    let place = Place::find().unwrap();
    assert!(
        xtask::brokers::installed(&place, broker(name)),
        "{name} is not installed: run `cargo xtask test`, or `cargo xtask brokers up {name}` first"
    );
    let mut words = vec!["up", "--native", name];
    words.extend(options);
    let text = sandbox.well(&words);
    assert!(text.contains(&format!("{name} ")), "{text}");
    assert!(text.contains(": healthy on 127.0.0.1:"), "{text}");
    state(sandbox, name)
}

/// Nothing of it is left but, without `--purge`, its files.
#[track_caller]
fn down_without_a_trace(sandbox: &Sandbox, name: &str) {
    let before = state(sandbox, name);
    sandbox.well(&["down", name]);
    for (role, process) in &before.processes {
        let left: Vec<_> = session(process.pid);
        assert!(left.is_empty(), "{name} {role} left {left:?}");
    }
    for base in &before.ports {
        for port in *base..*base + table::PORTS_PER_NODE {
            std::net::TcpListener::bind(("127.0.0.1", port))
                .unwrap_or_else(|error| panic!("{name} left port {port}: {error}"));
        }
    }
    let folder = sandbox.state().display().to_string();
    for mounts in std::fs::read_dir("/proc").unwrap().flatten() {
        let mounts = std::fs::read_to_string(mounts.path().join("mountinfo")).unwrap_or_default();
        let left = mounts.lines().find(|line| line.contains(&format!("{folder}/{name}/")));
        assert_eq!(left, None, "{name} left a mount");
    }
    assert!(sandbox.state().join(name).exists(), "data stays");
    sandbox.well(&["down", "--purge", name]);
    assert!(!sandbox.state().join(name).exists());
}

/// Command names of processes in a session; ended ones that nobody asked about do not count.
fn session(leader: i32) -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let fields: Vec<_> = stat.get(stat.rfind(')').unwrap() + 2..).unwrap().split(' ').collect();
            fields[0] != "Z" && fields[3] == leader.to_string()
        })
        .collect()
}
