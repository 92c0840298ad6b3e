//! Servers that speak SQS: `ElasticMQ`, which stores, and moto, which also speaks SNS.

use super::node::{Node, Plan};
use super::table;
use crate::report::Outcome;

/// `ElasticMQ`'s configuration: `host` and `port` to listen on and to be known by, data in `data`.
///
/// Without `WRITE_DELAY=0` the storage writes late, and a killed server forgets what it
/// acknowledged.
pub(super) fn elasticmq_configuration(bind: &str, port: u16, known_by: &str, data: &str) -> String {
    format!(
        "include classpath(\"application.conf\")\n\
         node-address {{ protocol = http, host = \"127.0.0.1\", port = {known_by}, context-path = \"\" }}\n\
         rest-sqs {{ enabled = true, bind-port = {port}, bind-hostname = \"{bind}\", sqs-limits = strict }}\n\
         rest-stats {{ enabled = false }}\n\
         queues-storage {{ enabled = true, path = \"{data}/queues.conf\" }}\n\
         messages-storage {{ enabled = true, uri = \"jdbc:h2:{data}/messages;WRITE_DELAY=0\", driver-class = \"org.h2.Driver\" }}\n"
    )
}

/// How to run `ElasticMQ`.
///
/// # Errors
/// When its files cannot be written.
pub(super) fn elasticmq(node: &Node<'_>) -> Outcome<Plan> {
    let port = node.plain();
    let text = elasticmq_configuration("127.0.0.1", port, &port.to_string(), &node.data()?);
    let configuration = node.write("elasticmq.conf", &text)?;
    let file = format!("-Dconfig.file={configuration}");
    let options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", table::ELASTICMQ_HEAP, &file];
    Ok(Plan { server: node.java(&options, "org.elasticmq.server.Main", &[]), ..Plan::default() })
}

/// How to run moto.
///
/// # Errors
/// When it is not installed.
pub(super) fn moto(node: &Node<'_>) -> Outcome<Plan> {
    node.program()?;
    let python = node.place.installation(node.broker.installation).join("bin/python");
    let python = python.display().to_string();
    let port = node.plain().to_string();
    let words = [&python, "-m", "moto.server", "-H", "127.0.0.1", "-p", &port];
    Ok(Plan { server: node.launch(&words, &[]), ..Plan::default() })
}
