//! The settings: one struct for code, files, URLs and the environment.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use pontoon_core::settings::{self, Secret};
use pontoon_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use url::Url;

/// What to do about a setting that is wrong.
const HELP: &str = "see the settings in the documentation of `RedisConfig`";
/// The largest value that a Redis server takes.
const LARGEST: u64 = 512 << 20;

/// Where the server is, who we are there, and how the transport behaves. Each setting has a default; an unknown one is an
/// error.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisConfig {
    /// Name or address of the server; default 127.0.0.1.
    pub host: String,
    /// Its port; default 6379, with and without TLS.
    #[serde(deserialize_with = "settings::a_number")]
    pub port: u16,
    /// The path of a Unix socket, instead of host and port.
    #[serde(deserialize_with = "settings::some_text")]
    pub socket: Option<String>,
    /// Whether to use TLS (`rediss://`). The server's certificate is always verified, against the host's name.
    #[serde(deserialize_with = "settings::a_flag")]
    pub tls: bool,
    /// PEM file of authorities to trust beside the system's.
    #[serde(deserialize_with = "settings::some_text")]
    pub ca: Option<String>,
    /// PEM file of the client's certificate chain, for servers that ask for one.
    #[serde(deserialize_with = "settings::some_text")]
    pub cert: Option<String>,
    /// PEM file of the client's key.
    #[serde(deserialize_with = "settings::some_text")]
    pub key: Option<String>,
    /// The user; without one the password is that of the user `default`.
    #[serde(deserialize_with = "settings::some_text")]
    pub user: Option<String>,
    /// The password; without one nothing is authenticated.
    #[serde(deserialize_with = "secret")]
    pub password: Option<Secret>,
    /// The number of the database; default 0.
    #[serde(deserialize_with = "settings::a_number")]
    pub db: u32,
    /// How long a consumer may be silent before others take what it holds: from 200 ms, default 30 s. While it lives it
    /// extends this by itself.
    #[serde(deserialize_with = "settings::a_duration")]
    pub lease: Duration,
    /// How often a consumer looks for what is due, given back or left behind: from 5 ms, at most a quarter of the lease,
    /// default 100 ms.
    #[serde(deserialize_with = "settings::a_duration")]
    pub look_every: Duration,
    /// The largest body, in bytes: at most 512 MiB, default 64 MiB. A larger one is refused.
    #[serde(deserialize_with = "settings::a_size")]
    pub max_body: u64,
    /// How many messages a topic without any subscription keeps, for a subscription that begins with the earliest: at
    /// least 1, default 10,000. Older ones go about once a second while somebody publishes.
    #[serde(deserialize_with = "settings::a_number")]
    pub keep_unsubscribed: u32,
    /// The consumer group of queues; default `pontoon`. A subscription of a topic is the group of its name.
    pub group: String,
}

impl Default for RedisConfig {
    fn default() -> Self {
        RedisConfig {
            host: "127.0.0.1".into(),
            port: 6379,
            socket: None,
            tls: false,
            ca: None,
            cert: None,
            key: None,
            user: None,
            password: None,
            db: 0,
            lease: Duration::from_secs(30),
            look_every: Duration::from_millis(100),
            max_body: 64 << 20,
            keep_unsubscribed: 10_000,
            group: "pontoon".into(),
        }
    }
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Option<Secret>, D::Error> {
    Secret::deserialize(from).map(Some)
}

impl RedisConfig {
    /// Settings from a URL: `redis://[user[:password]@]host[:port][/db][?setting=value]`, `rediss://…` for TLS, or
    /// `redis+unix:///path/to/socket[?setting=value]`.
    ///
    /// ```
    /// # fn main() -> pontoon_core::Result<()> {
    /// use pontoon_redis::RedisConfig;
    /// let config = RedisConfig::from_url("redis://app:s3cret@cache.example:6380/2?lease=10s")?;
    /// assert_eq!((config.port, config.db, config.lease.as_secs()), (6380, 2, 10));
    /// assert!(!format!("{config:?}").contains("s3cret"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidUrl` for what is no such URL, `InvalidConfig` naming a setting that is unknown, given twice, unreadable or
    /// out of its range. Nothing of the URL is repeated but names of settings and what is wrong with their values.
    pub fn from_url(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|cause| refuse("this is not a URL").with_source(cause))?;
        let mut pairs = Vec::new();
        let mut set = |name: &str, value: Cow<'_, str>| pairs.push((name.to_owned(), value.into_owned()));
        let decoded =
            |text| percent_decode_str(text).decode_utf8().map_err(|_| refuse("a part of the URL is not UTF-8"));
        if !url.username().is_empty() {
            set("user", decoded(url.username())?);
        }
        if let Some(password) = url.password() {
            set("password", decoded(password)?);
        }
        match url.scheme() {
            scheme @ ("redis" | "rediss") => {
                if scheme == "rediss" {
                    set("tls", "true".into());
                }
                let host =
                    url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| refuse("the URL names no host"))?;
                set("host", decoded(host.trim_start_matches('[').trim_end_matches(']'))?);
                if let Some(port) = url.port() {
                    set("port", port.to_string().into());
                }
                match url.path().trim_start_matches('/') {
                    "" => {}
                    db if db.bytes().all(|digit| digit.is_ascii_digit()) => set("db", db.into()),
                    _ => return Err(refuse("the path of the URL is not the number of a database")),
                }
            }
            "redis+unix" => {
                if url.path().len() < 2 || url.host_str().is_some_and(|host| !host.is_empty()) {
                    return Err(refuse("the URL names no path of a socket"));
                }
                set("socket", decoded(url.path())?);
            }
            _ => return Err(refuse("this is no redis://, rediss:// or redis+unix:// URL")),
        }
        if url.fragment().is_some() {
            return Err(refuse("the URL has a fragment: write `#` in a password as `%23`"));
        }
        pairs.extend(url.query_pairs().into_owned());
        Self::from_pairs(pairs)
    }

    /// Settings from names and values.
    ///
    /// # Errors
    /// `InvalidConfig` naming the setting: unknown (with the valid ones), given twice, unreadable, or out of range.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let config: Self = settings::from_pairs(pairs).map_err(|error| error.with_help(HELP))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// `InvalidConfig` naming the setting and its range.
    pub fn validate(&self) -> Result<()> {
        let range = |name: &str, rule: &str| Err(wrong(&format!("`{name}` must be {rule}")).with("setting", name));
        if self.lease < Duration::from_millis(200) {
            return range("lease", "at least 200ms");
        }
        if self.look_every < Duration::from_millis(5) || self.look_every > self.lease / 4 {
            return range("look_every", "at least 5ms and at most a quarter of the lease");
        }
        if self.max_body > LARGEST {
            return range("max_body", "at most 512MiB");
        }
        if self.keep_unsubscribed == 0 {
            return range("keep_unsubscribed", "at least 1");
        }
        if self.group.is_empty() || self.group.contains('\0') || self.group.starts_with("pontoon-") {
            return range("group", "a name without NUL that does not begin with `pontoon-`");
        }
        if self.cert.is_some() != self.key.is_some() {
            return range("cert", "given together with `key`: a client certificate needs both");
        }
        if !self.tls && (self.ca.is_some() || self.cert.is_some()) {
            return range("ca", "left out without TLS: write `rediss://`");
        }
        if self.tls && self.socket.is_some() {
            return range("tls", "left out for a Unix socket, which leaves this machine by no network");
        }
        if self.user.is_some() && self.password.is_none() {
            return range("password", "given where a user is");
        }
        Ok(())
    }

    /// Where the server is, for people.
    pub(crate) fn address(&self) -> String {
        match &self.socket {
            Some(path) => path.clone(),
            None => format!("{}:{}", self.host, self.port),
        }
    }
}

