//! Two connections to the broker: one publishes, one consumes and declares, so that a broker that blocks publishers
//! does not hold up acknowledgements. Made when needed, and made anew when asked for after a loss.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lapin::options::BasicQosOptions;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties};
use pontoon_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

use crate::config::RabbitConfig;
use crate::consumer::Seats;
use crate::error;
use crate::live::{Line, Live};
use crate::server::{self, Server};
use crate::tls;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Publishing,
    Consuming,
}

/// The connections of one transport.
pub(crate) struct Connections {
    config: RabbitConfig,
    tls: OwnedTLSConfig,
    publishing: Mutex<Option<Arc<Live>>>,
    consuming: Mutex<Option<Arc<Live>>>,
    /// The node that answered last.
    node: AtomicUsize,
    seats: Seats,
    closed: AtomicBool,
}

impl Connections {
    /// Connects once, and asks what the broker is.
    pub(crate) async fn open(config: RabbitConfig) -> Result<(Self, Server)> {
        config.validate()?;
        let connections = Connections {
            tls: tls::read(&config)?,
            config,
            publishing: Mutex::default(),
            consuming: Mutex::default(),
            node: AtomicUsize::new(0),
            seats: Seats::default(),
            closed: AtomicBool::new(false),
        };
        connections.get(Use::Consuming).await?;
        let uri = connections.uri(connections.node.load(Ordering::Relaxed));
        let server = server::ask(&uri, &connections.tls).await?;
        Ok((connections, server))
    }

    pub(crate) fn config(&self) -> &RabbitConfig {
        &self.config
    }

    pub(crate) fn seats(&self) -> &Seats {
        &self.seats
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A new channel on the connection for this.
    pub(crate) async fn channel(&self, of: Use, operation: &'static str) -> Result<Line> {
        let live = self.get(of).await?;
        let made = live.guarded(operation, async {
            let made = live.connection.create_channel().await;
            made.map_err(|cause| error::not_reached(operation, error::of(operation, cause)))
        });
        let channel = made.await?;
        Ok(Line { channel, live })
    }

    /// The connection for this, made if it is not there or lost.
    pub(crate) async fn get(&self, of: Use) -> Result<Arc<Live>> {
        let place = match of {
            Use::Publishing => &self.publishing,
            Use::Consuming => &self.consuming,
        };
        let mut place = place.lock().await;
        if self.is_closed() {
            return Err(error::closed("connect"));
        }
        let usable = |live: &&Arc<Live>| !live.is_lost() && live.connection.status().connected();
        if let Some(live) = place.as_ref().filter(usable) {
            return Ok(live.clone());
        }
        *place = None;
        let live = Live::new(self.connect_to_any(of).await?);
        *place = Some(live.clone());
        Ok(live)
    }

    async fn connect(&self, uri: AMQPUri, of: Use) -> Result<Connection> {
        let name = match of {
            Use::Publishing => "pontoon publishing",
            Use::Consuming => "pontoon consuming",
        };
        // No recovery by the client: a token of an old connection must not settle a message of the new one.
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime().map_err(|cause| error::of("connect", cause))?;
        let connection = Connection::connect_uri_with_config(uri, properties, self.tls.clone(), runtime).await;
        connection.map_err(|cause| error::not_reached("connect", explain(error::of("connect", cause), self.config.tls)))
    }

    /// Tries each node once, beginning with the one that answered last.
    async fn connect_to_any(&self, of: Use) -> Result<Connection> {
        let first = self.node.load(Ordering::Relaxed);
        let count = self.config.nodes.len();
        let mut last = None;
        for at in (0..count).map(|step| (first + step) % count) {
            // Where this one is silent and the attempt is given up, the next attempt begins with another one.
            self.node.store((at + 1) % count, Ordering::Relaxed);
            match self.connect(self.uri(at), of).await {
                Ok(made) => {
                    self.node.store(at, Ordering::Relaxed);
                    return Ok(made);
                }
                Err(error) => {
                    let (host, port) = &self.config.nodes[at];
                    last = Some(error.with("node", format!("{host}:{port}")));
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::InvalidConfig, "connect", "no node is named")))
    }

    fn uri(&self, node: usize) -> AMQPUri {
        let config = &self.config;
        let (host, port) = config.nodes[node].clone();
        AMQPUri {
            scheme: if config.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: config.user.clone(), password: config.password.reveal().to_owned() },
                host,
                port,
            },
            vhost: config.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(config.heartbeat), ..AMQPQueryString::default() },
        }
    }

    /// Ends both connections; what is open on them is lost.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for place in [&self.publishing, &self.consuming] {
            if let Some(live) = place.lock().await.take() {
                let closing = async { Ok(live.connection.close(200, "closed".into()).await) };
                // It may be lost already.
                let _ = live.guarded("close", closing).await;
            }
        }
    }
}

/// Bounds what may be out at once on this channel's consumer.
pub(crate) async fn bound(channel: &Channel, prefetch: u16) -> lapin::Result<()> {
    channel.basic_qos(prefetch, BasicQosOptions { global: false }).await
}

/// A connection that was never made was refused, or there was nobody.
fn explain(error: Error, tls: bool) -> Error {
    if error.kind() != ErrorKind::Connection || error.help().is_some() {
        return error;
    }
    // A refused certificate is said in an alert, which is lost where the broker hangs up faster than it is read.
    error.with_help(if tls {
        "start the broker, or correct host, port and scheme; if it asks for a client certificate, name one it trusts \
         with `cert` and `key`"
    } else {
        "start the broker, or correct host, port and scheme"
    })
}
