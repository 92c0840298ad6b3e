//! Three nodes: one of them dies and comes back.

use xtask::brokers::probe::{kafka_brokers, rabbitmq_nodes, redis};
use xtask::brokers::process::wait;
use xtask::brokers::table::offset;

use super::{SOON, down_without_a_trace, status, up};
use crate::sandbox::Sandbox;

#[test]
fn rabbitmq() {
    let sandbox = Sandbox::new("rabbitmq-cluster");
    let ports = up(&sandbox, "rabbitmq-cluster", &[]).ports;
    let known = |node: usize| rabbitmq_nodes(ports[node] + offset::HTTP).unwrap_or(0);
    assert_eq!(known(0), 3);
    sandbox.well(&["kill", "rabbitmq-cluster:2"]);
    assert_eq!(status(&sandbox, "rabbitmq-cluster:2"), "ended");
    assert!(wait(SOON, || known(0) == 2));
    sandbox.well(&["restart", "--cluster", "rabbitmq:2"]);
    assert!(wait(SOON, || (0..3).all(|node| known(node) == 3)));
    down_without_a_trace(&sandbox, "rabbitmq-cluster");
}

#[test]
fn kafka() {
    let sandbox = Sandbox::new("kafka-cluster");
    let ports = up(&sandbox, "kafka-cluster", &[]).ports;
    let known = |node: usize| kafka_brokers(ports[node]).unwrap_or(0);
    assert_eq!(known(0), 3);
    sandbox.well(&["kill", "kafka-cluster:2"]);
    assert!(wait(SOON, || known(0) == 2));
    sandbox.well(&["restart", "kafka-cluster:2"]);
    assert!(wait(SOON, || (0..3).all(|node| known(node) == 3)));
    down_without_a_trace(&sandbox, "kafka-cluster");
}

#[test]
fn redis_masters() {
    let sandbox = Sandbox::new("redis-cluster");
    let ports = up(&sandbox, "redis-cluster", &[]).ports;
    let info = |node: usize| redis(ports[node], &["CLUSTER", "INFO"]).unwrap_or_default();
    let well = |node: usize| info(node).contains("cluster_state:ok");
    assert!((0..3).all(well));
    sandbox.well(&["kill", "redis-cluster:3"]);
    assert!(wait(SOON, || info(0).contains("cluster_state:fail")));
    sandbox.well(&["restart", "redis-cluster:3"]);
    assert!(wait(SOON, || (0..3).all(well)));
    down_without_a_trace(&sandbox, "redis-cluster");
}
