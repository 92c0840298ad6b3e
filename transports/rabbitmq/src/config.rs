//! The settings: one struct that code and URL fill alike. Credentials never leave it by `Debug` or an error.

use std::fmt;
use std::net::IpAddr;

use pontoon_core::{Error, ErrorKind, Result};
use url::Url;

/// Where a broker is and how it is used.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RabbitConfig {
    /// Whether to use TLS (`amqps://`).
    pub tls: bool,
    /// Host and port of each node; tried in turn. At least one.
    pub nodes: Vec<(String, u16)>,
    /// The virtual host.
    pub vhost: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// Seconds between two signs of life; after two of them without any the connection is lost. From 1 to 600,
    /// default 10.
    pub heartbeat: u16,
    /// The most publishes unconfirmed at once on one publisher: from 1 to 65,536, default 512.
    pub window: usize,
    /// The largest body in bytes; 0, the default, takes the broker's own default for its version.
    pub max_body: u64,
    /// How many nodes keep each message: what *survives node loss* is declared by. Default 1.
    pub replicas: u16,
    /// Whether a password may travel without TLS to another machine. Default no.
    pub allow_plaintext_password: bool,
    /// PEM file of authorities to trust beside the system's.
    pub ca: Option<String>,
    /// PEM file of the client's certificate chain.
    pub cert: Option<String>,
    /// PEM file of the client's key (PKCS #8).
    pub key: Option<String>,
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
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
    /// Reads `amqp://user:password@host:port/vhost?setting=value`, or `amqps://…`. Several nodes: `?node=host:port`, as
    /// often as needed.
    ///
    /// ```
    /// # fn main() -> pontoon_core::Result<()> {
    /// use pontoon_rabbitmq::RabbitConfig;
    /// let config = RabbitConfig::from_url("amqp://app:secret@localhost/shop?window=256&node=127.0.0.1:5673")?;
    /// assert_eq!((config.nodes.len(), config.window, config.vhost.as_str()), (2, 256, "shop"));
    /// assert!(!format!("{config:?}").contains("secret"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidUrl` and `InvalidConfig` saying what is wrong; nothing of the URL is repeated but names of settings.
    pub fn from_url(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|error| invalid(&format!("this is not a URL: {error}")))?;
        let tls = match url.scheme() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(invalid("the scheme is `amqp` or `amqps`")),
        };
        let mut config = RabbitConfig { tls, ..RabbitConfig::default() };
        let port = |given: Option<u16>| given.unwrap_or(if tls { 5671 } else { 5672 });
        if let Some(host) = url.host_str().filter(|host| !host.is_empty()) {
            config.nodes = vec![(unbracketed(&decode(host)?), port(url.port()))];
        } else {
            config.nodes = vec![("localhost".to_owned(), port(None))];
        }
        if !url.username().is_empty() {
            config.user = decode(url.username())?;
        }
        if let Some(password) = url.password() {
            config.password = Secret::new(decode(password)?);
        }
        match url.path() {
            "" | "/" => {}
            path => config.vhost = decode(&path[1..])?,
        }
        if url.fragment().is_some() {
            return Err(invalid("it has no fragment"));
        }
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in url.query_pairs() {
            if name != "node" && seen.iter().any(|known| *known == name) {
                return Err(setting(&name, "it is given twice"));
            }
            config.set(&name, &value, tls)?;
            seen.push(name.into_owned());
        }
        config.validate()?;
        Ok(config)
    }

    fn set(&mut self, name: &str, value: &str, tls: bool) -> Result<()> {
        fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T> {
            value.parse().map_err(|_| setting(name, "it must be a number"))
        }
        match name {
            "node" => {
                let (host, port) = match value.rsplit_once(':') {
                    Some((host, port)) if !port.contains(']') => (host, number(name, port)?),
                    _ => (value, if tls { 5671 } else { 5672 }),
                };
                self.nodes.push((unbracketed(host), port));
            }
            "heartbeat" => self.heartbeat = number(name, value)?,
            "window" => self.window = number(name, value)?,
            "max_body" => self.max_body = number(name, value)?,
            "replicas" => self.replicas = number(name, value)?,
            "allow_plaintext_password" => {
                self.allow_plaintext_password =
                    value.parse().map_err(|_| setting(name, "it must be `true` or `false`"))?;
            }
            "ca" => self.ca = Some(value.to_owned()),
            "cert" => self.cert = Some(value.to_owned()),
            "key" => self.key = Some(value.to_owned()),
            _ => {
                let known = "node, heartbeat, window, max_body, replicas, allow_plaintext_password, ca, cert, key";
                return Err(setting(name, "there is no such setting").with("known", known));
            }
        }
        Ok(())
    }

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

fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Percent-decoding, by the parser that the query has anyway.
fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(invalid("a `%` is followed by two hexadecimal digits")),
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid("it holds bytes that are no UTF-8"))
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidUrl, "connect", what)
        .with_help("write `amqp://user:password@host:port/vhost?setting=value`, or `amqps://…` for TLS")
}

fn setting(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, "connect", what)
        .with("setting", name)
        .with_help("see the settings in the documentation of `RabbitConfig`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_the_settings_and_never_shows_its_password() {
        let config = RabbitConfig::from_url("amqp://a%40b:p%2Fw@127.0.0.1:5000/%2f?heartbeat=5").unwrap();
        assert_eq!((config.user.as_str(), config.password.reveal()), ("a@b", "p/w"));
        assert_eq!((config.vhost.as_str(), config.heartbeat), ("/", 5));
        assert_eq!(config.nodes, [("127.0.0.1".to_owned(), 5000)]);
        let v6 = RabbitConfig::from_url("amqps://u:p@[::1]/?node=[::1]:5673").unwrap();
        assert_eq!(v6.nodes, [("::1".to_owned(), 5671), ("::1".to_owned(), 5673)]);
        for wrong in [
            "http://u:hunter2@localhost",
            "amqp://u:hunter2@localhost?window=0",
            "amqp://u:hunter2@localhost?window=x",
            "amqp://u:hunter2@localhost?colour=red",
            "amqp://u:hunter2@localhost?window=1&window=2",
            "amqp://u:hunter2@localhost?cert=a",
            "amqp://u:hunter2@broker.example",
            "amqp://u:hunter2%@localhost",
        ] {
            let error = RabbitConfig::from_url(wrong).unwrap_err();
            assert!(error.help().is_some() && !format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(RabbitConfig::from_url("amqp://u:p@broker.example?allow_plaintext_password=true").is_ok());
        assert!(RabbitConfig::from_url("amqps://u:p@broker.example").is_ok());
    }
}
