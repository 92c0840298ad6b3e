//! The table of values, and the compose file rendered from it.

use std::collections::BTreeSet;

use xtask::brokers::compose::render;
use xtask::brokers::missing;
use xtask::brokers::state::Extras;
use xtask::brokers::table::{BROKERS, PORTS_PER_NODE};

#[test]
fn compose_file_is_what_the_table_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docker-compose.yml");
    let text = std::fs::read_to_string(file).unwrap();
    let rendered = render(Extras::default());
    assert!(
        text == rendered,
        "docker-compose.yml differs from xtask/src/brokers/table.rs: run \
         `cargo xtask brokers compose > docker-compose.yml`; first difference: {:?}",
        text.lines().zip(rendered.lines()).find(|(file, table)| file != table)
    );
}

#[test]
fn every_image_is_pinned_to_the_version_of_its_row() {
    for broker in BROKERS {
        let (_, tag) = broker.image.split_once(':').unwrap();
        let version = tag.strip_suffix("-management").unwrap_or(tag);
        assert_eq!(version, broker.version, "{}", broker.name);
    }
}

#[test]
fn names_variables_and_ports_are_each_broker_s_own() {
    let mut names = BTreeSet::new();
    let mut variables = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for broker in BROKERS {
        assert!(names.insert(broker.name), "{} twice", broker.name);
        assert!(variables.insert(broker.variable), "{} twice", broker.variable);
        for port in 0..broker.nodes * PORTS_PER_NODE {
            assert!(ports.insert(broker.first_port + port), "{}", broker.name);
        }
    }
}

#[test]
fn compose_publishes_on_loopback_only() {
    let all = Extras { tls: true, users: true };
    for extras in [Extras::default(), all] {
        let text = render(extras);
        let published: Vec<_> = text
            .lines()
            .skip_while(|line| *line != "services:")
            .take_while(|line| *line != "configs:")
            .filter(|line| line.trim_start().starts_with("- \""))
            .filter(|line| line.trim_end_matches('"').ends_with(|c: char| c.is_ascii_digit()))
            .collect();
        assert!(published.len() > BROKERS.len(), "{published:?}");
        for line in published {
            assert!(line.trim_start().starts_with("- \"127.0.0.1:"), "{line}");
        }
    }
}

#[test]
fn compose_has_tls_where_the_table_says_so() {
    let tls = render(Extras { tls: true, users: false });
    let nodes: u16 = BROKERS.iter().filter(|broker| broker.tls).map(|broker| broker.nodes).sum();
    assert_eq!(tls.matches(":/tls:ro").count(), usize::from(nodes));
    assert_eq!(render(Extras::default()).matches("/tls").count(), 0);
}

#[test]
fn a_test_without_its_broker_is_told_the_command() {
    let text = missing("PONTOON_RABBITMQ_OLD_URL");
    assert!(text.contains("cargo xtask brokers up rabbitmq-old`"), "{text}");
    assert!(text.contains("cargo xtask test"), "{text}");
}
