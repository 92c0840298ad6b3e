//! The life of each broker: up, killed, back with its data, paused, resumed, down.

use xtask::brokers::probe::answer;
use xtask::brokers::process::wait;

use super::{SOON, broker, data, down_without_a_trace, status, up};
use crate::sandbox::Sandbox;

fn cycle(name: &str) {
    let sandbox = Sandbox::new(name);
    let base = up(&sandbox, name, &[]).ports[0];
    assert_eq!(status(&sandbox, name), "healthy");
    let again = sandbox.well(&["up", "--native", name]);
    assert!(again.contains(&format!("{name}: is up on")), "{again}");
    let env = sandbox.well(&["env", name]);
    let variable = format!("export {}_URL='", broker(name).variable);
    assert!(env.contains(&variable) && env.contains(&base.to_string()), "{env}");

    data::put(&sandbox, broker(name), base);
    sandbox.well(&["kill", name]);
    assert_eq!(status(&sandbox, name), "ended");
    assert!(answer(broker(name), base).is_err());
    let refused = sandbox.ill(&["kill", name]);
    assert!(refused.contains(&format!("cargo xtask brokers restart {name}")), "{refused}");
    let back = sandbox.well(&["restart", name]);
    assert!(back.contains("healthy on 127.0.0.1:"), "{back}");
    data::find(broker(name), base);

    sandbox.well(&["pause", name]);
    assert!(wait(SOON, || status(&sandbox, name) == "paused"));
    let silent = answer(broker(name), base).unwrap_err().to_string();
    assert!(silent.contains("connected, but no answer"), "{silent}");
    sandbox.well(&["resume", name]);
    assert!(wait(SOON, || answer(broker(name), base).is_ok()));

    assert!(!sandbox.well(&["logs", name]).is_empty());
    down_without_a_trace(&sandbox, name);
}

#[test]
fn rabbitmq() {
    cycle("rabbitmq");
}

#[test]
fn rabbitmq_old() {
    cycle("rabbitmq-old");
}

#[test]
fn kafka() {
    cycle("kafka");
}

#[test]
fn redis() {
    cycle("redis");
}

#[test]
fn redis_old() {
    cycle("redis-old");
}

#[test]
fn valkey() {
    cycle("valkey");
}

#[test]
fn sqs() {
    cycle("sqs");
}

#[test]
fn sqs_moto() {
    cycle("sqs-moto");
}
