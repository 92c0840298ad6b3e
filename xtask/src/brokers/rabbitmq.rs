//! RabbitMQ: how it is launched, and its user with few rights.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::node::{Node, Plan};
use super::place;
use super::probe;
use super::process::wait;
use super::table::{self, PASSWORD, USER, USER_PREFIX, offset};
use crate::report::{Doing, Outcome, Problem};

/// The configuration file for a node.
///
/// # Errors
/// When certificates cannot be copied.
fn configuration(node: &Node<'_>) -> Outcome<String> {
    let mut lines = vec![
        format!("listeners.tcp.1 = 127.0.0.1:{}", node.plain()),
        "management.tcp.ip = 127.0.0.1".to_owned(),
        format!("management.tcp.port = {}", node.port(offset::HTTP)),
    ];
    lines.extend(table::RABBITMQ.iter().map(|(name, value)| format!("{name} = {value}")));
    if node.extras.tls {
        let tls = node.certificates()?;
        lines.push(format!("listeners.ssl.1 = 127.0.0.1:{}", node.port(offset::TLS)));
        lines.extend(tls_settings(&tls));
    }
    if node.broker.nodes > 1 {
        lines.extend(cluster_settings(node.all().map(|other| format!("{}@localhost", name(&other)))));
    }
    Ok(lines.join("\n") + "\n")
}

/// TLS that asks clients for a certificate, with the files in `folder`.
pub(super) fn tls_settings(folder: &str) -> [String; 5] {
    [
        format!("ssl_options.cacertfile = {folder}/ca.pem"),
        format!("ssl_options.certfile = {folder}/server.pem"),
        format!("ssl_options.keyfile = {folder}/server.key"),
        "ssl_options.verify = verify_peer".to_owned(),
        "ssl_options.fail_if_no_peer_cert = true".to_owned(),
    ]
}

/// What is handed to the virtual machine that a node runs in.
pub(super) const ARGUMENTS: &str = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS";

/// Settings that go by the virtual machine.
pub(super) fn application() -> String {
    let (name, value) = table::RABBITMQ_APPLICATION;
    format!("-rabbit {name} {value}")
}

/// Nodes that find each other by a list of names.
pub(super) fn cluster_settings(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines = vec![
        "cluster_formation.peer_discovery_backend = classic_config".to_owned(),
        "cluster_partition_handling = pause_minority".to_owned(),
    ];
    lines.extend(
        names.enumerate().map(|(index, name)| format!("cluster_formation.classic_config.nodes.{} = {name}", index + 1)),
    );
    lines
}

fn name(node: &Node<'_>) -> String {
    format!("node{}", node.number)
}

/// How to run a node.
///
/// # Errors
/// When its files cannot be written.
pub(super) fn plan(node: &Node<'_>) -> Outcome<Plan> {
    let here = node.seen();
    let home = node.folder().join("home");
    place::make(&home)?;
    let data = node.data()?;
    node.write("enabled_plugins", "[rabbitmq_management].\n")?;
    let configuration = configuration(node)?;
    let configuration = node.write("rabbitmq.conf", &configuration)?;
    let cookie = home.join(".erlang.cookie");
    if !cookie.exists() {
        // Nodes only listen on loopback; the cookie must only be equal in all of them.
        place::write(&cookie, "PONTOONTESTCOOKIE")?;
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))
            .doing(|| format!("protecting {}", cookie.display()))?;
    }
    // The port mapper of the first node serves all.
    let epmd = node.ports.first().map_or(0, |base| base + offset::EPMD);
    let epmd_text = epmd.to_string();
    let env = [
        ("HOME", format!("{here}/home")),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_EPMD_PORT", epmd_text.clone()),
        ("RABBITMQ_NODENAME", format!("{}@localhost", name(node))),
        ("RABBITMQ_DIST_PORT", node.port(offset::PEERS).to_string()),
        (ARGUMENTS, format!("-kernel inet_dist_use_interface {{127,0,0,1}} {}", application())),
        ("RABBITMQ_MNESIA_BASE", data),
        ("RABBITMQ_LOG_BASE", format!("{here}/log")),
        // Standard output, which goes to the node's log file.
        ("RABBITMQ_LOGS", "-".to_owned()),
        ("RABBITMQ_CONFIG_FILE", configuration),
        ("RABBITMQ_CONF_ENV_FILE", format!("{here}/none")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", format!("{here}/generated")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", format!("{here}/enabled_plugins")),
        ("RABBITMQ_PID_FILE", format!("{here}/pid")),
        // Makes the script execute the server in place instead of waiting beside it.
        ("RUNNING_UNDER_SYSTEMD", "1".to_owned()),
    ];
    Ok(Plan {
        first: None,
        helper: Some((
            "epmd",
            node.launch(&["/usr/bin/epmd", "-address", "127.0.0.1", "-port", &epmd_text], &[]),
            epmd,
        )),
        server: node.launch(&["/usr/lib/rabbitmq/bin/rabbitmq-server"], &env),
    })
}

/// Waits until the HTTP API answers and every node is known, then makes the user.
///
/// # Errors
/// When the API refuses.
pub(super) fn settle(http: u16, nodes: u16, users: bool) -> Outcome<()> {
    let mut last = String::new();
    let well = wait(Duration::from_secs(120), || match probe::rabbitmq_nodes(http) {
        Ok(running) if running == usize::from(nodes) => true,
        Ok(running) => {
            last = format!("{running} of {nodes} nodes run");
            false
        }
        Err(problem) => {
            last = problem.to_string();
            false
        }
    });
    if !well {
        return Err(Problem::new(format!("the HTTP API on port {http} did not settle within 120 s: {last}")));
    }
    if !users {
        return Ok(());
    }
    let user = format!("{{\"password\":\"{PASSWORD}\",\"tags\":\"management\"}}");
    let rights = format!("{{\"configure\":\"\",\"write\":\"^{USER_PREFIX}\",\"read\":\"^{USER_PREFIX}\"}}");
    for (path, body) in [(format!("/api/users/{USER}"), user), (format!("/api/permissions/%2F/{USER}"), rights)] {
        let (status, text) = probe::rabbitmq_call(http, "PUT", &path, &body)?;
        if !(200..300).contains(&status) {
            return Err(Problem::new(format!("PUT {path}: status {status} {text}")));
        }
    }
    Ok(())
}
