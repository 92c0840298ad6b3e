//! The transport of the server: a client with a connection of its own for each producer and each consumer.

mod config;
mod consumer;
mod extensions;
mod link;
mod news;
mod producer;
mod shared;
mod socket;
mod transport;

pub use consumer::{ServerReceiver, ServerSettler};
pub use producer::ServerProducer;
pub(crate) use transport::hurt;
pub use transport::{ServerTransport, connect};
