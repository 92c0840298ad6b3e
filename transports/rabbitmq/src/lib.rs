//! The RabbitMQ transport of pontoon.
#![doc = include_str!("../README.md")]

mod capabilities;
mod config;
mod connection;
mod consumer;
mod deaths;
mod delay;
mod error;
mod extensions;
mod facts;
mod live;
mod names;
mod producer;
mod ready;
mod route;
mod server;
mod tags;
mod tls;
mod topology;
mod transport;
mod ttl;
mod value;
mod window;
mod wire;

pub use config::RabbitConfig;
pub use consumer::{RabbitReceiver, RabbitSettler};
pub use extensions::RabbitConnections;
pub use pontoon_core::settings::Secret;
pub use producer::RabbitProducer;
pub use transport::RabbitTransport;
