//! The transports of this repository that have a conformance test.

use super::Options;
use crate::report::{Outcome, Problem};

/// A transport with its conformance test.
pub(super) struct Suite {
    pub(super) transport: &'static str,
    pub(super) package: &'static str,
    pub(super) test: &'static str,
    /// Its brokers, each with the beginning of the names of its profiles.
    pub(super) brokers: &'static [(&'static str, &'static str)],
}

pub(super) const SUITES: [Suite; 5] = [
    Suite { transport: "file", package: "pontoon-example-file", test: "conformance", brokers: &[] },
    Suite { transport: "memory", package: "pontoon-conformance", test: "memory", brokers: &[] },
    Suite { transport: "memory-server", package: "pontoon-conformance", test: "memory_server", brokers: &[] },
    Suite {
        transport: "rabbitmq",
        package: "pontoon-rabbitmq",
        test: "conformance",
        brokers: &[("rabbitmq", "rabbitmq-4.0"), ("rabbitmq-old", "rabbitmq-3.10")],
    },
    Suite {
        transport: "redis",
        package: "pontoon-redis",
        test: "conformance",
        brokers: &[("redis", "redis-8.0"), ("redis-old", "redis-7.0")],
    },
];

/// The suites that are meant.
///
/// # Errors
/// When none is, with those there are.
pub(super) fn chosen(options: &Options) -> Outcome<Vec<&'static Suite>> {
    let has = |suite: &Suite| {
        options.broker.as_ref().is_none_or(|broker| suite.brokers.iter().any(|(name, _)| name == broker))
    };
    let named: Vec<&Suite> =
        SUITES.iter().filter(|suite| options.transport == "all" || suite.transport == options.transport).collect();
    let suites: Vec<&Suite> = named.iter().copied().filter(|suite| has(suite)).collect();
    if let (false, true, Some(broker)) = (named.is_empty(), suites.is_empty(), &options.broker) {
        let known: Vec<&str> = named.iter().flat_map(|suite| suite.brokers.iter().map(|(name, _)| *name)).collect();
        return Err(Problem::new(format!(
            "no transport here runs on the broker `{broker}`: choose one of {}, or leave out --broker",
            known.join(", ")
        )));
    }
    if suites.is_empty() {
        let known: Vec<&str> = SUITES.iter().map(|suite| suite.transport).collect();
        return Err(Problem::new(format!(
            "there is no transport `{}`: choose `all` or one of {}",
            options.transport,
            known.join(", ")
        )));
    }
    Ok(suites)
}