fn refuse(what: &str) -> Error {
    Error::new(ErrorKind::InvalidUrl, "connect", what).with_help(
        "write `redis://user:password@host:port/db?setting=value`, `rediss://…` for TLS, or \
         `redis+unix:///path/to/socket`",
    )
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, "read settings of redis transport", message).with_help(HELP)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_fills_the_settings() {
        let config = RedisConfig::from_url("redis://us%40er:p%23ss@[::1]:7000/3?lease=2s&max_body=1MiB").unwrap();
        assert_eq!((config.host.as_str(), config.port, config.db), ("::1", 7000, 3));
        assert_eq!(config.user.as_deref(), Some("us@er"));
        assert_eq!(config.password.as_ref().map(Secret::reveal), Some("p#ss"));
        assert_eq!((config.lease, config.max_body), (Duration::from_secs(2), 1 << 20));
        let socket = RedisConfig::from_url("redis+unix:///run/re%20dis.sock?db=1&password=x").unwrap();
        assert_eq!((socket.socket.as_deref(), socket.db), (Some("/run/re dis.sock"), 1));
        assert_eq!(RedisConfig::from_url("redis://localhost").unwrap().port, 6379);
        let tls = RedisConfig::from_url("rediss://localhost?ca=/a.pem&cert=/c.pem&key=/c.key").unwrap();
        assert_eq!((tls.tls, tls.ca.as_deref(), tls.key.as_deref()), (true, Some("/a.pem"), Some("/c.key")));
        assert!(!RedisConfig::from_url("redis://localhost").unwrap().tls);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_is() {
        for (url, kind) in [
            ("nothing", ErrorKind::InvalidUrl),
            ("redis://", ErrorKind::InvalidUrl),
            ("http://u:hunter2@host", ErrorKind::InvalidUrl),
            ("redis://u:hunter2@host/queue", ErrorKind::InvalidUrl),
            ("redis://u:hunter2@host#x", ErrorKind::InvalidUrl),
            ("redis+unix://u:hunter2@/", ErrorKind::InvalidUrl),
            ("redis://u:hunter2@host?leese=1s", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?lease=fast", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?lease=1ms", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?lease=1s&lease=2s", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?look_every=20s", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?max_body=1GiB", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?keep_unsubscribed=0", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?group=pontoon-free", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?password=hunter2", ErrorKind::InvalidConfig),
            ("redis://user@host", ErrorKind::InvalidConfig),
            ("redis://u:hunter2@host?ca=/a.pem", ErrorKind::InvalidConfig),
            ("rediss://u:hunter2@host?cert=/c.pem", ErrorKind::InvalidConfig),
            ("rediss://u:hunter2@host?tls=false", ErrorKind::InvalidConfig),
            ("rediss://u:hunter2@host?tls=perhaps", ErrorKind::InvalidConfig),
            ("redis+unix:///run/redis.sock?password=hunter2&tls=true", ErrorKind::InvalidConfig),
        ] {
            let error = RedisConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), kind, "{url}: {error:?}");
            assert!(error.help().is_some() && !format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
