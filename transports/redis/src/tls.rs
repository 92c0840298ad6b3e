//! TLS: whom a server's certificate must come from, and what we show of ourselves.

use std::fmt;
use std::sync::Arc;

use pontoon_core::{Error, ErrorKind, ErrorStatus, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem};
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, crypto};
use tokio_rustls::{TlsConnector, rustls};

use crate::RedisConfig;

/// What connections are secured with: read once, when the transport connects.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// What the settings say, if they ask for TLS. The server's certificate is always verified; there is no setting that
    /// turns that off.
    ///
    /// # Errors
    /// `InvalidConfig` naming the setting whose file cannot be read or holds nothing of use, or when nobody is trusted.
    pub(crate) fn of(config: &RedisConfig) -> Result<Option<Self>> {
        if !config.tls {
            return Ok(None);
        }
        let name = ServerName::try_from(config.host.clone())
            .map_err(|cause| unusable("host", "no certificate can be for this name").with_source(cause))?;
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| Error::new(ErrorKind::Internal, "connect", "TLS cannot begin").with_source(cause))?
            .with_root_certificates(trusted(config)?);
        let found = match (&config.cert, &config.key) {
            (Some(cert), Some(key)) => {
                let key_of = PrivateKeyDer::from_pem_file(key).map_err(|cause| unread("key", key, cause))?;
                builder
                    .with_client_auth_cert(certificates("cert", cert)?, key_of)
                    .map_err(|cause| unusable("key", "it does not belong to the certificate").with_source(cause))?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Some(Tls { connector: TlsConnector::from(Arc::new(found)), name }))
    }

    /// Secures a connection: who answers has shown a certificate for the host's name when this ends.
    pub(crate) async fn over<S: AsyncRead + AsyncWrite + Unpin>(&self, plain: S) -> std::io::Result<TlsStream<S>> {
        self.connector.connect(self.name.clone(), plain).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The system's authorities, and those of the setting `ca`.
fn trusted(config: &RedisConfig) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // What of the system's cannot be read is not trusted, and others are.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &config.ca {
        for authority in certificates("ca", path)? {
            roots.add(authority).map_err(|cause| {
                unusable("ca", "it holds what is no authority's certificate").with("file", path).with_source(cause)
            })?;
        }
    }
    if roots.is_empty() {
        return Err(unusable("ca", "no authority is trusted: the system has none, and the settings name none"));
    }
    Ok(roots)
}

/// At least one certificate.
fn certificates(setting: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all: std::result::Result<Vec<_>, pem::Error> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match all {
        Ok(all) if all.is_empty() => Err(unread(setting, path, pem::Error::NoItemsFound)),
        all => all.map_err(|cause| unread(setting, path, cause)),
    }
}

fn unread(setting: &'static str, path: &str, cause: pem::Error) -> Error {
    unusable(setting, "nothing of the kind can be read from this file").with("file", path).with_source(cause)
}

fn unusable(setting: &'static str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, "connect", what)
        .with("setting", setting)
        .with_help("name a PEM file that this program may read; see `RedisConfig`")
}

/// What a failed connection means where it failed because of TLS. Trying again does not help: somebody has to change
/// a certificate or a setting.
pub(crate) fn refused(operation: &'static str, cause: &std::io::Error) -> Option<Error> {
    let cause = cause.get_ref()?.downcast_ref::<rustls::Error>()?;
    let error = |kind, words: String| Error::new(kind, operation, words).with_status(ErrorStatus::Permanent);
    let untrusted = |words: &str| error(ErrorKind::Connection, format!("the server's certificate {words}"));
    Some(match cause {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => untrusted("is of an authority that is not trusted")
                .with_help("name the PEM file of its authority with the setting `ca`"),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                untrusted("is for another name").with_help("use the name in the certificate as the URL's host")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                untrusted("has run out").with_help("renew it, or correct the clock here")
            }
            other => untrusted(&format!("is not accepted: {other:?}")),
        },
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => error(ErrorKind::Permission, format!("the server refuses our certificate: {alert:?}"))
            .with_help("name a certificate that it accepts, and its key, with the settings `cert` and `key`"),
        rustls::Error::InvalidMessage(_) => error(ErrorKind::Connection, "the server does not speak TLS here".into())
            .with_help("write `redis://`, or the port on which the server speaks TLS"),
        _ => return None,
    })
}
