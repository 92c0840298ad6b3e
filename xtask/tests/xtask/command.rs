//! The command line without any broker: mistakes get an answer that helps.

use crate::sandbox::Sandbox;

#[test]
fn an_unknown_broker_is_answered_with_those_there_are() {
    let sandbox = Sandbox::new("unknown");
    for verb in ["up", "down", "status", "env", "kill", "pause", "resume", "restart", "logs"] {
        let text = sandbox.ill(&[verb, "rabitmq"]);
        assert!(text.contains("there is no broker `rabitmq`"), "{verb}: {text}");
        assert!(text.contains("rabbitmq-next, kafka"), "{verb}: {text}");
    }
    assert!(!sandbox.state().exists());
}

#[test]
fn an_unknown_node_is_answered_with_those_there_are() {
    let sandbox = Sandbox::new("node");
    let text = sandbox.ill(&["kill", "kafka-cluster:4"]);
    assert!(text.contains("kafka-cluster has nodes 1 to 3, not `4`"), "{text}");
    let text = sandbox.ill(&["kill", "--cluster", "redis:x"]);
    assert!(text.contains("redis-cluster has nodes 1 to 3, not `x`"), "{text}");
    let text = sandbox.ill(&["up", "--cluster", "sqs"]);
    assert!(text.contains("there is no broker `sqs-cluster`"), "{text}");
}

#[test]
fn verbs_that_hurt_want_names() {
    let sandbox = Sandbox::new("names");
    for verb in ["kill", "pause", "resume", "restart"] {
        let text = sandbox.ill(&[verb]);
        assert!(text.contains("which broker? Name one or more of"), "{verb}: {text}");
    }
}

#[test]
fn without_brokers_the_next_step_is_named() {
    let sandbox = Sandbox::new("none");
    let text = sandbox.ill(&["env"]);
    assert!(text.contains("no broker is up: run `cargo xtask brokers up`"), "{text}");
    let text = sandbox.ill(&["kill", "redis"]);
    assert!(text.contains("run `cargo xtask brokers up redis`"), "{text}");
    let text = sandbox.ill(&["status", "redis"]);
    assert!(text.contains("redis"), "{text}");
    sandbox.well(&["down"]);
    sandbox.well(&["status"]);
}

#[test]
fn a_damaged_state_is_not_guessed_at() {
    let sandbox = Sandbox::new("damaged");
    let folder = sandbox.state().join("redis");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("state.json"), "{\"way\": \"nat").unwrap();
    let text = sandbox.ill(&["down", "redis"]);
    assert!(text.contains("state.json is damaged"), "{text}");
    std::fs::remove_dir_all(folder).unwrap();
}
