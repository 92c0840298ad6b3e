//! Kafka: how it is formatted and launched, and its user with few rights.

use std::time::Duration;

use super::node::{self, Launch, Node, Plan};
use super::probe;
use super::process::wait;
use super::table::{self, PASSWORD, STORE_PASSWORD, USER, USER_PREFIX, offset};
use crate::report::{Outcome, Problem};

/// Kafka's ids are 16 bytes in 22 letters; these are chosen, so a restart needs no memory of them.
pub(super) const CLUSTER: &str = "pontoon-kafka-clusterA";

fn directory(number: u16) -> String {
    format!("pontoon-kafka-direct{number}A")
}

/// A listener: name, security protocol, offset of the port.
type Listener = (&'static str, &'static str, u16);

/// Listeners of a node.
fn listeners(node: &Node<'_>) -> Vec<Listener> {
    let mut listeners = vec![("PLAINTEXT", "PLAINTEXT", offset::PLAIN), ("CONTROLLER", "PLAINTEXT", offset::PEERS)];
    if node.extras.tls {
        listeners.push(("TLS", "SSL", offset::TLS));
    }
    if node.extras.users {
        let protocol = if node.extras.tls { "SASL_SSL" } else { "SASL_PLAINTEXT" };
        listeners.push(("SASL", protocol, offset::SASL));
    }
    listeners
}

/// Settings of the listener that asks for a user, the rights, and who is free of them.
pub(super) fn user_settings() -> Vec<(String, String)> {
    let module = "org.apache.kafka.common.security";
    [
        ("listener.name.sasl.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512".to_owned()),
        (
            "listener.name.sasl.plain.sasl.jaas.config",
            format!("{module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"),
        ),
        ("listener.name.sasl.scram-sha-512.sasl.jaas.config", format!("{module}.scram.ScramLoginModule required;")),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned()),
        // Everybody on the listeners without a user, the broker itself among them.
        ("super.users", "User:ANONYMOUS".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Settings of TLS, with the key store in `folder`.
pub(super) fn tls_settings(folder: &str) -> Vec<(String, String)> {
    [
        ("ssl.keystore.type", "PKCS12".to_owned()),
        ("ssl.keystore.location", format!("{folder}/server.p12")),
        ("ssl.keystore.password", STORE_PASSWORD.to_owned()),
        ("ssl.key.password", STORE_PASSWORD.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn configuration(node: &Node<'_>) -> Outcome<String> {
    let listeners = listeners(node);
    let join =
        |with: &dyn Fn(&Listener) -> Option<String>| listeners.iter().filter_map(with).collect::<Vec<_>>().join(",");
    let at = |name: &str, port: u16| format!("{name}://127.0.0.1:{}", node.port(port));
    let controllers: Vec<_> = node.all().map(|other| format!("127.0.0.1:{}", other.port(offset::PEERS))).collect();
    let mut settings = vec![
        ("process.roles".to_owned(), "broker,controller".to_owned()),
        ("node.id".to_owned(), node.number.to_string()),
        ("controller.quorum.bootstrap.servers".to_owned(), controllers.join(",")),
        ("listeners".to_owned(), join(&|(name, _, port)| Some(at(name, *port)))),
        ("advertised.listeners".to_owned(), join(&|(name, _, port)| (*name != "CONTROLLER").then(|| at(name, *port)))),
        ("controller.listener.names".to_owned(), "CONTROLLER".to_owned()),
        ("listener.security.protocol.map".to_owned(), join(&|(name, protocol, _)| Some(format!("{name}:{protocol}")))),
        ("inter.broker.listener.name".to_owned(), "PLAINTEXT".to_owned()),
        ("log.dirs".to_owned(), node.data()?),
    ];
    settings.extend(table::kafka_settings(node.broker.nodes).map(|(name, value)| (name.to_owned(), value.to_owned())));
    if node.extras.tls {
        settings.extend(tls_settings(&node.certificates()?));
    }
    if node.extras.users {
        settings.extend(user_settings());
    }
    Ok(settings.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect())
}

/// How to run a node.
///
/// # Errors
/// When its files cannot be written.
pub(super) fn plan(node: &Node<'_>) -> Outcome<Plan> {
    let configuration = configuration(node)?;
    let configuration = node.write("server.properties", &configuration)?;
    let formatted = node.folder().join("data/meta.properties").exists();
    let heap = if node.broker.nodes == 1 { table::KAFKA_HEAP.0 } else { table::KAFKA_HEAP.1 };
    let mut options = vec!["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
    options.extend(heap.split(' '));
    // Without a level it writes nothing at all.
    options.push("-Dorg.apache.logging.log4j.level=INFO");
    Ok(Plan {
        first: (!formatted).then(|| format(node, &configuration)),
        helper: None,
        server: node.java(&options, "kafka.Kafka", &[&configuration]),
    })
}

fn format(node: &Node<'_>, configuration: &str) -> Launch {
    let controllers: Vec<_> = node
        .all()
        .map(|other| format!("{}@127.0.0.1:{}:{}", other.number, other.port(offset::PEERS), directory(other.number)))
        .collect();
    let controllers = controllers.join(",");
    let scram = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
    node.java(
        &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"],
        "kafka.tools.StorageTool",
        &["format", "-t", CLUSTER, "-c", configuration, "--initial-controllers", &controllers, "--add-scram", &scram],
    )
}

/// Waits until every broker knows of all.
///
/// # Errors
/// When they do not find each other.
pub(super) fn gather(ports: &[u16]) -> Outcome<()> {
    let all = |port: &u16| probe::kafka_brokers(*port).is_ok_and(|known| known == ports.len());
    if wait(Duration::from_secs(120), || ports.iter().all(all)) {
        return Ok(());
    }
    Err(Problem::new("the brokers did not find each other within 120 s: see their logs"))
}

/// What the tool for rights is told: the user may do everything with names of its prefix.
pub(super) fn rights() -> [String; 12] {
    [
        "--add".to_owned(),
        "--allow-principal".to_owned(),
        format!("User:{USER}"),
        "--operation".to_owned(),
        "All".to_owned(),
        "--topic".to_owned(),
        USER_PREFIX.to_owned(),
        "--group".to_owned(),
        USER_PREFIX.to_owned(),
        "--resource-pattern-type".to_owned(),
        "prefixed".to_owned(),
        "--force".to_owned(),
    ]
}

/// Gives the user its rights.
///
/// # Errors
/// When Kafka's tool fails.
pub(super) fn settle(node: &Node<'_>) -> Outcome<()> {
    let server = format!("127.0.0.1:{}", node.plain());
    let rights = rights();
    let mut words = vec!["--bootstrap-server", &server];
    words.extend(rights.iter().map(String::as_str));
    let launch = node.java(
        &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"],
        "org.apache.kafka.tools.AclCommand",
        &words,
    );
    node::run("giving Kafka's user its rights", &launch, &node.folder())
}
