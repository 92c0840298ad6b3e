//! TLS, and users with few rights.

use std::path::Path;
use std::process::{Command, Stdio};

use xtask::brokers::probe::{http, rabbitmq_call, redis};
use xtask::brokers::table::offset;

use super::data::kafka_tool;
use super::up;
use crate::sandbox::{Sandbox, said};

/// What `openssl` says about the server on a port: whether its certificate is our CA's.
fn verified(sandbox: &Sandbox, port: u16, with_certificate: bool) -> String {
    let tls = sandbox.state().join("tls");
    let file = |name: &str| tls.join(name).display().to_string();
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-brief", "-verify_return_error", "-CAfile", &file("ca.pem")])
        .args(["-verify_hostname", "localhost", "-connect"])
        .arg(format!("127.0.0.1:{port}"));
    if with_certificate {
        command.args(["-cert", &file("client.pem"), "-key", &file("client.key")]);
    }
    said(&command.stdin(Stdio::null()).output().unwrap()).text
}

#[test]
fn redis_has_tls_and_a_user_with_few_rights() {
    let sandbox = Sandbox::new("redis-options");
    // Options can be added to a running broker.
    up(&sandbox, "redis", &[]);
    let base = up(&sandbox, "redis", &["--tls", "--users"]).ports[0];
    let text = verified(&sandbox, base + offset::TLS, false);
    assert!(text.contains("Verification: OK"), "{text}");
    let env = sandbox.well(&["env", "redis"]);
    assert!(env.contains(&format!("export PONTOON_REDIS_TLS_URL='rediss://localhost:{}'", base + 1)), "{env}");
    assert!(env.contains("export PONTOON_REDIS_USER_URL='redis://app:app-secret@"), "{env}");
    assert!(Path::new(&sandbox.state().join("tls/ca.pem")).exists());

    let allowed = |words: &[&str]| {
        let all = [&["ACL", "DRYRUN", "app"], words].concat();
        redis(base, &all).unwrap()
    };
    assert_eq!(allowed(&["SET", "app-x", "1"]), "+OK");
    assert!(allowed(&["SET", "other", "1"]).contains("no permissions"));
    assert!(allowed(&["FLUSHALL"]).contains("no permissions"));
}

#[test]
fn rabbitmq_wants_certificates_and_has_a_user_with_few_rights() {
    let sandbox = Sandbox::new("rabbitmq-options");
    let base = up(&sandbox, "rabbitmq", &["--tls", "--users"]).ports[0];
    let text = verified(&sandbox, base + offset::TLS, true);
    assert!(text.contains("Verification: OK"), "{text}");

    let create = |name: &str| {
        let path = format!("/api/queues/%2F/{name}");
        rabbitmq_call(base + offset::HTTP, "PUT", &path, "{\"durable\":true}").unwrap()
    };
    let as_app = |path: &str| {
        let headers = "Authorization: Basic YXBwOmFwcC1zZWNyZXQ=\r\nContent-Type: application/json\r\n";
        let body = "{\"count\":1,\"ackmode\":\"ack_requeue_true\",\"encoding\":\"auto\"}";
        http(base + offset::HTTP, "POST", path, headers, body).unwrap()
    };
    assert_eq!(create("app-x").0, 201);
    assert_eq!(create("other").0, 201);
    let (status, text) = as_app("/api/queues/%2F/app-x/get");
    assert_eq!(status, 200, "{text}");
    let (status, text) = as_app("/api/queues/%2F/other/get");
    assert!((400..500).contains(&status), "{status} {text}");
}

#[test]
fn kafka_has_tls_and_a_user_with_few_rights() {
    let sandbox = Sandbox::new("kafka-options");
    let base = up(&sandbox, "kafka", &["--tls", "--users"]).ports[0];
    let text = verified(&sandbox, base + offset::TLS, false);
    assert!(text.contains("Verification: OK"), "{text}");

    let trust = sandbox.state().join("tls/ca.pem");
    let write = |mechanism: &str, module: &str| {
        let file = sandbox.folder.join(format!("{mechanism}.properties"));
        let text = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n\
             sasl.jaas.config=org.apache.kafka.common.security.{module} required \
             username=\"app\" password=\"app-secret\";\n",
            trust.display()
        );
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let plain = write("PLAIN", "plain.PlainLoginModule");
    let scram = write("SCRAM-SHA-512", "scram.ScramLoginModule");
    let server = format!("127.0.0.1:{}", base + offset::SASL);
    let create = |file: &str, topic: &str| {
        let words = ["--bootstrap-server", &server, "--command-config", file];
        let more = ["--create", "--partitions", "1", "--topic", topic];
        kafka_tool("TopicCommand", &[&words[..], &more].concat(), "")
    };
    for (file, topic) in [(&plain, "app-plain"), (&scram, "app-scram")] {
        let (well, text) = create(file, topic);
        assert!(well && text.contains(&format!("Created topic {topic}")), "{text}");
    }
    let (_, text) = create(&plain, "other");
    assert!(text.contains("Authorization failed"), "{text}");
}
