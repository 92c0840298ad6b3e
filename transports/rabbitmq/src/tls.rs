//! Certificates, read from the files that the settings name.

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use pontoon_core::{Error, ErrorKind, Result};

use crate::config::RabbitConfig;

/// What TLS is given. The broker's certificate is always verified; there is no setting that turns that off.
pub(crate) fn read(config: &RabbitConfig) -> Result<OwnedTLSConfig> {
    let mut tls = OwnedTLSConfig::default();
    if let Some(path) = &config.ca {
        let text = file("ca", path)?;
        tls.cert_chain = Some(String::from_utf8(text).map_err(|_| wrong("ca", path, "it is no PEM file"))?);
    }
    if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
        tls.identity = Some(OwnedIdentity::PKCS8 { pem: file("cert", cert)?, key: file("key", key)? });
    }
    Ok(tls)
}

fn file(setting: &'static str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|cause| wrong(setting, path, "it cannot be read").with_source(cause))
}

fn wrong(setting: &'static str, path: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, "connect", what)
        .with("setting", setting)
        .with("file", path)
        .with_help("name a PEM file that this program may read")
}
