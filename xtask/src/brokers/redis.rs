//! Redis and Valkey: how they are launched, and how three of them become a cluster.

use std::time::Duration;

use super::node::{Node, Plan};
use super::probe;
use super::process::wait;
use super::table::{self, PASSWORD, Source, USER, USER_PREFIX, offset};
use crate::report::{Outcome, Problem};

/// Hash slots of a Redis cluster.
const SLOTS: usize = 16_384;

/// The line that makes the user with few rights.
pub(super) fn user_setting() -> String {
    // `{app-…}--…` are the names of keys that must live together in a cluster.
    format!("user {USER} on >{PASSWORD} ~{USER_PREFIX}* ~{{{USER_PREFIX}*}}--* &* +@all -@dangerous -@admin +info")
}

fn configuration(node: &Node<'_>) -> Outcome<String> {
    let mut lines =
        vec!["bind 127.0.0.1".to_owned(), format!("port {}", node.plain()), format!("dir {}", node.data()?)];
    let settings = table::REDIS.iter().chain(table::REDIS_CLUSTER.iter().filter(|_| node.broker.nodes > 1));
    lines.extend(settings.map(|(name, value)| format!("{name} {value}")));
    // In its data folder, and by a short name: such paths have at most some hundred bytes.
    lines.push(format!("unixsocket {}", table::SOCKET));
    if node.broker.nodes > 1 {
        lines.push(format!("cluster-port {}", node.port(offset::PEERS)));
    }
    if node.extras.tls {
        let tls = node.certificates()?;
        lines.push(format!("tls-port {}", node.port(offset::TLS)));
        lines.extend(tls_settings(&tls));
    }
    if node.extras.users {
        lines.push(user_setting());
    }
    Ok(lines.join("\n") + "\n")
}

/// TLS that takes clients with and without a certificate, with the files in `folder`.
pub(super) fn tls_settings(folder: &str) -> [String; 4] {
    [
        format!("tls-cert-file {folder}/server.pem"),
        format!("tls-key-file {folder}/server.key"),
        format!("tls-ca-cert-file {folder}/ca.pem"),
        "tls-auth-clients optional".to_owned(),
    ]
}

/// How to run a node.
///
/// # Errors
/// When its files cannot be written.
pub(super) fn plan(node: &Node<'_>) -> Outcome<Plan> {
    let configuration = configuration(node)?;
    let configuration = node.write("redis.conf", &configuration)?;
    let program = match &node.broker.source {
        Source::Debian { program, .. } => format!("/{program}"),
        _ => node.program()?.display().to_string(),
    };
    Ok(Plan { server: node.launch(&[&program, &configuration], &[]), ..Plan::default() })
}

/// Makes one cluster of the servers on `ports`, each a master of its share, unless they are one:
/// `buses` are their ports for each other.
///
/// # Errors
/// When they do not agree in time.
pub(super) fn gather(ports: &[u16], buses: &[u16]) -> Outcome<()> {
    let info = |port: u16| probe::redis(port, &["CLUSTER", "INFO"]);
    let fresh = |text: &str| text.contains("cluster_slots_assigned:0\r");
    let Some(first) = ports.first() else {
        return Ok(());
    };
    if fresh(&info(*first)?) {
        let count = ports.len();
        for (index, port) in ports.iter().enumerate() {
            let from = (SLOTS * index / count).to_string();
            let to = (SLOTS * (index + 1) / count - 1).to_string();
            let epoch = (index + 1).to_string();
            expect_ok(*port, &["CLUSTER", "ADDSLOTSRANGE", &from, &to])?;
            expect_ok(*port, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch])?;
        }
        for (port, bus) in ports.iter().zip(buses).skip(1) {
            let (port, bus) = (port.to_string(), bus.to_string());
            expect_ok(*first, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
    }
    let agreed = |port: &u16| {
        info(*port).is_ok_and(|text| {
            text.contains("cluster_state:ok\r") && text.contains(&format!("cluster_known_nodes:{}\r", ports.len()))
        })
    };
    if wait(Duration::from_secs(120), || ports.iter().all(agreed)) {
        return Ok(());
    }
    Err(Problem::new("the masters did not agree within 120 s: see their logs"))
}

fn expect_ok(port: u16, words: &[&str]) -> Outcome<()> {
    let reply = probe::redis(port, words)?;
    if reply == "+OK" {
        return Ok(());
    }
    Err(Problem::new(format!("{}: {reply}", words.join(" "))))
}
