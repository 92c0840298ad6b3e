//! The compose file as text, from the table of values.
//!
//! Written by hand and not by a YAML library: the file is for people too, and its shape is small.

use std::fmt::Write;

use super::super::state::Extras;
use super::super::table::{self, BROKERS, Broker, ELASTICMQ_HEAP, Family, KAFKA_HEAP, PORTS_PER_NODE, offset};
use super::super::{kafka, rabbitmq, redis, sqs};
use super::inside;

const HEAD: &str = "\
# Every broker that pontoon is tested with. Rendered from xtask/src/brokers/table.rs:
#     cargo xtask brokers compose > docker-compose.yml
# `cargo xtask brokers up` uses it where a container engine answers, with ports that are free.
# By hand: docker compose up --detach --wait, and --profile next or --profile cluster for more.
";

/// The file at the root of the checkout, or with `extras` for every broker that can.
#[must_use]
pub fn render(extras: Extras) -> String {
    let mut layout = Layout::plain();
    for broker in BROKERS {
        layout.set(broker, first_ports(broker), extras.within(broker));
    }
    layout.render()
}

fn first_ports(broker: &Broker) -> Vec<u16> {
    (0..broker.nodes).map(|index| broker.first_port + index * PORTS_PER_NODE).collect()
}

/// Ports and options of every broker.
#[derive(Debug)]
pub(super) struct Layout {
    rows: Vec<(&'static Broker, Vec<u16>, Extras)>,
    /// The folder of certificates on this machine.
    pub(super) certificates: String,
}

/// One service, while it is put together.
#[derive(Default)]
struct Service {
    image: String,
    profile: Option<&'static str>,
    hostname: Option<String>,
    network: Option<String>,
    user: Option<&'static str>,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    ports: Vec<(u16, u16)>,
    volumes: Vec<String>,
    /// Where the text of a configuration goes.
    configuration: Vec<(&'static str, String)>,
    health: Vec<String>,
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

impl Layout {
    /// First ports, no options.
    pub(super) fn plain() -> Self {
        Self {
            rows: BROKERS.iter().map(|broker| (broker, first_ports(broker), Extras::default())).collect(),
            certificates: "./target/brokers/tls".to_owned(),
        }
    }

    /// Sets ports and options of one broker.
    pub(super) fn set(&mut self, broker: &Broker, ports: Vec<u16>, extras: Extras) {
        for row in &mut self.rows {
            if row.0.name == broker.name {
                (row.1, row.2) = (ports.clone(), extras);
            }
        }
    }

    /// The text.
    pub(super) fn render(&self) -> String {
        let mut services = String::from("services:\n");
        let mut configurations = String::from("configs:\n");
        let mut volumes = String::from("volumes:\n");
        for (broker, ports, extras) in &self.rows {
            for number in 1..=broker.nodes {
                let name = service_name(broker, number);
                let service = self.service(broker, ports, *extras, number);
                write_service(&mut services, &name, &service);
                for (index, (_, text)) in service.configuration.iter().enumerate() {
                    write_configuration(&mut configurations, &format!("{name}-{index}"), text);
                }
                if broker.durable {
                    let _ = writeln!(volumes, "  {name}: {{}}");
                }
            }
            if let Some(name) = net_name(broker) {
                write_service(&mut services, &name, &net(broker, ports, *extras));
            }
        }
        format!("{HEAD}name: pontoon\n\n{services}\n{configurations}\n{volumes}")
    }

    fn service(&self, broker: &Broker, ports: &[u16], extras: Extras, number: u16) -> Service {
        let base = ports.get(usize::from(number) - 1).copied().unwrap_or(0);
        let name = service_name(broker, number);
        let mut service = match broker.family {
            Family::RabbitMq => rabbitmq_service(broker, base, extras, number),
            Family::Kafka => kafka_service(broker, ports, extras, number),
            Family::Redis => redis_service(broker, base, extras),
            Family::ElasticMq => elasticmq_service(base),
            Family::Moto => moto_service(base),
        };
        service.image = broker.image.to_owned();
        service.profile = match (broker.on_request, broker.nodes) {
            (false, _) => None,
            (true, 1) => Some("next"),
            (true, _) => Some("cluster"),
        };
        if broker.durable {
            let data = match broker.family {
                Family::RabbitMq => "/var/lib/rabbitmq",
                Family::Kafka => "/var/lib/kafka/data",
                _ => "/data",
            };
            service.volumes.push(format!("{name}:{data}"));
        }
        if extras.tls {
            service.volumes.push(format!("{}:/tls:ro", self.certificates));
        }
        service
    }
}

fn service_name(broker: &Broker, number: u16) -> String {
    if broker.nodes == 1 { broker.name.to_owned() } else { format!("{}-{number}", broker.name) }
}

/// The service that holds the network of a broker whose nodes share one.
pub(super) fn net_name(broker: &Broker) -> Option<String> {
    (broker.family == Family::Redis && broker.nodes > 1).then(|| format!("{}-net", broker.name))
}

fn rabbitmq_service(broker: &Broker, base: u16, extras: Extras, number: u16) -> Service {
    let name = service_name(broker, number);
    let mut lines: Vec<String> = table::RABBITMQ.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    // Calls reach a container from outside; the published ports are on loopback only.
    lines.push("loopback_users.guest = false".to_owned());
    let mut ports = vec![(base + offset::PLAIN, inside::AMQP), (base + offset::HTTP, inside::HTTP)];
    if extras.tls {
        lines.push(format!("listeners.ssl.1 = {}", inside::AMQPS));
        lines.extend(rabbitmq::tls_settings("/tls"));
        ports.push((base + offset::TLS, inside::AMQPS));
    }
    let mut environment = vec![(rabbitmq::ARGUMENTS.to_owned(), rabbitmq::application())];
    if broker.nodes > 1 {
        let names = (1..=broker.nodes).map(|number| format!("rabbit@{}", service_name(broker, number)));
        lines.extend(rabbitmq::cluster_settings(names));
        environment.push(("RABBITMQ_ERLANG_COOKIE".to_owned(), "PONTOONTESTCOOKIE".to_owned()));
    }
    Service {
        // Data belongs to a node's name, which is made of the host's.
        hostname: Some(name),
        environment,
        ports,
        configuration: vec![("/etc/rabbitmq/conf.d/20-pontoon.conf", lines.join("\n"))],
        health: words(&["CMD", "rabbitmq-diagnostics", "-q", "check_port_connectivity"]),
        ..Service::default()
    }
}

/// The variable that the image turns into a setting.
fn kafka_variable(setting: &str) -> String {
    let name = setting.replace('_', "__").replace('-', "___").replace('.', "_");
    format!("KAFKA_{}", name.to_uppercase())
}

fn kafka_service(broker: &Broker, ports: &[u16], extras: Extras, number: u16) -> Service {
    let base = ports.get(usize::from(number) - 1).copied().unwrap_or(0);
    let host = service_name(broker, number);
    let plain = base + offset::PLAIN;
    let peers = base + offset::PEERS;
    let inner = base + offset::INSIDE;
    let mut listeners = format!("PLAINTEXT://:{plain},CONTROLLER://:{peers},INSIDE://:{inner}");
    let mut advertised = format!("PLAINTEXT://127.0.0.1:{plain},INSIDE://{host}:{inner}");
    let mut map = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT".to_owned();
    let mut published = vec![(plain, plain)];
    let mut more = |name: &str, protocol: &str, at: u16| {
        let port = base + at;
        let _ = write!(listeners, ",{name}://:{port}");
        let _ = write!(advertised, ",{name}://127.0.0.1:{port}");
        let _ = write!(map, ",{name}:{protocol}");
        published.push((port, port));
    };
    if extras.tls {
        more("TLS", "SSL", offset::TLS);
    }
    if extras.users {
        let protocol = if extras.tls { "SASL_SSL" } else { "SASL_PLAINTEXT" };
        more("SASL", protocol, offset::SASL);
    }
    let voters: Vec<String> = (1..=broker.nodes)
        .zip(ports)
        .map(|(number, base)| format!("{number}@{}:{}", service_name(broker, number), base + offset::PEERS))
        .collect();
    let mut settings: Vec<(String, String)> = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", number.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("listeners", listeners),
        ("advertised.listeners", advertised),
        ("listener.security.protocol.map", map),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "INSIDE".to_owned()),
        ("log.dirs", "/var/lib/kafka/data".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    settings.extend(table::kafka_settings(broker.nodes).map(|(name, value)| (name.to_owned(), value.to_owned())));
    if extras.tls {
        settings.extend(kafka::tls_settings("/tls"));
    }
    if extras.users {
        settings.extend(kafka::user_settings());
    }
    let heap = if broker.nodes == 1 { KAFKA_HEAP.0 } else { KAFKA_HEAP.1 };
    let mut environment: Vec<(String, String)> =
        settings.into_iter().map(|(name, value)| (kafka_variable(&name), value)).collect();
    environment.push(("CLUSTER_ID".to_owned(), kafka::CLUSTER.to_owned()));
    environment.push(("KAFKA_HEAP_OPTS".to_owned(), heap.to_owned()));
    Service {
        hostname: Some(host),
        environment,
        ports: published,
        health: words(&[
            "CMD",
            "/opt/kafka/bin/kafka-broker-api-versions.sh",
            "--bootstrap-server",
            &format!("127.0.0.1:{plain}"),
        ]),
        ..Service::default()
    }
}

/// The server's program has the name of its project.
fn redis_program(broker: &Broker) -> &'static str {
    if broker.name == "valkey" { "valkey" } else { "redis" }
}

fn redis_service(broker: &Broker, base: u16, extras: Extras) -> Service {
    let cluster = broker.nodes > 1;
    // Nodes of a cluster tell clients their ports, so these are the same inside and outside.
    let (plain, secure) =
        if cluster { (base + offset::PLAIN, base + offset::TLS) } else { (inside::REDIS, inside::REDIS_TLS) };
    let mut lines = vec![
        "bind 0.0.0.0".to_owned(),
        "protected-mode no".to_owned(),
        format!("port {plain}"),
        "dir /data".to_owned(),
    ];
    let settings = table::REDIS.iter().chain(table::REDIS_CLUSTER.iter().filter(|_| cluster));
    lines.extend(settings.map(|(name, value)| format!("{name} {value}")));
    if cluster {
        lines.push(format!("cluster-port {}", base + offset::PEERS));
    }
    let mut ports = vec![(base + offset::PLAIN, plain)];
    if extras.tls {
        lines.push(format!("tls-port {secure}"));
        lines.extend(redis::tls_settings("/tls"));
        ports.push((base + offset::TLS, secure));
    }
    if extras.users {
        lines.push(redis::user_setting());
    }
    let program = redis_program(broker);
    Service {
        network: net_name(broker).map(|name| format!("service:{name}")),
        command: vec![format!("{program}-server"), "/pontoon.conf".to_owned()],
        ports: if cluster { Vec::new() } else { ports },
        configuration: vec![("/pontoon.conf", lines.join("\n"))],
        health: words(&["CMD", &format!("{program}-cli"), "-p", &plain.to_string(), "ping"]),
        ..Service::default()
    }
}

/// Holds the network that the masters of a cluster share, so that they find each other on
/// loopback as clients do, and each can be killed without the others losing their ports.
fn net(broker: &Broker, ports: &[u16], extras: Extras) -> Service {
    let published = ports.iter().flat_map(|base| {
        let secure = extras.tls.then_some(base + offset::TLS);
        std::iter::once(base + offset::PLAIN).chain(secure)
    });
    Service {
        image: broker.image.to_owned(),
        profile: Some("cluster"),
        command: words(&["sleep", "infinity"]),
        ports: published.map(|port| (port, port)).collect(),
        health: words(&["CMD", "true"]),
        ..Service::default()
    }
}

fn elasticmq_service(base: u16) -> Service {
    let text = sqs::elasticmq_configuration("0.0.0.0", inside::ELASTICMQ, &base.to_string(), "/data");
    Service {
        // A new volume belongs to root.
        user: Some("0"),
        environment: vec![("JAVA_OPTS".to_owned(), ELASTICMQ_HEAP.to_owned())],
        ports: vec![(base, inside::ELASTICMQ)],
        configuration: vec![("/opt/elasticmq.conf", text)],
        health: words(&[
            "CMD-SHELL",
            &format!("wget -q -O /dev/null 'http://127.0.0.1:{}/?Action=ListQueues'", inside::ELASTICMQ),
        ]),
        ..Service::default()
    }
}

fn moto_service(base: u16) -> Service {
    let ask = format!("import urllib.request as u; u.urlopen('http://127.0.0.1:{}/?Action=ListQueues')", inside::MOTO);
    Service { ports: vec![(base, inside::MOTO)], health: words(&["CMD", "python", "-c", &ask]), ..Service::default() }
}

/// A string in double quotes; compose reads `$$` as `$`.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$"))
}

fn write_service(out: &mut String, name: &str, service: &Service) {
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    let list = |items: &[String]| {
        let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
        format!("[{}]", items.join(", "))
    };
    line(format!("  {name}:"));
    line(format!("    image: {}", service.image));
    if let Some(profile) = service.profile {
        line(format!("    profiles: [{profile}]"));
    }
    if let Some(hostname) = &service.hostname {
        line(format!("    hostname: {hostname}"));
    }
    if let Some(network) = &service.network {
        line(format!("    network_mode: {network}"));
    }
    if let Some(user) = service.user {
        line(format!("    user: {}", quoted(user)));
    }
    if !service.command.is_empty() {
        line(format!("    command: {}", list(&service.command)));
    }
    if !service.environment.is_empty() {
        line("    environment:".to_owned());
        for (name, value) in &service.environment {
            line(format!("      {name}: {}", quoted(value)));
        }
    }
    if !service.ports.is_empty() {
        line("    ports:".to_owned());
        for (outside, inside) in &service.ports {
            line(format!("      - \"127.0.0.1:{outside}:{inside}\""));
        }
    }
    if !service.volumes.is_empty() {
        line("    volumes:".to_owned());
        for volume in &service.volumes {
            line(format!("      - {}", quoted(volume)));
        }
    }
    if !service.configuration.is_empty() {
        line("    configs:".to_owned());
        for (index, (target, _)) in service.configuration.iter().enumerate() {
            line(format!("      - source: {name}-{index}"));
            line(format!("        target: {target}"));
        }
    }
    line("    healthcheck:".to_owned());
    line(format!("      test: {}", list(&service.health)));
    line("      interval: 3s".to_owned());
    line("      timeout: 20s".to_owned());
    line("      retries: 40".to_owned());
}

fn write_configuration(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "  {name}:\n    content: |");
    for line in text.lines() {
        let _ = writeln!(out, "      {}", line.replace('$', "$$"));
    }
}
