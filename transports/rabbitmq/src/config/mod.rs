//! The settings: one struct that code and URL fill alike. Credentials never leave it by `Debug` or an error.

mod url;

use std::fmt;
use std::net::IpAddr;

use pontoon_core::settings::{self, Secret};
use pontoon_core::{Error, ErrorKind, Result};
use serde::Deserialize;

/// Where a broker is and how it is used. Each setting has a default; an unknown one is an error.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RabbitConfig {
    /// Whether to use TLS (`amqps://`).
    #[serde(skip)]
    pub tls: bool,
    /// Host and port of each node; tried in turn. At least one.
    #[serde(skip)]
    pub nodes: Vec<(String, u16)>,
    /// The virtual host.
    pub vhost: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// Seconds between two signs of life; after two of them without any the connection is lost. From 1 to 600,
    /// default 10.
    #[serde(deserialize_with = "settings::a_number")]
    pub heartbeat: u16,
    /// The most publishes unconfirmed at once on one publisher: from 1 to 65,536, default 512.
    #[serde(deserialize_with = "settings::a_number")]
    pub window: usize,
    /// The largest body in bytes; 0, the default, takes the broker's own default for its version.
    #[serde(deserialize_with = "settings::a_size")]
    pub max_body: u64,
    /// How many nodes keep each message: what *survives node loss* is declared by. Default 1.
    #[serde(deserialize_with = "settings::a_number")]
    pub replicas: u16,
    /// Whether a password may travel without TLS to another machine. Default no.
    #[serde(deserialize_with = "settings::a_flag")]
    pub allow_plaintext_password: bool,
    /// PEM file of authorities to trust beside the system's.
    #[serde(deserialize_with = "settings::some_text")]
    pub ca: Option<String>,
    /// PEM file of the client's certificate chain.
    #[serde(deserialize_with = "settings::some_text")]
    pub cert: Option<String>,
    /// PEM file of the client's key (PKCS #8).
    #[serde(deserialize_with = "settings::some_text")]
    pub key: Option<String>,
}

impl fmt::Debug for RabbitConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitConfig")
            .field("tls", &self.tls)
            .field("nodes", &self.nodes)
            .field("vhost", &self.vhost)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl Default for RabbitConfig {
    fn default() -> Self {
        RabbitConfig {
            tls: false,
            nodes: vec![("localhost".to_owned(), 5672)],
            vhost: "/".to_owned(),
            user: "guest".to_owned(),
            password: Secret::new("guest"),
            heartbeat: 10,
            window: 512,
            max_body: 0,
            replicas: 1,
            allow_plaintext_password: false,
            ca: None,
            cert: None,
            key: None,
        }
    }
}

impl RabbitConfig {
    /// Checks the ranges, and that no password travels in the clear unless that was allowed by name.
    ///
    /// # Errors
    /// `InvalidConfig` naming the setting and its range.
    pub fn validate(&self) -> Result<()> {
        if self.nodes.is_empty() || self.nodes.iter().any(|(host, _)| host.is_empty()) {
            return Err(setting("node", "at least one node with a host is needed"));
        }
        if !(1..=600).contains(&self.heartbeat) {
            return Err(setting("heartbeat", "it must be from 1 to 600 seconds"));
        }
        if !(1..=65_536).contains(&self.window) {
            return Err(setting("window", "it must be from 1 to 65536"));
        }
        if self.replicas == 0 {
            return Err(setting("replicas", "it must be at least 1"));
        }
        if self.cert.is_some() != self.key.is_some() {
            return Err(setting("cert", "a client certificate needs both `cert` and `key`"));
        }
        if !self.tls && (self.ca.is_some() || self.cert.is_some()) {
            return Err(setting("ca", "certificates belong to `amqps://`"));
        }
        let far = self.nodes.iter().any(|(host, _)| !is_loopback(host));
        if !self.tls && far && !self.allow_plaintext_password {
            return Err(setting(
                "allow_plaintext_password",
                "the password would travel unencrypted to another machine",
            )
            .with_help("use `amqps://`, or allow it by name with `allow_plaintext_password=true`"));
        }
        Ok(())
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

const HELP: &str = "see the settings in the documentation of `RabbitConfig`";

/// What is wrong with one setting.
pub(crate) fn setting(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, "connect", what).with("setting", name).with_help(HELP)
}
