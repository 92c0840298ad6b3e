//! Certificates, read from the files that the settings name; and what it means that one was not taken.

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use pontoon_core::{Error, ErrorKind, ErrorStatus, Result};

use crate::config::RabbitConfig;

/// What TLS is given. The broker's certificate is always verified; there is no setting that turns that off.
pub(crate) fn read(config: &RabbitConfig) -> Result<OwnedTLSConfig> {
    let mut tls = OwnedTLSConfig::default();
    if let Some(path) = &config.ca {
        tls.cert_chain = Some(file("ca", path, CERTIFICATE)?);
    }
    if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
        let pem = file("cert", cert, CERTIFICATE)?.into_bytes();
        tls.identity = Some(OwnedIdentity::PKCS8 { pem, key: file("key", key, KEY)?.into_bytes() });
    }
    Ok(tls)
}

/// Which begins a certificate, and which a key of PKCS #8.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const KEY: &str = "-----BEGIN PRIVATE KEY-----";

fn file(setting: &'static str, path: &str, begins: &str) -> Result<String> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| wrong(setting, path, "it cannot be read").with_source(cause))?;
    if text.contains(begins) { Ok(text) } else { Err(wrong(setting, path, &format!("it has no line `{begins}`"))) }
}

fn wrong(setting: &'static str, path: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, "connect", what)
        .with("setting", setting)
        .with("file", path)
        .with_help("name a PEM file that this program may read")
}

/// What stands in the way of TLS, if that is what this is about. It does not go away by itself.
pub(crate) fn refused(operation: &'static str, cause: &std::io::Error) -> Option<Error> {
    // The TLS library's own error is only shown, not handed out.
    let text = cause.to_string();
    let (what, help) = if text.contains("not valid for name") {
        ("the broker's certificate is for another host name", "connect by a name that the certificate has")
    } else if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") {
        (
            "no authority that is trusted here vouches for the broker's certificate",
            "name the PEM file of the broker's authority with `ca`",
        )
    } else if text.contains("fatal alert") {
        (
            "the broker refused the TLS connection, probably for want of a client certificate it trusts",
            "name a client certificate and its key, from an authority that the broker trusts, with `cert` and `key`",
        )
    } else if text.contains("corrupt message") {
        ("what listens there does not speak TLS", "use the broker's port for TLS, or `amqp://`")
    } else {
        return None;
    };
    let error = Error::new(ErrorKind::Connection, operation, format!("{what}: {text}"));
    Some(error.with_status(ErrorStatus::Permanent).with_help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_about_tls_is_not_blamed_on_it() {
        let of = |text: &str| refused("connect", &std::io::Error::other(text.to_owned()));
        assert!(of("Connection refused (os error 111)").is_none());
        let error = of("invalid peer certificate: UnknownIssuer").unwrap();
        assert!(error.help().is_some_and(|help| help.contains("`ca`")));
    }
}
