//! Settings from a URL.

use pontoon_core::settings::{self, Secret};
use pontoon_core::{Error, ErrorKind, Result};
use url::Url;

use super::{HELP, RabbitConfig, setting};

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
    /// `InvalidUrl` and `InvalidConfig` saying what is wrong; nothing of the URL is repeated but settings, and values of
    /// theirs that cannot be read.
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
        let mut rest = Vec::new();
        for (name, value) in url.query_pairs() {
            match &*name {
                "node" => config.nodes.push(node(&value, port(None))?),
                "user" | "password" | "vhost" => return Err(setting(&name, "it has its own place in the URL")),
                _ => rest.push((name.into_owned(), value.into_owned())),
            }
        }
        config.read(rest)?;
        config.validate()?;
        Ok(config)
    }

    /// Takes over what the query says.
    fn read(&mut self, pairs: Vec<(String, String)>) -> Result<()> {
        let read: RabbitConfig = settings::from_pairs(pairs).map_err(|error| error.with_help(HELP))?;
        let mine = std::mem::take(self);
        let RabbitConfig { tls, nodes, vhost, user, password, .. } = mine;
        *self = RabbitConfig { tls, nodes, vhost, user, password, ..read };
        Ok(())
    }
}

fn node(text: &str, port: u16) -> Result<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| setting("node", "its port must be a number"))?)
        }
        _ => (text, port),
    };
    Ok((unbracketed(host), port))
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
            "amqp://u@localhost?password=hunter2",
            "amqp://u:hunter2@localhost?allow_plaintext_password=yes",
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
