//! The Redis Streams transport of pontoon.
#![doc = include_str!("../README.md")]

mod capabilities;
mod config;
mod consumer;
mod ensure;
mod entry;
mod error;
mod extensions;
mod facts;
mod keys;
mod link;
mod producer;
mod resp;
mod scripts;
mod server;
mod socket;
mod tls;
mod transport;
mod upkeep;

pub use config::RedisConfig;
pub use consumer::{RedisReceiver, RedisSettler};
pub use pontoon_core::settings::Secret;
pub use producer::RedisProducer;
pub use transport::RedisTransport;
