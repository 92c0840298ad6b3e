//! What the broker says of itself before anybody logs in: product and version, which the client library keeps to itself.

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use lapin::tcp::{AMQPUriTcpExt, OwnedTLSConfig};
use lapin::types::AMQPValue;
use lapin::types::parsing::parse_field_table;
use lapin::uri::AMQPUri;
use pontoon_core::{Error, ErrorKind, ErrorStatus, Result};

/// The longest first frame that is read: RabbitMQ's has about 500 bytes.
const LONGEST: usize = 16 << 10;
const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";
/// Frame type, channel, length.
const HEAD: usize = 7;
/// Class, method, and the two numbers of the protocol's version.
const START: usize = 6;

/// Which broker it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    pub(crate) major: u16,
    pub(crate) minor: u16,
}

impl Server {
    pub(crate) fn at_least(self, major: u16, minor: u16) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

/// Greets, reads the first frame, and leaves.
pub(crate) async fn ask(uri: &AMQPUri, tls: &OwnedTLSConfig) -> Result<Server> {
    let runtime = lapin::runtime::default_runtime().map_err(|cause| crate::error::of("connect", cause))?;
    let mut stream = uri.connect_with_config_async(tls.as_ref(), &runtime).await.map_err(unreachable)?;
    stream.write_all(GREETING).await.map_err(unreachable)?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await.map_err(unreachable)?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    if head[0] != 1 || !(START..=LONGEST).contains(&length) {
        return Err(foreign());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.map_err(unreachable)?;
    let (_, properties) = parse_field_table(&frame[START..]).map_err(|_| foreign())?;
    match properties.inner().get("version") {
        Some(AMQPValue::LongString(text)) => parse(&text.to_string()).ok_or_else(foreign),
        _ => Err(foreign()),
    }
}

fn parse(version: &str) -> Option<Server> {
    let mut numbers = version.split('.');
    let mut number = || numbers.next()?.parse().ok();
    Some(Server { major: number()?, minor: number()? })
}

fn unreachable(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Connection, "connect", format!("cannot connect to RabbitMQ: {cause}"))
        .with_status(ErrorStatus::Temporary)
        .with_help("start the broker, or correct host, port and scheme; with `amqps://` check the certificates")
        .with_source(cause)
}

fn foreign() -> Error {
    Error::new(ErrorKind::Connection, "connect", "what listens there does not answer as RabbitMQ does")
        .with_status(ErrorStatus::Permanent)
        .with_help("use the port on which RabbitMQ speaks AMQP 0-9-1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_numbers() {
        assert_eq!(parse("4.0.5"), Some(Server { major: 4, minor: 0 }));
        assert_eq!(parse("3.10.8"), Some(Server { major: 3, minor: 10 }));
        assert!(parse("3.10.8").is_some_and(|old| !old.at_least(4, 0) && old.at_least(3, 10)));
        assert_eq!(parse("alpha"), None);
    }
}
