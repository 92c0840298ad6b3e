//! Which transport answers to which URL: one arm each, chosen by a cargo feature, and nothing that runs before `main`.

use pontoon_core::driver::AnyTransport;
use pontoon_core::{Error, ErrorKind, Result};
use url::Url;

/// Every scheme there is, with the feature that brings its transport.
const SCHEMES: &[(&str, &str)] = &[
    ("memory", "memory"),
    ("amqp", "rabbitmq"),
    ("amqps", "rabbitmq"),
    ("redis", "redis"),
    ("rediss", "redis"),
    ("redis+unix", "redis"),
];

/// The transport that a URL names, connected: to wrap it before it is used
/// ([`Broker::with_transport`](crate::Broker::with_transport)).
///
/// # Errors
/// [`ErrorKind::InvalidUrl`] for what is no URL, [`ErrorKind::UnknownScheme`] naming the feature to enable,
/// [`ErrorKind::InvalidConfig`] for a setting the transport does not know, and whatever connecting gives. No error
/// repeats the URL, which may hold a password.
#[cfg_attr(not(any(feature = "rabbitmq", feature = "redis")), allow(clippy::unused_async))] // the memory transport has nothing to wait for
pub async fn transport(url: &str) -> Result<AnyTransport> {
    let url = parse(url)?;
    match url.scheme() {
        #[cfg(feature = "memory")]
        "memory" => memory(&url),
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => {
            let config = pontoon_rabbitmq::RabbitConfig::from_url(url.as_str())?;
            Ok(AnyTransport::new(pontoon_rabbitmq::RabbitTransport::connect(config).await?))
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis+unix" => {
            let config = pontoon_redis::RedisConfig::from_url(url.as_str())?;
            Ok(AnyTransport::new(pontoon_redis::RedisTransport::connect(config).await?))
        }
        scheme => Err(unknown(scheme)),
    }
}

/// `memory://` is a broker of its own, `memory://name` the one of that name in this process; settings stand in the query.
#[cfg(feature = "memory")]
fn memory(url: &Url) -> Result<AnyTransport> {
    let refuse = |what: &str| {
        Err(Error::new(ErrorKind::InvalidUrl, "connect", format!("a memory:// URL has no {what}"))
            .with_help("write `memory://`, `memory://name`, or `memory://name?setting=value`"))
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("user or password");
    }
    if url.port().is_some() || !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return refuse("port, path or fragment");
    }
    let config = pontoon_memory::MemoryConfig::from_pairs(url.query_pairs().into_owned())?;
    Ok(AnyTransport::new(pontoon_memory::MemoryTransport::connect(url.host_str(), config)?))
}

fn parse(url: &str) -> Result<Url> {
    // The parser's errors describe the kind of mistake and repeat nothing of the URL.
    Url::parse(url).map_err(|error| {
        Error::new(ErrorKind::InvalidUrl, "connect", format!("this is not a URL: {error}"))
            .with_help("a broker's URL is `scheme://…`, for instance `memory://`")
            .with_source(error)
    })
}

fn unknown(scheme: &str) -> Error {
    let error = |message: String| Error::new(ErrorKind::UnknownScheme, "connect", message).with("scheme", scheme);
    match SCHEMES.iter().find(|(known, _)| *known == scheme) {
        Some((_, feature)) => error(format!("the transport for `{scheme}://` is not compiled in"))
            .with_help(format!("enable the feature `{feature}` of pontoon")),
        None => {
            let known: Vec<String> =
                SCHEMES.iter().map(|(scheme, feature)| format!("`{scheme}://` (feature `{feature}`)")).collect();
            error(format!("no transport answers to `{scheme}://`"))
                .with_help(format!("this version knows {}", known.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_is_not_compiled_in_names_its_feature() {
        let error = unknown("memory");
        assert_eq!(error.kind(), ErrorKind::UnknownScheme);
        assert!(error.help().unwrap().contains("enable the feature `memory`"), "{error}");
    }
}
