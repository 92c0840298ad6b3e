//! The URL.

use pontoon_core::{Error, ErrorKind, Result};
use url::Url;

/// `memory-server://host:port` as an address to connect to.
///
/// # Errors
/// `InvalidUrl` saying what is wrong; nothing of the URL is repeated.
pub(super) fn address(url: &str) -> Result<String> {
    let refuse = |what: String| {
        Error::new(ErrorKind::InvalidUrl, "connect", what)
            .with_help("write `memory-server://host:port`; settings are given to the server when it is started")
    };
    let url = Url::parse(url).map_err(|error| refuse(format!("this is not a URL: {error}")))?;
    if url.scheme() != "memory-server" {
        return Err(refuse("this is not a memory-server:// URL".into()));
    }
    let extra = !url.username().is_empty()
        || url.password().is_some()
        || !matches!(url.path(), "" | "/")
        || url.query().is_some()
        || url.fragment().is_some();
    if extra {
        return Err(refuse("a memory-server:// URL has no user, path, settings or fragment".into()));
    }
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) if !host.is_empty() => Ok(format!("{host}:{port}")),
        _ => Err(refuse("a memory-server:// URL names host and port".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_host_and_port() {
        assert_eq!(address("memory-server://127.0.0.1:4000").unwrap(), "127.0.0.1:4000");
        assert_eq!(address("memory-server://[::1]:4000/").unwrap(), "[::1]:4000");
        for wrong in [
            "",
            "memory://x",
            "memory-server://",
            "memory-server://host",
            "memory-server://:1",
            "memory-server://user:secret@host:1",
            "memory-server://host:1/path",
            "memory-server://host:1?sync=always",
            "memory-server://host:99999",
        ] {
            let error = address(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{wrong}");
            assert!(error.help().is_some() && !format!("{error:?}").contains("secret"));
        }
    }
}
