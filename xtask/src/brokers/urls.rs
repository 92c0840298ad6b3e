//! Addresses of a broker, as `env` prints them.

use super::place::Place;
use super::state::State;
use super::table::{Broker, Family, PASSWORD, USER, offset};
use super::tls;

/// Names and values of the variables of a broker.
#[must_use]
pub fn of(place: &Place, broker: &Broker, state: &State) -> Vec<(String, String)> {
    let scheme = match broker.family {
        Family::RabbitMq => "amqp",
        Family::Kafka => "kafka",
        Family::Redis => "redis",
        Family::ElasticMq | Family::Moto => "sqs",
    };
    // RabbitMQ has no access without a user; this one exists from the start.
    let first = match broker.family {
        Family::RabbitMq => "guest:guest@",
        _ => "",
    };
    let url = |scheme: &str, user: &str, host: &str, at: u16| {
        let ports = state.ports.iter().map(|base| format!("{host}:{}", base + at));
        let hosts: Vec<String> = if broker.family == Family::Kafka {
            // Kafka's clients take a list of brokers in one address.
            vec![ports.collect::<Vec<_>>().join(",")]
        } else {
            ports.collect()
        };
        hosts.iter().map(|host| format!("{scheme}://{user}{host}")).collect::<Vec<_>>().join(",")
    };
    let mut all = vec![(format!("{}_URL", broker.variable), url(scheme, first, "127.0.0.1", offset::PLAIN))];
    if broker.family == Family::RabbitMq {
        all.push((format!("{}_HTTP_URL", broker.variable), url("http", first, "127.0.0.1", offset::HTTP)));
    }
    if state.extras.users {
        let user = format!("{USER}:{PASSWORD}@");
        let (scheme, at) = match broker.family {
            Family::Kafka if state.extras.tls => ("kafka+tls", offset::SASL),
            Family::Kafka => (scheme, offset::SASL),
            _ => (scheme, offset::PLAIN),
        };
        all.push((format!("{}_USER_URL", broker.variable), url(scheme, &user, "127.0.0.1", at)));
    }
    if state.extras.tls {
        let scheme = match broker.family {
            Family::RabbitMq => "amqps",
            Family::Redis => "rediss",
            _ => "kafka+tls",
        };
        all.push((format!("{}_TLS_URL", broker.variable), url(scheme, first, "localhost", offset::TLS)));
        let folder = tls::folder(place);
        for (name, file) in [("CA", "ca.pem"), ("CERT", "client.pem"), ("KEY", "client.key")] {
            all.push((format!("PONTOON_TLS_{name}"), folder.join(file).display().to_string()));
        }
    }
    all
}
