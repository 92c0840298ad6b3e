//! The URL.

use pontoon_core::{Error, ErrorKind, Result};

/// `memory-server://host:port` as an address to connect to.
///
/// # Errors
/// `InvalidUrl` saying what is wrong; nothing of the URL is repeated.
pub(super) fn address(url: &str) -> Result<String> {
    let refuse = |what: &str| {
        Error::new(ErrorKind::InvalidUrl, "connect", what)
            .with_help("write `memory-server://host:port`; settings are given to the server when it is started")
    };
    let Some(rest) = url.strip_prefix("memory-server://") else {
        return Err(refuse("this is not a memory-server:// URL"));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '@', '%']) || rest.contains(char::is_whitespace) {
        return Err(refuse("a memory-server:// URL has no user, path, settings or fragment"));
    }
    let named = rest.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    match named {
        Some((host, port)) => Ok(format!("{host}:{port}")),
        None => Err(refuse("a memory-server:// URL names host and port")),
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
